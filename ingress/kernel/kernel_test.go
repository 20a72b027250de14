package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

func web(mode swarmnet.PublishMode) []swarmnet.PortSpec {
	return []swarmnet.PortSpec{
		{Protocol: swarmnet.TCP, Published: 8080, Target: 80, Mode: mode},
		{Protocol: swarmnet.UDP, Published: 8080, Target: 80, Mode: mode},
	}
}

func TestKernelConformanceMeshKeepsTheClientsAddress(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 3)
		c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		for i, id := range []swarmnet.TaskID{"t1", "t2"} { // nothing on the third node
			addr := []string{"10.0.1.11", "10.0.1.12"}[i]
			serve(t, c.task("web", id, i, "app", addr), string(id), 80)
		}
		// One whose network is the ingress network itself: its answers come in by the same bridge as the requests.
		serve(t, c.task("web", "t3", 1, "ingress", "10.255.0.50"), "t3", 80)
		for _, network := range []string{"tcp", "udp"} {
			for _, n := range c.nodes {
				answered := map[string]int{}
				for range 60 {
					name, saw := ask(t, c.outside, network, n.under.String()+":8080")
					answered[name]++
					if saw.Addr().String() != outsideAddr {
						t.Fatalf("%s by %s: %s saw %s, not the client", network, n.id, name, saw)
					}
				}
				if len(answered) != 3 {
					t.Errorf("%s by %s: answered %v, want all three", network, n.id, answered)
				}
			}
		}
		for _, n := range c.nodes {
			if changes := n.reconcile(); changes != 0 {
				t.Errorf("%s: a second pass changed %d things", n.id, changes)
			}
		}
	})
}

func TestKernelConformanceOneSourcePortToTwoEntryNodes(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 3)
		c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		serve(t, c.task("web", "t1", 2, "app", "10.0.1.11"), "t1", 80)
		for _, network := range []string{"tcp", "udp"} {
			from := outsideAddr + ":45678"
			var conns []net.Conn
			for _, n := range c.nodes { // the last one is where the task is
				conn, err := dial(c.outside, network, from, n.under.String()+":8080")
				if network == "udp" && err != nil {
					break // connected UDP sockets share no source port without SO_REUSEPORT: tried below with one socket
				}
				if err != nil {
					t.Fatalf("%s by %s: %v", network, n.id, err)
				}
				defer conn.Close()
				conns = append(conns, conn)
			}
			if network == "udp" {
				conns[0].Close()
				continue
			}
			for range 3 { // by turns, so that each is alive while the others are
				for i, conn := range conns {
					if _, saw, err := say(conn); err != nil || saw.Addr().String() != outsideAddr {
						t.Fatalf("by %s: saw %s, %v", c.nodes[i].id, saw, err)
					}
				}
			}
		}
		var sock net.PacketConn
		c.outside.Do(func() (err error) { sock, err = net.ListenPacket("udp4", outsideAddr+":45679"); return err })
		defer sock.Close()
		for range 3 {
			for _, n := range c.nodes {
				to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(n.under, 8080))
				_ = sock.SetDeadline(time.Now().Add(patience))
				if _, err := sock.WriteTo([]byte("hello"), to); err != nil {
					t.Fatal(err)
				}
				_, from, err := sock.ReadFrom(make([]byte, 1500))
				if err != nil || from.String() != to.String() {
					t.Fatalf("asked %s, %v answered: %v", to, from, err)
				}
			}
		}
	})
}

func TestKernelConformanceHostItselfAndTasksReachPublishedPorts(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		sandbox := c.task("web", "t1", 0, "app", "10.0.1.11")
		serve(t, sandbox, "t1", 80)
		for _, network := range []string{"tcp", "udp"} {
			for _, n := range c.nodes {
				ask(t, n.host, network, "127.0.0.1:8080")
				if _, saw := ask(t, n.host, network, n.under.String()+":8080"); saw.Addr() != n.under {
					t.Errorf("%s from %s itself: saw %s", network, n.id, saw)
				}
				ask(t, sandbox, network, n.under.String()+":8080") // its own node, and the other
			}
		}
	})
}

func TestKernelConformanceVIP(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200")
		sandboxes := map[swarmnet.TaskID]*kerneltest.NS{}
		for i, id := range []swarmnet.TaskID{"t1", "t2", "t3"} {
			sandboxes[id] = c.task("web", id, i%2, "app", fmt.Sprintf("10.0.1.1%d", i))
			serve(t, sandboxes[id], string(id), 80)
		}
		c.service("idle", "10.0.1.201")
		caller := sandboxes["t1"]
		c.balance(0, "t1", caller)
		for _, network := range []string{"tcp", "udp"} {
			answered := map[string]int{}
			for range 60 {
				name, saw := ask(t, caller, network, "10.0.1.200:80")
				answered[name]++
				if saw.Addr().String() != "10.0.1.10" {
					t.Fatalf("%s: %s saw %s, not the caller", network, name, saw)
				}
			}
			if len(answered) != 3 {
				t.Errorf("%s: answered %v, want all three, the caller itself too", network, answered)
			}
			refused(t, caller, network, "10.0.1.201:80")
		}
		if n := c.balance(0, "t1", caller); n != 0 {
			t.Errorf("a second pass changed %d things", n)
		}
		// An established connection stays where it is while the set changes.
		conn, err := dial(caller, "tcp", ":0", "10.0.1.200:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		first, _, err := say(conn)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []swarmnet.TaskID{"t1", "t2", "t3"} {
			ep := c.set.Endpoints[swarmnet.EndpointID(id)]
			ep.Desired = swarmnet.DesireDraining
			c.set.Endpoints[swarmnet.EndpointID(id)] = ep
		}
		if n := c.balance(0, "t1", caller); n == 0 {
			t.Error("draining all changed nothing")
		}
		if name, _, err := say(conn); err != nil || name != first {
			t.Errorf("after draining %s answered instead of %s: %v", name, first, err)
		}
		refused(t, caller, "tcp", "10.0.1.200:80")
	})
}

func TestKernelConformanceScaling(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		serve(t, c.task("web", "t1", 1, "app", "10.0.1.11"), "t1", 80)
		entry := c.nodes[0].under.String() + ":8080"
		conn, err := dial(c.outside, "tcp", ":0", entry)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		datagrams, err := dial(c.outside, "udp", ":0", entry)
		if err != nil {
			t.Fatal(err)
		}
		defer datagrams.Close()
		still := func(when string) {
			t.Helper()
			for _, conn := range []net.Conn{conn, datagrams} {
				if name, _, err := say(conn); err != nil || name != "t1" {
					t.Fatalf("%s: %q answered: %v", when, name, err)
				}
			}
		}
		still("at first")
		serve(t, c.task("web", "t2", 0, "app", "10.0.1.12"), "t2", 80)
		serve(t, c.task("web", "t3", 1, "app", "10.0.1.13"), "t3", 80)
		still("scaled up")
		ep := c.set.Endpoints["t1"]
		ep.Desired = swarmnet.DesireDraining
		c.set.Endpoints["t1"] = ep
		c.apply()
		still("draining")
		for range 30 {
			if name, _ := ask(t, c.outside, "tcp", entry); name == "t1" {
				t.Fatal("a draining task got a new connection")
			}
		}
		c.remove("t1") // for good: datagrams of the same client go to another task
		c.apply()
		if name, _, err := say(datagrams); err != nil || name == "t1" {
			t.Errorf("after the removal %q answered datagrams: %v", name, err)
		}
		c.remove("t2")
		c.remove("t3")
		c.apply()
		for _, network := range []string{"tcp", "udp"} { // held, and refuses
			refused(t, c.outside, network, entry)
			refused(t, c.nodes[0].host, network, "127.0.0.1:8080")
		}
	})
}

func TestKernelConformanceHostMode(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		ports := web(swarmnet.PublishHost)
		ports = append(ports, swarmnet.PortSpec{Protocol: swarmnet.TCP, Published: 9090, Target: 80, Mode: swarmnet.PublishHost, HostIP: netip.MustParseAddr("127.0.0.1")})
		c.service("web", "10.0.1.200", ports...)
		serve(t, c.task("web", "t1", 0, "app", "10.0.1.11"), "t1", 80)
		here, there := c.nodes[0], c.nodes[1]
		for _, network := range []string{"tcp", "udp"} {
			if _, saw := ask(t, c.outside, network, here.under.String()+":8080"); saw.Addr().String() != outsideAddr {
				t.Errorf("%s: saw %s", network, saw)
			}
			refused(t, c.outside, network, there.under.String()+":8080")
		}
		ask(t, here.host, "tcp", "127.0.0.1:9090")
		refused(t, c.outside, "tcp", here.under.String()+":9090")
	})
}
