package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
)

func TestE2EC09Macvlan(t *testing.T) {
	c := hosts(t, 1)
	create := func(name, parent string, more ...string) []string {
		return append(append([]string{"network", "create", "-d", "macvlan", "--opt", "parent=" + parent}, more...), name)
	}
	host := decode[probe.Stack](t, c.must("n1", "probe", "stack"))
	parent, mac := "", ""
	for _, i := range host.Interfaces {
		if slices.ContainsFunc(i.Addrs, func(a string) bool { return strings.HasPrefix(a, lab.Addr("n1").String()+"/") }) {
			parent, mac = i.Name, i.MAC
		}
	}
	c.refused("n1", 1, []string{"nosuch0"}, create("m", "nosuch0", "--subnet", "192.0.2.0/24")...)
	c.refused("n1", 1, []string{"parent"}, "network", "create", "-d", "macvlan", "--subnet", "192.0.2.0/24", "m")
	c.refused("n1", 1, []string{"--subnet"}, create("m", parent)...)
	c.refused("n1", 1, []string{"macvlan_mode", "vepa"}, create("m", parent, "--subnet", "192.0.2.0/24", "--opt", "macvlan_mode=mesh")...)
	for _, mode := range []string{"bridge", "vepa", "private", "passthru"} {
		c.must("n1", create("m", parent, "--subnet", "192.0.2.0/24", "--ip-range", "192.0.2.128/25", "--opt", "macvlan_mode="+mode)...)
		c.refused("n1", 125, []string{"m", "publishes no ports"}, "run", "-d", "--network", "m", "-p", "8080:80", "--", "sleep", "1")
		if mode == "passthru" { // the sandbox would have the node's only way out
			c.must("n1", "network", "rm", "m")
			continue
		}
		c.must("n1", "run", "-d", "--name", "web", "--network", "m", "--", "swarmnet", "whoami")
		addr := c.addr("web", "m")
		c.answers("http://"+addr, 10*time.Second)
		if slices.ContainsFunc(c.stack("web").Interfaces, func(i probe.Interface) bool { return i.MAC == mac }) {
			t.Errorf("%s: the sandbox has the host's Ethernet address %s", mode, mac)
		}
		if r := decode[[]probe.Reply](t, c.must("n1", "probe", "ask", "--timeout", "500ms", "http://"+addr))[0]; r.Err == "" {
			t.Errorf("%s: the parent's own host reaches it, which macvlan never allows", mode)
		}
		c.must("n1", "rm", "-f", "web")
		c.must("n1", "network", "rm", "m")
	}
}
