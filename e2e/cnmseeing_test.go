package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/lab/labtest"
)

// verdict is a finding of doctor or a step of trace.
type verdict struct{ Check, Step, Verdict, Found, Cure, Why string }

// look runs doctor or trace on a node and returns what it says, and its exit status.
func (c cluster) look(node string, args ...string) (out []verdict, status int) {
	c.t.Helper()
	r, err := c.Run(c.t.Context(), node, append(append([]string{"swarmnet"}, args...), "--format", "json")...)
	if err != nil {
		c.t.Fatal(err)
	}
	return lines[verdict](c.t, r.Stdout), r.Code
}

// sysctl sets a value on a node. There is no sysctl program on every machine.
func (c cluster) sysctl(node, path, value string) {
	c.t.Helper()
	if r, err := c.Run(c.t.Context(), node, "sh", "-c", "echo "+value+" > /proc/sys/"+path); err != nil || r.Code != 0 {
		c.t.Fatalf("%s=%s on %s: %v %s", path, value, node, err, r.Stderr)
	}
}

func TestE2EC60Doctor(t *testing.T) {
	c := up(t)
	labtest.Eventually(t, 15*time.Second, "a healthy node to be found so", func() error { // the cluster is some moments old
		if got, status := c.look("n1", "doctor"); status != 0 || len(got) < 10 {
			return fmt.Errorf("status %d, %+v", status, got)
		}
		return nil
	})
	// wrong breaks something until doctor names it: a fault that the daemon mends may be gone again when doctor looks.
	wrong := func(what, check, cure string, breakIt func()) {
		t.Helper()
		var got []verdict
		var status int
		for range 3 {
			breakIt()
			got, status = c.look("n1", "doctor", "-q")
			for _, f := range got {
				if f.Verdict == "wrong" && f.Check == check && strings.Contains(f.Cure, cure) && status == 1 {
					return
				}
			}
		}
		t.Errorf("%s: status %d, %+v", what, status, got)
	}
	wrong("forwarding off", "forwarding", "net.ipv4.ip_forward=1", func() { c.sysctl("n1", "net/ipv4/ip_forward", "0") })
	c.sysctl("n1", "net/ipv4/ip_forward", "1")
	wrong("a node cut off", "node", "see that the node is up", func() {
		if err := c.Cut("n3"); err != nil {
			t.Fatal(err)
		}
	})
	if err := c.Heal("n3"); err != nil {
		t.Fatal(err)
	}
	wrong("no daemon", "daemon", "swarmnet daemon", func() {
		if err := c.Stop("n1", true); err != nil {
			t.Fatal(err)
		}
	})
}

func TestE2EC61Trace(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "app")
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "back")
	c.must("n1", "service", "create", "--name", "web", "--replicas", "3", "--network", "app", "-p", "8080:80", "--", "swarmnet", "whoami")
	c.box("box", "--network", "app")
	c.box("other", "--network", "back")
	c.box("old", "--network", "app")
	c.must("n1", "stop", "-t", "0", "old")
	c.must("n3", "run", "-d", "--name", "far", "--network", "app", "--", "swarmnet", "whoami")
	end := func(step, why string, args ...string) {
		t.Helper()
		labtest.Eventually(t, 15*time.Second, fmt.Sprintf("trace %v to end at %s, since %s", args, step, why), func() error {
			got, status := c.look("n1", append([]string{"trace"}, args...)...)
			if len(got) > 0 && status == 1 {
				if last := got[len(got)-1]; last.Step == step && last.Verdict == "failed" && strings.Contains(last.Why, why) {
					return nil
				}
			}
			return fmt.Errorf("status %d, %+v", status, got)
		})
	}
	whole := func(args ...string) {
		t.Helper()
		labtest.Eventually(t, 15*time.Second, fmt.Sprintf("trace %v to find a way", args), func() error { // other nodes' names and rules come a moment later
			if got, status := c.look("n1", append([]string{"trace"}, args...)...); status != 0 || len(got) == 0 || got[len(got)-1].Step != "probe" {
				return fmt.Errorf("status %d, %+v", status, got)
			}
			return nil
		})
	}
	whole("box", "web:80")
	whole("box", "far:80")
	whole("box", ":8080")
	end("name", "has that name", "box", "nothing")
	end("name", "does not run", "box", "old")
	end("from", "swarmnet start old", "old", "web")
	end("name", "network connect app other", "other", "web")
	if err := c.Cut("n3"); err != nil {
		t.Fatal(err)
	}
	end("probe", "node n3 answers no gossip: it is down or cut off", "box", "far:80")
}

func TestE2ES02Attachable(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "app")
	c.must("n1", "network", "create", "-d", "overlay", "closed")
	c.refused("n2", 125, []string{"closed", "not attachable"}, "run", "-d", "--name", "a", "--network", "closed", "--", "sleep", "1000")
	c.refused("n2", 125, []string{"ingress"}, "run", "-d", "--name", "a", "--network", "ingress", "--", "sleep", "1000")
	c.must("n2", "run", "-d", "--name", "a", "--network", "app", "--", "sleep", "1000")
	c.refused("n1", 1, []string{"app", "sandbox a on node n2"}, "network", "rm", "app")
	// Its name is known to sandboxes of other nodes while it runs.
	c.box("box", "--network", "app")
	resolves := func(want bool) {
		t.Helper()
		labtest.Eventually(t, 10*time.Second, fmt.Sprintf("the name to resolve: %t", want), func() error {
			if got := c.resolve("box", "a").Answers; (len(got) > 0) != want {
				return fmt.Errorf("it resolves to %v", got)
			}
			return nil
		})
	}
	resolves(true)
	c.must("n2", "stop", "-t", "0", "a")
	resolves(false)
	c.must("n2", "start", "a")
	resolves(true)
	// What goes by itself gives its addresses back by itself.
	c.must("n2", "run", "-d", "--rm", "--name", "short", "--network", "app", "--", "sleep", "0.1")
	labtest.Eventually(t, 10*time.Second, "nobody to hold an address for what has gone", func() error {
		if held := c.holders("app"); slices.ContainsFunc(held, func(h holderRow) bool { return h.Name == "short" }) {
			return fmt.Errorf("%+v", held)
		}
		return nil
	})
	c.must("n1", "rm", "-f", "box")
	c.must("n2", "rm", "-f", "a")
	c.must("n1", "network", "rm", "app")
}
