package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
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
