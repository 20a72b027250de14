package kernel

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// solicits reports whether a frame, or the one in a VXLAN packet over IPv4, asks who has an address.
func solicits(addr netip.Addr) func([]byte) bool {
	asks := func(f []byte) bool {
		return addr.Is4() && kerneltest.ARP(f, 1, addr.AsSlice()) || addr.Is6() && kerneltest.NDP(f, 135, addr.AsSlice())
	}
	const outer = 14 + 20 + 8 + 8
	return func(f []byte) bool {
		return asks(f) || len(f) > outer && string(f[12:14]) == "\x08\x00" && f[23] == 17 && asks(f[outer:])
	}
}

// Who is where, the tables know: a solicitation of either family is answered on the node, and neither it nor one for nobody crosses the underlay or
// reaches a sandbox elsewhere.
func TestKernelSolicitationsAreAnsweredHere(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	s := newSite(t, 2, 1)
	a, b := s.hosts[0].addBox(1, 5), s.hosts[1].addBox(1, 6)
	s.converge(a, b)
	own, wire, far := a.Capture("eth0"), s.hosts[0].Capture("eth0"), b.Capture("eth0")
	nobody := []netip.Addr{subnet(1, 77).Addr(), subnet6(1, 77).Addr()}
	for i, addr := range []netip.Addr{b.addr, b.six} {
		a.Say(addr)
		own.Await("a solicitation of "+addr.String(), 1, solicits(addr))
		own.Await("the answer", 1, func(f []byte) bool {
			mac := swarmnet.MACFor(b.addr)
			if addr.Is4() {
				return kerneltest.ARP(f, 2, a.addr.AsSlice()) && string(f[22:28]) == string(mac[:]) && string(f[28:32]) == string(addr.AsSlice())
			}
			return kerneltest.NDP(f, 136, addr.AsSlice()) && string(f[80:86]) == string(mac[:])
		})
		far.Await("the datagram itself", 1, func(f []byte) bool {
			return len(f) > 64 && f[len(f)-1] == 0x77 && string(f[:6]) == string(b.spec.Interfaces[0].MAC[:])
		})
		a.Say(nobody[i])
		own.Await("a solicitation of nobody", 1, solicits(nobody[i]))
	}
	// What is sent to the other box after them comes after them.
	to := netip.AddrPortFrom(b.six, 80)
	serve(t, b.NS, to, 0)
	if _, _, err := ask(a.NS, to, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, addr := range append(nobody, b.addr, b.six) {
		for where, c := range map[string]*kerneltest.Capture{"the underlay": wire, "the other node's sandbox": far} {
			if n := c.Count(solicits(addr)); n != 0 {
				t.Errorf("%s saw %d solicitations of %s", where, n, addr)
			}
		}
	}
}

// An endpoint of another node that is at another MAC now is found there at once by the sandboxes here: no word of it crosses the underlay, so this
// node's fabric passes it on.
func TestKernelMovedEndpointIsAnnounced(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	s := newSite(t, 2, 1)
	a, b := s.hosts[0].addBox(1, 5), s.hosts[1].addBox(1, 6)
	s.converge(a, b)
	own := a.Capture("eth0")
	addrs, was := []netip.Addr{b.addr, b.six}, swarmnet.MACFor(b.addr)
	for _, addr := range addrs {
		a.SendsTo(own, addr, was)
	}
	// Another endpoint has the addresses now.
	is := swarmnet.MAC{2, 0x42, 9, 9, 9, 9}
	for id, ep := range s.set.Endpoints {
		if ep.Node == s.hosts[1].id {
			ep.MAC = is
			s.set.Endpoints[id] = ep
		}
	}
	s.hosts[0].reconcile()
	for _, addr := range addrs {
		own.Await("an announcement of "+addr.String(), 1, func(f []byte) bool {
			return string(f[6:12]) == string(is[:]) && (addr.Is4() && kerneltest.ARP(f, 1, addr.AsSlice()) || addr.Is6() && kerneltest.NDP(f, 136, addr.AsSlice()))
		})
		a.SendsTo(own, addr, is)
	}
}

// Where the underlay takes less than IPv6 must have, the host takes the outer packets apart, and what fills the network's MTU gets through.
func TestKernelIPv6OnANarrowUnderlay(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	s := newSite(t, 2, 1)
	a, b := s.hosts[0].addBox(1, 5), s.hosts[1].addBox(1, 6)
	s.mtu = 1300
	for _, h := range s.hosts {
		h.With(func(c *nl.Conn) error { return c.SetMTU(h.Link("eth0").Index, s.mtu) })
	}
	for _, b := range []*box{a, b} {
		b.spec.Interfaces[0].MTU = 1280
	}
	s.converge(a, b)
	if got := s.hosts[0].inFabric().Link("br-1").MTU; got != 1280 {
		t.Fatalf("the MTU is %d", got)
	}
	bothWays(t, a, b)
}

// bothWays sends many full packets, over both families.
func bothWays(t *testing.T, a, b *box) {
	t.Helper()
	const size = 1 << 20
	for _, pair := range [][2]netip.Addr{{a.addr, b.addr}, {a.six, b.six}} {
		to := netip.AddrPortFrom(pair[1], 80)
		serve(t, b.NS, to, size)
		if seen, got, err := ask(a.NS, to, 10*time.Second); err != nil || got != size || seen != pair[0].String() {
			t.Errorf("%s: seen %q, %d octets, %v", to, seen, got, err)
		}
	}
}

// VXLAN over IPv6: 20 octets more, and nothing else is different.
func TestKernelIPv6Underlay(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	s := newSite(t, 2, 1)
	for i, h := range s.hosts {
		n := s.set.Nodes[h.id]
		n.Description.VTEP = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 1, 15: byte(i + 1)})
		s.set.Nodes[h.id] = n
	}
	a, b := s.hosts[0].addBox(1, 5), s.hosts[1].addBox(1, 6)
	for _, b := range []*box{a, b} {
		b.spec.Interfaces[0].MTU = underlayMTU - 70
	}
	s.converge(a, b)
	if got := s.hosts[0].inFabric().Link("vx-1").MTU; got != underlayMTU-70 {
		t.Errorf("the MTU is %d", got)
	}
	bothWays(t, a, b)
	for _, h := range s.hosts {
		if ops := h.reconcile(); len(ops) != 0 {
			t.Errorf("%s: a second pass does %v", h.id, ops)
		}
	}
}

// Where the kernel has no IPv6, what is wanted of it does not keep the rest from being made.
func TestKernelWithoutIPv6(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	s := newSite(t, 2, 1)
	a := s.hosts[0].addBox(1, 5)
	s.hosts[1].addBox(1, 6)
	all := s.hosts[0].desired().Objects()
	ns := kerneltest.NewNamespace(t)
	for _, has := range []bool{true, false} {
		ns.With(func(c *nl.Conn) error {
			if !has {
				if err := c.Sysctl("net/ipv6/conf/all/disable_ipv6", "1"); err != nil {
					return err
				}
			}
			four, six := 0, 0
			for _, o := range (&conns{fabric: c}).possible(all) {
				switch {
				case o.Addr.Is6() || o.Prefix.Addr().Is6():
					six++
				case o.Addr == a.addr || o.Prefix.IsValid():
					four++
				}
			}
			if c.HasIPv6() != has || four == 0 || (six > 0) != has {
				t.Errorf("IPv6 %v: %d objects of IPv4 and %d of IPv6", has, four, six)
			}
			return nil
		})
	}
}

// Nobody asks for the other end of the link between host and fabric: what is forwarded over it the first time must not wait for an answer, which over
// IPv6 would not come. Entries that somebody takes away come back.
func TestKernelUplinkNeighbours(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	s := newSite(t, 2, 1)
	h, a := s.hosts[0], s.hosts[0].addBox(1, 5)
	s.converge(a)
	wire := h.Capture(HostLink)
	up := DefaultUplink()
	ends := []netip.Addr{up.Fabric4.Addr(), up.Fabric6.Addr(), up.Host4.Addr(), up.Host6.Addr()}
	for outside, own := range map[string]string{"192.0.2.2:8080": "192.0.2.1", "[2001:db8:1::2]:8080": "2001:db8:1::1"} {
		to := netip.MustParseAddrPort(outside)
		serve(t, s.hosts[1].NS, to, 1)
		if seen, _, err := ask(a.NS, to, 5*time.Second); err != nil || seen != own {
			t.Errorf("%s saw %q, %v", outside, seen, err)
		}
	}
	for _, end := range ends {
		if n := wire.Count(solicits(end)); n != 0 {
			t.Errorf("%d solicitations of %s", n, end)
		}
	}
	for ns, addrs := range map[*kerneltest.NS][]netip.Addr{h.NS: ends[:2], h.inFabric(): ends[2:]} {
		ns.With(func(c *nl.Conn) error {
			link := ns.Link(map[bool]string{true: HostLink, false: UplinkName}[ns == h.NS])
			have, err := c.Neighs(link.Index)
			if err != nil || len(have) != 2 || have[0].Addr != addrs[0] || have[1].Addr != addrs[1] {
				t.Errorf("%s has the neighbours %v, want %v: %v", link.Name, have, addrs, err)
			}
			if err := c.DelNeighs(have); err != nil {
				return err
			}
			h.reconcile()
			if again, err := c.Neighs(link.Index); err != nil || !slices.Equal(again, have) {
				t.Errorf("%s has the neighbours %v, want %v: %v", link.Name, again, have, err)
			}
			return nil
		})
	}
}
