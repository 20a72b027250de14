package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// damage has somebody else do damage on a node, and returns what they say of it: see meddlers and meddleArg.
func (c cluster) damage(node, kind string, where any) string {
	c.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := c.Run(c.t.Context(), node, exe, meddleArg, kind, fmt.Sprint(where))
	if err != nil || r.Code != 0 {
		c.t.Fatalf("%s on %s: %v %+v", kind, node, err, r)
	}
	return r.Stdout
}

// repair is the longest that anything of ours may be gone.
const repair = 5 * time.Second

// A firewall reload removes every table, also ours, and is repaired within 5 s; `events` and `cluster info` tell of it.
func TestE2ES19FirewallReload(t *testing.T) {
	c := up(t)
	c.createWeb()
	c.agree(10*time.Second, threeNodes...)
	for seed := range uint64(8) { // of the host, of the fabric, of a sandbox
		began := time.Now()
		c.damage("n1", "flush-tables", seed)
		took := c.answers(web("n1"), repair)
		c.agree(repair, "n1")
		t.Logf("answers again after %v, whole after %v", took, time.Since(began))
	}
	events := c.must("n1", "events", "--since", "10m", "--until", "0s", "--filter", "event=drift", "--format", "json")
	type event struct{ Scope, Type, Action, Name, Detail string }
	told := lines[event](t, events)
	if !slices.ContainsFunc(told, func(e event) bool {
		return e.Scope == "node" && e.Type == "node" && strings.HasPrefix(e.Detail, "published ports: ") && strings.Contains(e.Detail, "table inet swarmnet_") && strings.Contains(e.Detail, "restored")
	}) {
		t.Errorf("the events do not tell of it: %s", events)
	}
	if out := c.must("n1", "cluster", "info", "--format", "{{.Repaired}}"); strings.TrimSpace(out) == "0" {
		t.Error("no drift is counted")
	}
	c.fabricLost("n1")
}

// fabricLost unmounts the fabric of a node whose daemon is stopped: nobody has it then, though the tasks' mount namespaces know of no unmount in the
// lab, and the daemon builds another.
func (c cluster) fabricLost(node string) {
	c.t.Helper()
	if err := c.Stop(node, false); err != nil {
		c.t.Fatal(err)
	}
	c.damage(node, "unmount-fabric", 0)
	if err := c.Start(c.t.Context(), node); err != nil {
		c.t.Fatal(err)
	}
	c.answers(web(node), 2*repair) // the daemon has to start, too
	c.agree(2*repair, threeNodes...)
}

// A node that loses its power and gets it again builds everything by itself, and publishes again within 5 s of having a daemon.
func TestE2ES19Reboot(t *testing.T) {
	c := up(t)
	c.createWeb()
	c.must("n2", "run", "-d", "--restart", "always", "--name", "own", "-p", "9090:80", "--", "swarmnet", "whoami")
	if err := c.Kill("n2"); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, 10*time.Second, "the daemon to answer", func() error { _, err := c.Swarmnet(t.Context(), "n2", "version"); return err })
	t.Logf("the mesh answers after %v, the node's own sandbox after another %v", c.answers(web("n2"), repair), c.answers(fmt.Sprintf("http://%s:9090", lab.Addr("n2")), repair))
	if err := c.WaitFormed(t.Context(), 3, 3, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, 30*time.Second, "three tasks again", func() error {
		if n := len(c.runningTasks("n1", "web")); n != 3 {
			return fmt.Errorf("%d run", n)
		}
		return nil
	})
	c.agree(10*time.Second, threeNodes...)
}

// The whole cluster off at once and on again: everything is as it was.
func TestE2ES36WholeClusterOffAndOn(t *testing.T) {
	c := up(t)
	c.createWeb()
	what := func() string {
		return fmt.Sprint(c.vips("web"), c.must("n1", "service", "ls", "--format", "{{.Name}} {{.Ports}}"), c.must("n1", "network", "inspect", "app", "--format", "{{.Subnets}}"))
	}
	before := what()
	for _, n := range threeNodes {
		if err := c.Kill(n); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range threeNodes {
		if err := c.Start(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitFormed(t.Context(), 3, 3, 60*time.Second); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, 60*time.Second, "three tasks again", func() error {
		if n := len(c.runningTasks("n1", "web")); n != 3 {
			return fmt.Errorf("%d run", n)
		}
		return nil
	})
	for _, n := range threeNodes {
		c.answers(web(n), 15*time.Second)
	}
	c.agree(15*time.Second, threeNodes...)
	if after := what(); after != before {
		t.Errorf("it was\n%s\nit is\n%s", before, after)
	}
}

// A daemon is away for long while the cluster changes. What it left goes on: its node answers all the time. When it is back it catches up before
// it removes anything, so that nobody notices then either.
func TestE2EDaemonAwayForLong(t *testing.T) {
	c := up(t)
	c.createWeb()
	c.must("n1", "service", "create", "--name", "old", "--replicas", "3", "--network", "app", "--publish", "8081:80", "--", "swarmnet", "whoami")
	c.must("n2", "run", "-d", "--name", "own", "--network", "bridge", "-p", "9090:80", "--", "swarmnet", "whoami")
	load := c.start(lab.Outside, "probe", "load", "--rate", "50", "--duration", "10m", "--timeout", "4s", web("n2"), fmt.Sprintf("http://%s:9090", lab.Addr("n2")))
	for _, kill := range []bool{false, true} {
		if err := c.Stop("n2", kill); err != nil {
			t.Fatal(err)
		}
		// Tasks come and go elsewhere only: n2 is given up by the managers, and its tasks are replaced.
		c.must("n1", "service", "create", "-d", "--name", "new", "--replicas", "2", "--network", "app", "--publish", "8082:80", "--", "swarmnet", "whoami")
		c.must("n1", "service", "scale", "-d", "web=5")
		c.must("n1", "service", "rm", "old")
		labtest.Eventually(t, 60*time.Second, "the change to be made elsewhere", func() error {
			n := 0
			for _, r := range c.runningTasks("n1", "web") {
				if r.Node != "n2" {
					n++
				}
			}
			if n < 5 || len(c.runningTasks("n1", "new")) < 2 {
				return fmt.Errorf("%d and %d run", n, len(c.runningTasks("n1", "new")))
			}
			return nil
		})
		if err := c.Start(t.Context(), "n2"); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitFormed(t.Context(), 3, 3, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		c.answers(fmt.Sprintf("http://%s:8082", lab.Addr("n2")), 10*time.Second)
		c.agree(20*time.Second, threeNodes...)
		if r := c.ask(1, fmt.Sprintf("http://%s:8081", lab.Addr("n2")))[0]; r.Err == "" {
			t.Error("n2 still publishes a service that was removed while its daemon was away")
		}
		// And back to the beginning.
		c.must("n1", "service", "rm", "new")
		c.must("n1", "service", "scale", "web=3")
		c.must("n1", "service", "create", "--name", "old", "--replicas", "3", "--network", "app", "--publish", "8081:80", "--", "swarmnet", "whoami")
	}
	load.stop()
	<-load.done
	failed, all := 0, lines[probe.Reply](t, whole(load.text()))
	for _, r := range all {
		if r.Err != "" {
			failed++
			t.Errorf("%s at %s: %s", r.URL, r.At, r.Err)
		}
	}
	t.Logf("%d requests, %d failed", len(all), failed)
	if len(all) < 200 {
		t.Errorf("only %d requests were made", len(all))
	}
}
