package kernel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// foreign is a table of somebody else's, with what our tables have too.
func foreign() nft.Table {
	return nft.Table{Family: nft.INet, Name: "foreign",
		Sets: []nft.Set{{Name: "held", Key: nft.TypeIPv4, Elems: map[string]string{keyAddr(netip.MustParseAddr("198.51.100.1")): ""}}},
		Chains: []nft.Chain{{Name: "prerouting", Base: base("filter", 0, 0), Rules: []nft.Rule{
			nft.R(nft.INet, nft.NFProto(false), nft.In("held", nft.FieldDaddr(false)), nft.Drop())}}}}
}

func must(t *testing.T, ns string, fn func(*nft.Conn) error) {
	t.Helper()
	if err := withNFT(ns, fn); err != nil {
		t.Fatal(err)
	}
}

func observe(t *testing.T, ns string, family nft.Family, name string) (out *nft.Table) {
	t.Helper()
	must(t, ns, func(c *nft.Conn) (err error) { out, err = c.Observe(family, name); return err })
	return out
}

// put makes a table as given, whatever it was.
func put(t *testing.T, ns string, table nft.Table) {
	t.Helper()
	must(t, ns, func(c *nft.Conn) error { _, err := c.Ensure(t.Context(), &nft.Memo{}, table); return err })
}

func TestKernelRepair(t *testing.T) {
	c := newCluster(t, 2)
	c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
	serve(t, c.task("web", "t1", 0, "app", "10.0.1.11"), "t1", 80)
	serve(t, c.task("web", "t2", 1, "app", "10.0.1.12"), "t2", 80)
	n := c.nodes[0]
	host, fabric := n.host.Path, n.fabric.Path()
	for _, ns := range []string{host, fabric} {
		put(t, ns, foreign())
	}
	before := [2]string{observe(t, host, nft.INet, "foreign").String(), observe(t, fabric, nft.INet, "foreign").String()}
	if n.reconcile() != 0 {
		t.Error("a foreign table made us change something")
	}
	tables := []struct {
		ns, name string
		family   nft.Family
	}{{host, tableName, nft.INet}, {fabric, tableName, nft.INet}, {fabric, tableName, nft.Bridge}, {fabric, balancerTable, nft.INet}}
	damage := map[string]func(){
		"route": func() {
			n.fabricNS().With(func(c *nl.Conn) error {
				return c.DelRoute(nl.Route{Dst: netip.MustParsePrefix("10.0.1.12/32"), Via: netip.MustParseAddr("10.255.0.2")})
			})
		},
		"rule": func() {
			n.fabricNS().With(func(c *nl.Conn) error {
				return c.DelRule(nl.Rule{Priority: backPriority, Mark: markBit, Mask: markBit, Table: backTable})
			})
		},
		"way back": func() {
			n.fabricNS().With(func(c *nl.Conn) error {
				list, err := c.Routes(backTable)
				if err != nil || len(list) != 1 {
					return fmt.Errorf("way back: %v, %v", list, err)
				}
				return c.DelRoute(list[0])
			})
		},
		"stray route": func() {
			n.fabricNS().With(func(c *nl.Conn) error {
				br, _, err := c.Link("br-4096")
				if err != nil {
					return err
				}
				return c.ReplaceRoute(nl.Route{Dst: netip.MustParsePrefix("10.0.1.99/32"), Via: netip.MustParseAddr("10.255.0.2"), Index: br.Index})
			})
		},
	}
	for _, tb := range tables {
		whole := observe(t, tb.ns, tb.family, tb.name)
		what := fmt.Sprintf("%s %s of %s", tb.family, tb.name, map[string]string{host: "host", fabric: "fabric"}[tb.ns])
		damage["table "+what] = func() {
			must(t, tb.ns, func(c *nft.Conn) error { return c.Remove(tb.family, tb.name) })
		}
		for i, set := range whole.Sets {
			if len(set.Elems) == 0 {
				continue
			}
			damage["elements of "+set.Name+" in "+what] = func() {
				less := *whole
				less.Sets = slices.Clone(whole.Sets)
				less.Sets[i].Elems = map[string]string{}
				put(t, tb.ns, less)
			}
		}
		for i, chain := range whole.Chains {
			if len(chain.Rules) == 0 {
				continue
			}
			damage["rules of "+chain.Name+" in "+what] = func() {
				less := *whole
				less.Chains = slices.Clone(whole.Chains)
				less.Chains[i].Rules = nil
				put(t, tb.ns, less)
			}
		}
	}
	for what, do := range damage {
		do()
		if n.reconcile() == 0 {
			t.Errorf("%s: not noticed", what)
		}
		if changes := n.reconcile(); changes != 0 {
			t.Errorf("%s: a second pass changed %d things", what, changes)
		}
		for range 4 {
			ask(t, c.outside, "tcp", n.under.String()+":8080")
			ask(t, c.outside, "tcp", c.nodes[1].under.String()+":8080")
		}
	}
	if err := n.mesh.Remove(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, tb := range tables {
		if observe(t, tb.ns, tb.family, tb.name) != nil {
			t.Errorf("%s %s is left behind", tb.family, tb.name)
		}
	}
	n.fabricNS().With(func(c *nl.Conn) error {
		rules, err := c.Rules()
		back, err2 := c.Routes(backTable)
		if len(rules)+len(back) > 0 {
			t.Errorf("left behind: %v %v", rules, back)
		}
		if err == nil {
			err = err2
		}
		return err
	})
	after := [2]string{observe(t, host, nft.INet, "foreign").String(), observe(t, fabric, nft.INet, "foreign").String()}
	if before != after {
		t.Errorf("the foreign tables were %v, are %v", before, after)
	}
}

func TestKernelRestartKeepsConnections(t *testing.T) {
	c := newCluster(t, 2)
	c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
	serve(t, c.task("web", "t1", 1, "app", "10.0.1.11"), "t1", 80)
	conn, err := dial(c.outside, "tcp", ":0", c.nodes[0].under.String()+":8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, n := range c.nodes {
		n.mesh.Close()
		ask(t, c.outside, "tcp", n.under.String()+":8080") // while the daemon is away
		n.mesh = NewMesh(n.mesh.cfg)
		t.Cleanup(func() { n.mesh.Close() })
		if changes := n.reconcile(); changes != 0 {
			t.Errorf("%s: starting again changed %d things", n.id, changes)
		}
	}
	if _, _, err := say(conn); err != nil {
		t.Error(err)
	}
}

func TestKernelPortOfAnotherProgram(t *testing.T) {
	c := newCluster(t, 2)
	n := c.nodes[0]
	var theirs net.Listener
	n.host.Do(func() (err error) { theirs, err = net.Listen("tcp4", n.under.String()+":8080"); return err })
	defer theirs.Close()
	go func() {
		for {
			conn, err := theirs.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "theirs %s\n", conn.RemoteAddr())
			conn.Close()
		}
	}()
	c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
	serve(t, c.task("web", "t1", 0, "app", "10.0.1.11"), "t1", 80)
	entry := n.under.String() + ":8080"
	if name, _ := ask(t, c.outside, "tcp", entry); name != "theirs" {
		t.Errorf("%s answered on the port of another program", name)
	}
	if name, _ := ask(t, c.outside, "udp", entry); name != "t1" {
		t.Errorf("%s answered on the UDP port, which is free", name)
	}
	bad := n.mesh.Degraded()
	why := bad[PortKey{Protocol: swarmnet.TCP, Published: 8080}]
	if len(bad) != 1 || why == nil {
		t.Fatalf("degraded: %v", bad)
	}
	t.Log(why)
	if len(c.nodes[1].mesh.Degraded()) != 0 {
		t.Error("the other node is degraded, too")
	}
	ask(t, c.outside, "tcp", c.nodes[1].under.String()+":8080")
	theirs.Close() // it ends: the port is published with the next pass
	n.reconcile()
	if name, _ := ask(t, c.outside, "tcp", entry); name != "t1" || len(n.mesh.Degraded()) != 0 {
		t.Errorf("%s answered; degraded: %v", name, n.mesh.Degraded())
	}
	n.host.Do(func() error { // and held: nobody else gets it
		ln, err := net.Listen("tcp4", n.under.String()+":8080")
		if err == nil {
			ln.Close()
			t.Error("another program could take a published port")
		}
		return nil
	})
}

func TestKernelBulk(t *testing.T) {
	kerneltest.Require(t, kerneltest.NFTables)
	ns := kerneltest.NewNamespace(t)
	const services, backends = 1000, 10
	var ports []ingress.Port
	var vips ingress.VIPs
	for i := range services {
		p := ingress.Port{Published: uint16(20000 + i)}
		v := ingress.VIP{Addr: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})}
		for j := range backends {
			a := netip.AddrFrom4([4]byte{10, byte(10 + j), byte(i >> 8), byte(i)})
			p.Backends, v.Backends = append(p.Backends, ingress.Backend{Addr: a, Port: 80}), append(v.Backends, a)
		}
		ports, vips = append(ports, p), append(vips, v)
	}
	b := NewNFTables(nil)
	addrs := []netip.Addr{netip.MustParseAddr("169.254.77.2")}
	other := netip.MustParseAddr("10.77.0.1")
	for _, kind := range []struct {
		name   string
		ensure func(n int) (int, error) // with the first n services
		change func()
	}{
		{"ports", func(n int) (int, error) { return b.Ports(context.Background(), ns.Path, addrs, ports[:n]) },
			func() {
				ports = slices.Clone(ports)
				ports[500].Backends = slices.Clone(ports[500].Backends)
				ports[500].Backends[5].Addr = other
			}},
		{"virtual addresses", func(n int) (int, error) { return b.VIPs(context.Background(), ns.Path, vips[:n]) },
			func() {
				vips = slices.Clone(vips)
				vips[500].Backends = slices.Clone(vips[500].Backends)
				vips[500].Backends[5] = other
			}},
	} {
		timed := func(what string, n, atLeast, atMost int) {
			t.Helper()
			begun := time.Now()
			changes, err := kind.ensure(n)
			if err != nil {
				t.Fatalf("%s, %s: %v", kind.name, what, err)
			}
			if changes < atLeast || changes > atMost {
				t.Errorf("%s, %s: %d changes, want %d to %d", kind.name, what, changes, atLeast, atMost)
			}
			t.Logf("%d × %d %s, %s: %d changes in %v", n, backends, kind.name, what, changes, time.Since(begun).Round(10*time.Microsecond))
		}
		all := services * (backends + 1)
		timed("at once", services, all, all+20)
		timed("again", services, 0, 0)
		kind.change()
		timed("one backend replaced", services, 1, 1)
		timed("nearly all removed", 10, all-10*(backends+1), all)
		timed("again", 10, 0, 0)
	}
}
