package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// However a sandbox ends, its port is free for the next at once, and for the same one too.
func TestE2EC32FreeAtOnce(t *testing.T) {
	c := hosts(t, 1)
	run := func() {
		c.must("n1", "run", "-d", "--name", "web", "-p", "8080:80", "-p", "5300:80/udp", "--", "swarmnet", "whoami")
		c.answers(web80("n1", 8080), 5*time.Second)
	}
	for range 5 {
		run()
		c.must("n1", "stop", "-t", "0", "web")
		c.must("n1", "rm", "web")
		run()
		c.must("n1", "rm", "-f", "web")
		run()
		for range 3 {
			c.must("n1", "stop", "-t", "0", "web")
			c.must("n1", "start", "web")
		}
		c.answers(web80("n1", 8080), 5*time.Second)
		c.must("n1", "rm", "-f", "web")
	}
}

// A network that takes the default route along, by its name or by its priority, leaves the connections of the others as they are: those from
// outside through a published port and those that the sandbox made itself.
func TestE2EC21OpenConnectionsStay(t *testing.T) {
	c := hosts(t, 2)
	for i, n := range []string{"mmm", "aaa", "zzz"} {
		c.must("n1", "network", "create", "--subnet", fmt.Sprintf("10.9.%d.0/24", i), n)
	}
	c.must("n2", "run", "-d", "--name", "far", "-p", "7070:80", "--", "swarmnet", "whoami")
	c.must("n1", "run", "-d", "--name", "web", "--network", "mmm", "-p", "8080:80", "--", "swarmnet", "whoami")
	c.answers(web80("n1", 8080), 5*time.Second)
	c.answers(web80("n2", 7070), 5*time.Second)
	const octets, pace = 60 << 20, 5 << 20 // 12 s
	fetch := func(url string) []string {
		return []string{"probe", "fetch", "--octets", fmt.Sprint(octets), "--pace", fmt.Sprint(pace), url + fmt.Sprintf("/bytes/%d", octets)}
	}
	in := c.start(lab.Outside, fetch(web80("n1", 8080))...)
	out := c.start("n1", append([]string{"exec", "web", "--", "swarmnet"}, fetch(web80("n2", 7070))...)...)
	within := c.start("n1", fetch(web80("n1", 8080))...)
	labtest.Eventually(t, 10*time.Second, "all three to flow", func() error { // they go by mmm, whatever comes then
		out := c.must("n1", "exec", "web", "cat", "/proc/net/tcp", "/proc/net/tcp6")
		const established = " 01 "
		if n := strings.Count(out, established); n < 3 {
			return fmt.Errorf("%d connections are established", n)
		}
		return nil
	})
	for range 2 {
		for _, flags := range [][]string{{"aaa"}, {"--gw-priority", "9", "zzz"}} {
			name := flags[len(flags)-1]
			c.must("n1", append(append([]string{"network", "connect"}, flags...), "web")...)
			if got, want := c.gateway("web"), map[string]string{"aaa": "10.9.1.1", "zzz": "10.9.2.1"}[name]; got != want {
				t.Errorf("after connecting %s the default route goes to %s, want %s", name, got, want)
			}
			c.answers(web80("n1", 8080), 5*time.Second) // new ones go by the new way
			time.Sleep(time.Second)                     // the old ones flow meanwhile
			c.must("n1", "network", "disconnect", name, "web")
		}
	}
	for what, b := range map[string]*background{"from outside": in, "outwards": out, "from the host": within} {
		if d := decode[probe.Download](t, b.finish(t, time.Minute)); d.Err != "" || d.Octets != octets {
			t.Errorf("a connection %s: %+v", what, d)
		}
	}
	c.answers(web80("n1", 8080), 5*time.Second)
}

// The first free port of a range.
func TestE2EC30FirstOfARange(t *testing.T) {
	c := hosts(t, 1)
	for _, want := range []int{8000, 8001} {
		name := fmt.Sprintf("web%d", want)
		c.must("n1", "run", "-d", "--name", name, "-p", "8000-8001:80", "--", "swarmnet", "whoami")
		if got := c.must("n1", "port", name); got != fmt.Sprintf("80/tcp -> 0.0.0.0:%d", want) {
			t.Errorf("%s has %q", name, got)
		}
		c.answers(web80("n1", want), 5*time.Second)
	}
	c.refused("n1", 125, []string{"8000 to 8001/tcp", "sandbox web8000"}, "run", "-d", "-p", "8000-8001:80", "--", "sleep", "1")
	c.refused("n1", 125, []string{"sctp"}, "run", "-d", "-p", "8000:80/sctp", "--", "sleep", "1")
}

// A program of a host that has a service's port keeps it, on that host alone; when it ends the service takes the port there, too.
func TestE2ES15PortThatAnotherHolds(t *testing.T) {
	c := up(t)
	theirs := c.start("n2", "whoami", "--port", "8080")
	c.answers(web("n2"), 10*time.Second)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.must("n1", "service", "create", "--detach", "--name", "web", "--replicas", "2", "--network", "app", "--publish", "8080:80", "--", "swarmnet", "whoami")
	c.answers(web("n1"), 10*time.Second)
	c.answers(web("n3"), 10*time.Second)
	ps := func() string {
		r, err := c.Run(t.Context(), "n1", "swarmnet", "service", "ps", "web")
		if err != nil || r.Code != 0 {
			t.Fatalf("service ps: %+v %v", r, err)
		}
		return r.Stderr
	}
	labtest.Eventually(t, 10*time.Second, "service ps to name the port, its holder and the node", func() error {
		if got := ps(); !strings.Contains(got, "port 8080/tcp is held by swarmnet (pid ") || !strings.Contains(got, " on n2") || strings.Count(got, "\n") != 1 {
			return fmt.Errorf("it says %q", got)
		}
		return nil
	})
	if got, status := c.look("n2", "doctor"); status != 1 || !slices.ContainsFunc(got, func(v verdict) bool {
		return v.Check == "published-port" && v.Verdict == "wrong" && strings.HasPrefix(v.Found, "port 8080/tcp is held by swarmnet (pid ")
	}) {
		t.Errorf("doctor on n2: status %d, %+v", status, got)
	}
	for range 10 {
		if r := c.ask(1, web("n2"))[0]; r.Err != "" || r.Answer.Task != "" {
			t.Errorf("the other program's port is answered by %q: %s", r.Answer.Task, r.Err)
		}
	}
	theirs.stop()
	<-theirs.done
	labtest.Eventually(t, 8*time.Second, "the service to take the port that is free", func() error {
		if r := c.ask(1, web("n2"))[0]; r.Err != "" || r.Answer.Task == "" {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	labtest.Eventually(t, 5*time.Second, "service ps to say no more of it", func() error {
		if got := ps(); got != "" {
			return fmt.Errorf("it says %q", got)
		}
		return nil
	})
}
