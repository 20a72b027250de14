package kernel

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"

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
	const size = 1 << 20 // many full packets: the MTU must be right
	before := received(idle.NS, "eth0")
	for _, pair := range [][2]netip.Addr{{a.addr, b.addr}, {a.six, b.six}} {
		server := netip.AddrPortFrom(pair[1], 80)
		serve(t, b.NS, server, size)
		if seen, got, err := ask(a.NS, server, 5*time.Second); err != nil || seen != pair[0].String() || got != size {
			t.Fatalf("%s: seen %q, %d octets, %v", server, seen, got, err)
		}
	}
	// Broadcasts and multicasts it does see; of the stream's 750 packets, none.
	if more := received(idle.NS, "eth0") - before; more > 50 {
		t.Errorf("a sandbox on the same bridge saw %d packets that were not for it", more)
	}
	// On the server's own host, too.
	for _, pair := range [][2]netip.Addr{{idle.addr, b.addr}, {idle.six, b.six}} {
		if seen, _, err := ask(idle.NS, netip.AddrPortFrom(pair[1], 80), 5*time.Second); err != nil || seen != pair[0].String() {
			t.Fatalf("on one host: seen %q, %v", seen, err)
		}
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
	for outside, own := range map[string]string{"192.0.2.2:8080": "192.0.2.1", "[2001:db8:1::2]:8080": "2001:db8:1::1"} {
		to := netip.MustParseAddrPort(outside)
		serve(t, s.hosts[1].NS, to, 1<<20)
		if seen, _, err := ask(a.NS, to, 5*time.Second); err != nil || seen != own {
			t.Fatalf("%s saw %q, %v", outside, seen, err)
		}
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
	n.Spec.Internal, n.Subnets[0].Gateway, n.Subnets[1].Gateway = true, netip.Addr{}, netip.Addr{}
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

// A daemon that is killed anywhere in the middle leaves something that the next one makes whole, and that one leaves nothing to do.
func TestKernelInterrupted(t *testing.T) {
	s := newSite(t, 1, 1)
	h := s.hosts[0]
	h.reconcile() // the ingress network alone
	h.addBox(1, 5)
	s.addHost(2).addBox(1, 6)
	whole := h.desired()
	empty := whole
	empty.Networks = nil
	steps := len(whole.Objects())
	for k := range steps + 1 {
		for _, way := range [][2]overlay.Desired{{empty, whole}, {whole, empty}} {
			if _, err := h.fabric.Reconcile(t.Context(), way[0]); err != nil {
				t.Fatal(err)
			}
			c, err := h.fabric.open(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			ops := overlay.Diff(way[0].Objects(), way[1].Objects())
			err = c.apply(ops[:min(k, len(ops))])
			c.close()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.fabric.Reconcile(t.Context(), way[1]); err != nil {
				t.Fatalf("after %d of %v: %v", k, ops, err)
			}
			if ops, err := h.fabric.Reconcile(t.Context(), way[1]); err != nil || len(ops) != 0 {
				t.Fatalf("after %d steps a second pass does %v, %v", k, ops, err)
			}
		}
	}
}

func TestKernelRemove(t *testing.T) {
	s := newSite(t, 1, 1)
	h := s.hosts[0]
	h.addBox(1, 5)
	for range 3 { // at once again: nothing of the one before is in the way
		h.reconcile()
		for range 2 {
			if err := h.fabric.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := linkNames(h.NS), []string{"eth0", "lo"}; !slices.Equal(got, want) {
		t.Errorf("the host has %v, want %v", got, want)
	}
	h.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := c.ListTables()
		if len(tables) != 0 {
			t.Errorf("%d nftables tables are left", len(tables))
		}
		return err
	})
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
