package kernel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

// makeCluster is newCluster, over one of the balancers.
type makeCluster func(t *testing.T, nodes int) *cluster

// overBalancers runs a test once over each balancer that the kernel has: the same desired state, the same behaviour.
func overBalancers(t *testing.T, test func(t *testing.T, newCluster makeCluster)) {
	for _, b := range []struct {
		name  string
		needs kerneltest.Feature
		make  func() Balancer
	}{
		{"nftables", kerneltest.NFTables, func() Balancer { return NewNFTables(nil) }},
		{"ipvs", kerneltest.IPVS, func() Balancer { return NewIPVS(ipvs.RoundRobin, nil) }},
	} {
		t.Run(b.name, func(t *testing.T) {
			kerneltest.Require(t, b.needs)
			test(t, func(t *testing.T, n int) *cluster { return newClusterOver(t, n, b.make) })
		})
	}
}

// desire changes what is wanted of a task.
func (c *cluster) desire(id swarmnet.TaskID, d swarmnet.DesiredState) {
	ep := c.set.Endpoints[swarmnet.EndpointID(id)]
	ep.Desired = d
	c.set.Endpoints[ep.ID] = ep
}

// nodeIs changes the state of a node.
func (c *cluster) nodeIs(on int, s swarmnet.NodeState) {
	n := c.set.Nodes[c.nodes[on].id]
	n.Status.State = s
	c.set.Nodes[n.ID] = n
}

// settled checks that nothing is left to do on any node.
func (c *cluster) settled(when string) {
	c.t.Helper()
	for _, n := range c.nodes {
		if changes := n.reconcile(); changes != 0 {
			c.t.Errorf("%s, %s: a second pass changed %d things", when, n.id, changes)
		}
	}
}

// Published ports and virtual addresses answer by IPv6 as they do by IPv4, and the tasks see the client.
func TestKernelConformanceIPv6(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.bothFamilies()
		c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		s := c.set.Services["web"]
		s.VIPs = append(s.VIPs, swarmnet.VIP{Network: "app", Addr: netip.MustParseAddr("fd00:1::c8")})
		c.set.Services["web"] = s
		c.service("idle", "fd00:1::c9")
		caller := c.task("web", "t1", 0, "app", "10.0.1.11")
		serve(t, caller, "t1", 80)
		serve(t, c.task("web", "t2", 1, "app", "10.0.1.12"), "t2", 80)
		c.balance(0, "t1", caller)
		for _, network := range []string{"tcp", "udp"} {
			for _, way := range []struct {
				from *kerneltest.NS
				to   string
				as   string
			}{
				{c.outside, c.nodes[0].entry6(8080), outsideAddr6},
				{c.outside, c.nodes[1].entry6(8080), outsideAddr6},
				{c.outside, c.nodes[0].under.String() + ":8080", outsideAddr},
				{caller, "[fd00:1::c8]:80", "fd00:1::b"},
				{caller, "10.0.1.200:80", "10.0.1.11"},
			} {
				answered := map[string]bool{}
				for range 40 {
					name, saw := ask(t, way.from, network, way.to)
					answered[name] = true
					if saw.Addr().String() != way.as {
						t.Fatalf("%s %s: %s saw %s, want %s", network, way.to, name, saw, way.as)
					}
				}
				if len(answered) != 2 {
					t.Errorf("%s %s: answered %v, want both", network, way.to, answered)
				}
			}
			refused(t, caller, network, "[fd00:1::c9]:80")
		}
		c.settled("at the end")
	})
}

// body is n octets that look like nothing in particular.
func body(n uint64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(n)}), int64(n))
}

// serveBodies reads two lengths of 8 octets each, then a body of the first, and answers with its digest and a body of the second.
func serveBodies(t *testing.T, ns *kerneltest.NS, port int) {
	t.Helper()
	var ln net.Listener
	ns.Do(func() (err error) { ln, err = net.Listen("tcp4", fmt.Sprintf(":%d", port)); return err })
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var size [2]uint64
				if binary.Read(c, binary.BigEndian, &size) != nil {
					return
				}
				if sum, err := digestOf(io.LimitReader(c, int64(size[0]))); err == nil {
					_, _ = io.Copy(c, io.MultiReader(bytes.NewReader(sum), body(size[1])))
				}
			}()
		}
	}()
}

func digestOf(r io.Reader) ([]byte, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return h.Sum(nil), err
}

// Bodies of 8 octets and of 100 MB go through unharmed, by the mesh and by a virtual address. The large one goes one way by each: the tests run on
// emulated machines, too.
func TestKernelConformanceBodies(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200", swarmnet.PortSpec{Protocol: swarmnet.TCP, Published: 8080, Target: 80, Mode: swarmnet.PublishIngress})
		serveBodies(t, c.task("web", "t1", 1, "app", "10.0.1.11"), 80)
		c.service("client", "10.0.1.201")
		caller := c.task("client", "c1", 0, "app", "10.0.1.12")
		c.balance(0, "c1", caller)
		mesh, vip := c.nodes[0].under.String()+":8080", "10.0.1.200:80"
		exchange := func(from *kerneltest.NS, to string, up, down uint64) {
			begun := time.Now()
			conn, err := dial(from, "tcp", ":0", to)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
			if err := binary.Write(conn, binary.BigEndian, [2]uint64{up, down}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(conn, body(up)); err != nil {
				t.Fatalf("%s, %d octets there: %v", to, up, err)
			}
			sent, _ := digestOf(body(up))
			arrived := make([]byte, len(sent))
			if _, err := io.ReadFull(conn, arrived); err != nil || !bytes.Equal(arrived, sent) {
				t.Fatalf("%s, %d octets there: others arrived: %v", to, up, err)
			}
			want, _ := digestOf(body(down))
			if got, err := digestOf(conn); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d octets back: others arrived: %v", to, down, err)
			}
			t.Logf("%s: %d octets there and %d back in %v", to, up, down, time.Since(begun).Round(time.Millisecond))
		}
		exchange(c.outside, mesh, 8, 8)
		exchange(caller, vip, 8, 8)
		exchange(c.outside, mesh, 8, 100e6)
		exchange(caller, vip, 100e6, 8)
	})
}

// When a task is lost, datagrams go to a living one at once; a connection stays, since its node may be back.
func TestKernelConformanceLostTask(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		caller := c.task("web", "t1", 0, "app", "10.0.1.11")
		serve(t, caller, "t1", 80)
		serve(t, c.task("web", "t2", 1, "app", "10.0.1.12"), "t2", 80)
		c.balance(0, "t1", caller)
		type flow struct {
			net.Conn
			by string
		}
		var flows []flow // to the task that will be lost
		for _, by := range []struct {
			from *kerneltest.NS
			to   string
		}{{c.outside, c.nodes[0].under.String() + ":8080"}, {caller, "10.0.1.200:80"}} {
			for _, network := range []string{"tcp", "udp"} {
				for try := 0; ; try++ {
					conn, err := dial(by.from, network, ":0", by.to)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					name, _, err := say(conn)
					if err != nil {
						t.Fatal(err)
					}
					if name == "t2" {
						flows = append(flows, flow{conn, network + " " + by.to})
						break
					}
					if try == 100 {
						t.Fatalf("%s %s never leads to t2", network, by.to)
					}
				}
			}
		}
		c.nodeIs(1, swarmnet.NodeDown)
		c.nodes[0].reconcile()
		c.balance(0, "t1", caller)
		for _, f := range flows {
			want := "t2"
			if f.LocalAddr().Network() == "udp" {
				want = "t1"
			}
			if name, _, err := say(f); err != nil || name != want {
				t.Errorf("%s: %q answered, want %s: %v", f.by, name, want, err)
			}
		}
		for range 20 {
			for _, network := range []string{"tcp", "udp"} {
				if name, _ := ask(t, c.outside, network, c.nodes[0].under.String()+":8080"); name == "t2" {
					t.Fatalf("%s: a lost task was given a new connection", network)
				}
			}
		}
		if c.nodes[0].reconcile() != 0 || c.balance(0, "t1", caller) != 0 {
			t.Error("a second pass changed something")
		}
		c.nodeIs(1, swarmnet.NodeReady)
		c.nodes[0].reconcile()
		answered := map[string]bool{}
		for range 40 {
			name, _ := ask(t, c.outside, "tcp", c.nodes[0].under.String()+":8080")
			answered[name] = true
		}
		if !answered["t2"] {
			t.Error("the task is back and gets no connection")
		}
	})
}

// Whatever the tasks do, new connections go to those that are wanted, to all of them and to no other, and established ones stay with theirs.
func TestKernelConformanceTransitions(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		c.service("client", "10.0.1.201")
		caller := c.task("client", "c1", 0, "app", "10.0.1.20")
		all := []swarmnet.TaskID{"t1", "t2", "t3"}
		for i, id := range all {
			serve(t, c.task("web", id, i%2, "app", fmt.Sprintf("10.0.1.1%d", i)), string(id), 80)
		}
		ways := []struct {
			from *kerneltest.NS
			to   string
		}{{c.outside, c.nodes[0].under.String() + ":8080"}, {c.outside, c.nodes[1].under.String() + ":8080"}, {caller, "10.0.1.200:80"}}
		type held struct {
			net.Conn
			task string
		}
		var established []held
		port := 20000 // below those that the kernel gives
		for _, open := range [][]swarmnet.TaskID{{"t1", "t2", "t3"}, {"t1"}, {"t2", "t3"}, {}, {"t3"}, {"t1", "t2"}, {"t1", "t2", "t3"}} {
			for _, id := range all {
				c.desire(id, swarmnet.DesireDraining)
				if slices.Contains(open, id) {
					c.desire(id, swarmnet.DesireRunning)
				}
			}
			c.apply()
			c.balance(0, "c1", caller)
			for _, h := range established {
				if name, _, err := say(h); err != nil || name != h.task {
					t.Fatalf("open %v: a connection to %s was answered by %q: %v", open, h.task, name, err)
				}
			}
			for _, way := range ways {
				for _, network := range []string{"tcp", "udp"} {
					if len(open) == 0 {
						refused(t, way.from, network, way.to)
						continue
					}
					answered := map[swarmnet.TaskID]bool{}
					for range 40 {
						from := ":0"
						if network == "udp" {
							port++
							from = fmt.Sprintf(":%d", port)
						}
						name, _ := askFrom(t, way.from, network, from, way.to)
						answered[swarmnet.TaskID(name)] = true
						if !slices.Contains(open, swarmnet.TaskID(name)) {
							t.Fatalf("open %v, %s %s: %s answered", open, network, way.to, name)
						}
					}
					if len(answered) != len(open) {
						t.Errorf("open %v, %s %s: only %v answered", open, network, way.to, answered)
					}
				}
				if len(open) > 0 {
					conn, err := dial(way.from, "tcp", ":0", way.to)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					name, _, err := say(conn)
					if err != nil {
						t.Fatal(err)
					}
					established = append(established, held{conn, name})
				}
			}
			c.settled(fmt.Sprintf("open %v", open))
			if c.balance(0, "c1", caller) != 0 {
				t.Errorf("open %v: a second pass over the virtual addresses changed something", open)
			}
		}
	})
}
