package kernel

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

func TestKernelTCPBetweenHosts(t *testing.T) {
	s := newSite(t, 2, 1)
	a, b := s.hosts[0].addBox(1, 5), s.hosts[1].addBox(1, 6)
	idle := s.hosts[1].addBox(1, 7)
	s.converge(a, b, idle)
	server := netip.AddrPortFrom(b.addr, 80)
	const size = 1 << 20 // many full packets: the MTU must be right
	serve(t, b.NS, server, size)
	before := received(idle.NS, "eth0")
	if seen, got, err := ask(a.NS, server, 5*time.Second); err != nil || seen != a.addr.String() || got != size {
		t.Fatalf("seen %q, %d octets, %v", seen, got, err)
	}
	// Broadcasts and multicasts it does see; of the stream's 750 packets, none.
	if more := received(idle.NS, "eth0") - before; more > 50 {
		t.Errorf("a sandbox on the same bridge saw %d packets that were not for it", more)
	}
	// On the server's own host, too.
	if seen, _, err := ask(idle.NS, server, 5*time.Second); err != nil || seen != idle.addr.String() {
		t.Fatalf("on one host: seen %q, %v", seen, err)
	}
}

// received is how many packets a link of a namespace has received.
func received(ns *kerneltest.NS, link string) (n int) {
	ns.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		_, line, _ := strings.Cut(string(b), link+":")
		n, err = strconv.Atoi(strings.Fields(line)[1])
		return err
	})
	return n
}

func TestKernelEgress(t *testing.T) {
	s := newSite(t, 2, 1)
	a := s.hosts[0].addBox(1, 5)
	s.converge(a)
	// The other host stands for the outside: it knows no way to overlay addresses.
	outside := netip.MustParseAddrPort("192.0.2.2:8080")
	serve(t, s.hosts[1].NS, outside, 1<<20)
	if seen, _, err := ask(a.NS, outside, 5*time.Second); err != nil || seen != "192.0.2.1" {
		t.Fatalf("the outside saw %q, %v", seen, err)
	}
}

func TestKernelIsolation(t *testing.T) {
	s := newSite(t, 2, 1, 2)
	a, near, far := s.hosts[0].addBox(1, 5), s.hosts[0].addBox(2, 5), s.hosts[1].addBox(2, 6)
	s.converge(a, near, far)
	for _, b := range []*box{near, far} {
		to := netip.AddrPortFrom(b.addr, 80)
		serve(t, b.NS, to, 0)
		if seen, _, err := ask(a.NS, to, 700*time.Millisecond); err == nil {
			t.Errorf("%s reached %s of another network as %s", a.addr, b.addr, seen)
		}
	}
	// What was refused above works within one network.
	if _, _, err := ask(near.NS, netip.AddrPortFrom(far.addr, 80), 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestKernelInternalNetworkHasNoWayOut(t *testing.T) {
	s := newSite(t, 2, 1, 2)
	n := s.set.Networks[networkID(1)]
	n.Spec.Internal, n.Subnets[0].Gateway = true, netip.Addr{}
	s.set.Networks[networkID(1)] = n
	shut, open := s.hosts[0].addBox(1, 5), s.hosts[0].addBox(2, 5)
	shut.spec.Interfaces[0].DefaultVia = nil
	s.converge(shut, open)
	// Even a sandbox that sends its packets to the bridge's own MAC gets none through.
	shut.With(func(c *nl.Conn) error {
		l, via := shut.Link("eth0"), netip.MustParseAddr("10.0.1.1")
		if err := c.ReplaceRoute(nl.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: via, Index: l.Index}); err != nil {
			return err
		}
		return c.SetNeighs([]nl.Neigh{{Index: l.Index, MAC: swarmnet.GatewayMAC(1), Addr: via}})
	})
	outside := "192.0.2.2:8080"
	var ln net.PacketConn
	s.hosts[1].Do(func() (err error) { ln, err = net.ListenPacket("udp4", outside); return err })
	defer ln.Close()
	say := func(b *box, what string) {
		b.Do(func() error {
			c, err := net.Dial("udp4", outside)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte(what))
			return err
		})
	}
	// The way is the same for both, so what the open one says last comes last. Its first word finds the neighbours on the way.
	buf := make([]byte, 64)
	if err := ln.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"first", "last"} {
		say(shut, "from inside")
		say(open, word)
		for got := ""; got != word; {
			n, from, err := ln.ReadFrom(buf)
			if err != nil {
				t.Fatal(err)
			}
			if got = string(buf[:n]); got == "from inside" {
				t.Fatalf("a packet of the internal network got out, as %s", from)
			}
		}
	}
}

func TestKernelSecondPassDoesNothing(t *testing.T) {
	s := newSite(t, 2, 1)
	a, b := s.hosts[0].addBox(1, 5), s.hosts[1].addBox(1, 6)
	s.converge(a, b)
	for _, h := range s.hosts {
		if ops := h.reconcile(); len(ops) != 0 {
			t.Errorf("%s: a second pass does %v", h.id, ops)
		}
	}
}

func TestKernelOrphansGo(t *testing.T) {
	s := newSite(t, 1, 1)
	h := s.hosts[0]
	h.addBox(1, 5)
	h.reconcile()
	h.inFabric().With(func(c *nl.Conn) error { return c.AddBridge("br-999", swarmnet.MAC{}, 1400) })
	h.inFabric().With(func(c *nl.Conn) error { return c.AddBridge("br-what", swarmnet.MAC{}, 1400) })
	h.inFabric().With(func(c *nl.Conn) error { return c.AddBridge("theirs", swarmnet.MAC{}, 1400) })
	clear(s.set.Tasks)
	clear(s.set.Endpoints)
	h.reconcile()
	want := []string{"br-4096", "lo", "theirs", "uplink", "vx-4096"}
	if got := linkNames(h.inFabric()); !slices.Equal(got, want) {
		t.Errorf("the fabric has %v, want %v", got, want)
	}
	if got, want := linkNames(h.NS), []string{"eth0", "lo", "swarmnet0"}; !slices.Equal(got, want) {
		t.Errorf("the host has %v, want %v", got, want)
	}
	if ops := h.reconcile(); len(ops) != 0 {
		t.Errorf("a second pass does %v", ops)
	}
}

func linkNames(ns *kerneltest.NS) (names []string) {
	ns.With(func(c *nl.Conn) error {
		links, err := c.Links()
		for _, l := range links {
			names = append(names, l.Name)
		}
		return err
	})
	slices.Sort(names)
	return names
}

// Whatever is deleted or changed in the fabric, the next pass puts right, and the sandboxes reach each other again.
func TestKernelRepair(t *testing.T) {
	s := newSite(t, 2, 1)
	h := s.hosts[0]
	a, b := h.addBox(1, 5), s.hosts[1].addBox(1, 6)
	s.converge(a, b)
	to := netip.AddrPortFrom(b.addr, 80)
	serve(t, b.NS, to, 0)
	peer, peerMAC := subnet(swarmnet.FirstVNI, 12).Addr(), swarmnet.MACFor(subnet(swarmnet.FirstVNI, 12).Addr())
	index := func(name string) int { return h.inFabric().Link(name).Index }
	remote := netip.MustParseAddr("192.0.2.2")
	for name, breakIt := range map[string]func(*nl.Conn) error{
		"bridge":        func(c *nl.Conn) error { return c.DelLink("br-1") },
		"VXLAN device":  func(c *nl.Conn) error { return c.DelLink("vx-1") },
		"uplink":        func(c *nl.Conn) error { return c.DelLink(UplinkName) },
		"out of bridge": func(c *nl.Conn) error { return c.SetMaster(index("vx-1"), 0) },
		"MTU":           func(c *nl.Conn) error { return c.SetMTU(index("vx-1"), 1000) },
		"MAC":           func(c *nl.Conn) error { return c.SetMAC(index("br-1"), swarmnet.MAC{2, 1, 1, 1, 1, 1}) },
		"gateway":       func(c *nl.Conn) error { return c.DelAddr(index("br-1"), subnet(1, 1)) },
		"foreign addr":  func(c *nl.Conn) error { return c.AddAddr(index("br-1"), netip.MustParsePrefix("198.51.100.1/24")) },
		"connected":     func(c *nl.Conn) error { return c.DelRoute(nl.Route{Dst: subnet(1, 0), Index: index("br-1")}) },
		"FDB": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("vx-1"), MAC: swarmnet.MACFor(b.addr), VTEP: remote}})
		},
		"bridge FDB": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("vx-1"), MAC: swarmnet.MACFor(b.addr)}})
		},
		"wrong VTEP": func(c *nl.Conn) error {
			return c.SetNeighs([]nl.Neigh{{Index: index("vx-1"), MAC: swarmnet.MACFor(b.addr), VTEP: netip.MustParseAddr("192.0.2.99")}})
		},
		"ARP answer":     func(c *nl.Conn) error { return c.DelNeighs([]nl.Neigh{{Index: index("vx-1"), Addr: b.addr}}) },
		"peer neighbour": func(c *nl.Conn) error { return c.DelNeighs([]nl.Neigh{{Index: index("br-4096"), Addr: peer}}) },
		"foreign FDB": func(c *nl.Conn) error {
			return c.SetNeighs([]nl.Neigh{{Index: index("vx-1"), MAC: swarmnet.MAC{2, 7, 7, 7, 7, 7}, VTEP: remote}})
		},
		"wrong neighbour": func(c *nl.Conn) error {
			return c.SetNeighs([]nl.Neigh{{Index: index("br-4096"), Addr: peer, MAC: swarmnet.MAC{2, 7, 7, 7, 7, 7}}})
		},
		"placeholder": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("br-4096"), Addr: overlay.PlaceholderAddr4}})
		},
		"placeholder's FDB": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("vx-4096"), MAC: overlay.PlaceholderMAC}})
		},
		"peer's FDB": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("vx-4096"), MAC: peerMAC, VTEP: remote}})
		},
		"default route": func(c *nl.Conn) error {
			return c.DelRoute(nl.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: DefaultUplink().Host4.Addr(), Index: index(UplinkName)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.inFabric().With(breakIt)
			before := state(h)
			h.reconcile()
			if after := state(h); after == before {
				t.Fatalf("nothing was broken, or nothing repaired:\n%s", after)
			}
			if ops := h.reconcile(); len(ops) != 0 {
				t.Errorf("a second pass does %v", ops)
			}
			s.converge(a, b)
			if _, _, err := ask(a.NS, to, 5*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// state is everything of the fabric that Repair breaks, as text.
func state(h *host) string {
	var out []string
	h.inFabric().With(func(c *nl.Conn) error {
		links, err := c.Links()
		if err != nil {
			return err
		}
		for _, l := range links {
			addrs, err := c.Addrs(l.Index)
			if err != nil {
				return err
			}
			neighs, err := c.Neighs(l.Index)
			if err != nil {
				return err
			}
			fdb, err := c.FDB(l.Index)
			if err != nil {
				return err
			}
			slices.SortFunc(neighs, func(a, b nl.Neigh) int { return strings.Compare(a.String(), b.String()) })
			slices.SortFunc(fdb, func(a, b nl.Neigh) int { return strings.Compare(a.String(), b.String()) })
			out = append(out, l.Name, l.MAC.String(), strconv.Itoa(l.MTU), strconv.Itoa(l.Master), stringsOf(addrs), stringsOf(neighs), stringsOf(fdb))
		}
		return nil
	})
	h.inFabric().Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/route")
		out = append(out, string(b))
		return err
	})
	return strings.Join(out, "\n")
}

func stringsOf[T interface{ String() string }](list []T) string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return strings.Join(out, ",")
}

func TestKernelManyRemotes(t *testing.T) {
	s := newSite(t, 1, 1)
	h := s.hosts[0]
	h.addBox(1, 5)
	h.reconcile()
	const n = 10_000
	d := h.desired()
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)})
		d.Networks[0].Remotes = append(d.Networks[0].Remotes, overlay.Remote{MAC: swarmnet.MACFor(addr), Addrs: []netip.Addr{addr}, VTEP: netip.MustParseAddr("192.0.2.2")})
	}
	for _, pass := range []struct {
		what string
		ops  int
	}{{"make", 3 * n}, {"look at", 0}} {
		start := time.Now()
		ops, err := h.fabric.Reconcile(t.Context(), d)
		if err != nil || len(ops) != pass.ops {
			t.Fatalf("%s: %d changes, want %d: %v", pass.what, len(ops), pass.ops, err)
		}
		t.Logf("%s %d remotes: %v", pass.what, n, time.Since(start).Round(time.Millisecond))
	}
}

func TestKernelUnderlayMTU(t *testing.T) {
	s := newSite(t, 1)
	if mtu, err := s.hosts[0].fabric.UnderlayMTU(netip.MustParseAddr("192.0.2.1")); err != nil || mtu != underlayMTU {
		t.Errorf("got %d, %v", mtu, err)
	}
	if _, err := s.hosts[0].fabric.UnderlayMTU(netip.MustParseAddr("192.0.2.77")); err == nil {
		t.Error("an address that the host has not got has an MTU")
	}
}

func TestKernelChooseVTEP(t *testing.T) {
	s := newSite(t, 1)
	h := s.hosts[0]
	own := netip.MustParseAddr("192.0.2.1")
	if got, err := ChooseVTEP(h.Path, own); got != own || err != nil {
		t.Errorf("an address of the host: %v, %v", got, err)
	}
	if got, err := ChooseVTEP(h.Path, netip.Addr{}); err == nil {
		t.Errorf("without a way out: %v", got)
	}
	h.With(func(c *nl.Conn) error {
		return c.ReplaceRoute(nl.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.254"), Index: h.Link("eth0").Index})
	})
	for _, advertise := range []string{"0.0.0.0", "203.0.113.7"} {
		if got, err := ChooseVTEP(h.Path, netip.MustParseAddr(advertise)); got != own || err != nil {
			t.Errorf("advertising %s: %v, %v", advertise, got, err)
		}
	}
}
