package kernel

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

// six is the IPv6 address that goes with an IPv4 one of a cluster of both families.
func six(four string) netip.Addr {
	a, prefix := netip.MustParseAddr(four), "fd00:1::/64"
	if a.As4()[0] == 192 {
		prefix = "2001:db8:1::/64"
	}
	return like(netip.MustParsePrefix(prefix), a).Addr()
}

// service6 is service with a virtual address of either family.
func (c *cluster) service6(id swarmnet.ServiceID, vip string, ports ...swarmnet.PortSpec) {
	c.service(id, vip, ports...)
	s := c.set.Services[id]
	s.VIPs = append(s.VIPs, swarmnet.VIP{Network: "app", Addr: six(vip)})
	c.set.Services[id] = s
}

func port6(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

// The mesh over IPv6: every node answers, for a task of its own and for others', and each sees the client.
func TestKernelConformanceIPv6Mesh(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 3)
		c.bothFamilies()
		c.service6("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		var tasks []*kerneltest.NS
		for i, id := range []swarmnet.TaskID{"t1", "t2"} { // nothing on the third node
			tasks = append(tasks, c.task("web", id, i, "app", fmt.Sprintf("10.0.1.1%d", i)))
			serve(t, tasks[i], string(id), 80)
		}
		client := six(outsideAddr)
		for _, network := range []string{"tcp", "udp"} {
			for _, n := range c.nodes {
				answered := map[string]int{}
				for range 40 {
					name, saw := ask(t, c.outside, network, port6(six(n.under.String()), 8080))
					answered[name]++
					if saw.Addr() != client {
						t.Fatalf("%s by %s: %s saw %s, not the client", network, n.id, name, saw)
					}
				}
				if len(answered) != 2 {
					t.Errorf("%s by %s: answered %v, want both", network, n.id, answered)
				}
				if _, saw := ask(t, c.outside, network, n.under.String()+":8080"); saw.Addr().String() != outsideAddr {
					t.Errorf("%s by %s over IPv4: saw %s", network, n.id, saw)
				}
				own := six(n.under.String())
				if _, saw := ask(t, n.host, network, port6(own, 8080)); saw.Addr() != own {
					t.Errorf("%s from %s itself: saw %s", network, n.id, saw)
				}
				ask(t, n.host, network, "[::1]:8080")
				ask(t, tasks[0], network, port6(own, 8080)) // a task, by its own node and by others
			}
		}
		// One source port to two entry nodes at once: both live.
		for _, n := range c.nodes {
			conn, err := dial(c.outside, "tcp", port6(client, 45678), port6(six(n.under.String()), 8080))
			if err != nil {
				t.Fatalf("by %s: %v", n.id, err)
			}
			defer conn.Close()
			defer func() {
				if _, saw, err := say(conn); err != nil || saw.Addr() != client {
					t.Errorf("by %s: saw %s, %v", n.id, saw, err)
				}
			}()
		}
		for _, n := range c.nodes {
			if changes := n.reconcile(); changes != 0 {
				t.Errorf("%s: a second pass changed %d things", n.id, changes)
			}
		}
	})
}

// Host mode and virtual addresses over IPv6: who asks is seen, who drains is not asked any more.
func TestKernelConformanceIPv6HostModeAndVIP(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.bothFamilies()
		c.service6("web", "10.0.1.200", web(swarmnet.PublishHost)...)
		c.service6("idle", "10.0.1.201")
		tasks := map[swarmnet.TaskID]*kerneltest.NS{}
		for i, id := range []swarmnet.TaskID{"t1", "t2"} {
			tasks[id] = c.task("web", id, i, "app", fmt.Sprintf("10.0.1.1%d", i))
			serve(t, tasks[id], string(id), 80)
		}
		c.balance(0, "t1", tasks["t1"])
		for _, network := range []string{"tcp", "udp"} {
			for i, n := range c.nodes {
				if name, saw := ask(t, c.outside, network, port6(six(n.under.String()), 8080)); saw.Addr() != six(outsideAddr) || name != fmt.Sprintf("t%d", i+1) {
					t.Errorf("%s in host mode by %s: %s saw %s", network, n.id, name, saw)
				}
			}
			answered := map[string]int{}
			for range 40 {
				name, saw := ask(t, tasks["t1"], network, port6(six("10.0.1.200"), 80))
				answered[name]++
				if saw.Addr() != like(c.set.Networks["app"].Subnets[1].Prefix, netip.MustParseAddr("10.0.1.10")).Addr() {
					t.Fatalf("%s: %s saw %s, not the caller", network, name, saw)
				}
			}
			if len(answered) != 2 {
				t.Errorf("%s: answered %v, want both, the caller itself too", network, answered)
			}
			refused(t, tasks["t1"], network, port6(six("10.0.1.201"), 80))
		}
		conn, err := dial(tasks["t1"], "tcp", "[::]:0", port6(six("10.0.1.200"), 80))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		first, _, err := say(conn)
		if err != nil {
			t.Fatal(err)
		}
		for id := range tasks {
			ep := c.set.Endpoints[swarmnet.EndpointID(id)]
			ep.Desired = swarmnet.DesireDraining
			c.set.Endpoints[ep.ID] = ep
		}
		c.balance(0, "t1", tasks["t1"])
		if name, _, err := say(conn); err != nil || name != first {
			t.Errorf("after draining %s answered instead of %s: %v", name, first, err)
		}
		refused(t, tasks["t1"], "tcp", port6(six("10.0.1.200"), 80))
	})
}
