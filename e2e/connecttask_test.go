package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/lab/labtest"
)

// A task of a service is put on a further network and taken off while it runs: interface, names and aliases come and go, on every node.
func TestE2EC21ServiceTask(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.must("n1", "network", "create", "-d", "overlay", "closed")
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "--subnet", "10.77.0.0/24", "back")
	c.must("n1", "service", "create", "--name", "web", "--network", "app", "--constraint", "node.hostname==n1", "--publish", "8080:80", "--", "swarmnet", "whoami")
	c.box("near", "--network", "back")
	c.must("n2", "run", "-d", "--name", "far", "--network", "back", "--", "sleep", "100000")
	task := c.must("n1", "ps", "-q", "--filter", "label=swarmnet.service=web")
	before := c.interfaces(task)
	pid := func() string { return c.must("n1", "inspect", "--format", "{{.Status.PID}}", task) }
	was := pid()

	c.refused("n1", 1, []string{"closed", "not attachable"}, "network", "connect", "closed", task)
	c.refused("n1", 1, []string{"app", "already"}, "network", "connect", "app", task)
	c.refused("n1", 1, []string{"gateway"}, "network", "connect", "--gw-priority", "5", "back", task)
	c.refused("n1", 1, []string{"bridge", "this node's own"}, "network", "connect", "bridge", task)
	c.refused("n1", 1, []string{"not on network back"}, "network", "disconnect", "back", task)
	c.refused("n1", 1, []string{"by its service", "service update --network-rm app web"}, "network", "disconnect", "app", task)

	heard := func(want string) {
		t.Helper()
		labtest.Eventually(t, 5*time.Second, fmt.Sprintf("far to find nick: %q", want), func() error {
			r, err := c.Run(t.Context(), "n2", "swarmnet", "exec", "far", "--", "swarmnet", "probe", "get", "http://nick/json")
			if err != nil {
				return err
			}
			if got := strings.Contains(r.Stdout, `"task":"web.1.`); got != (want != "") {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
	for range 2 {
		c.must("n1", "network", "connect", "--alias", "nick", "--ip", "10.77.0.77", "back", task)
		if got := c.interfaces(task); len(got) != len(before)+1 || !strings.Contains(fmt.Sprint(got), "10.77.0.77/24") {
			t.Errorf("connected, the interfaces are %v", got)
		}
		c.refused("n1", 1, []string{"back", "already"}, "network", "connect", "back", task)
		c.names("near", "nick", "10.77.0.77")
		c.names("near", "web") // the service is not on that network
		heard("nick")
		c.answers(web("n3"), 5*time.Second) // the ports lead where they led
		c.must("n1", "network", "disconnect", "back", task)
		if got := c.interfaces(task); fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("disconnected, the interfaces are %v, they were %v", got, before)
		}
		c.names("near", "nick")
		heard("")
	}
	if is := pid(); is != was {
		t.Errorf("the process is %s, it was %s", is, was)
	}
	// A network that the service is on afterwards replaces the task; the address is free again.
	c.must("n1", "network", "connect", "--ip", "10.77.0.77", "back", task)
	c.must("n1", "service", "update", "--network-add", "closed", "web")
	c.must("n1", "run", "--rm", "--network", "back", "--ip", "10.77.0.77", "--", "true")
	c.must("n1", "service", "rm", "web")
	c.must("n1", "rm", "-f", "near")
	c.must("n2", "rm", "-f", "far")
	c.must("n1", "network", "rm", "back")
}
