package kernel

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
)

// listing is what makes the table of nothing, a line an op.
func listing(t ipvs.Table) string {
	var out []string
	for _, o := range ipvs.Diff(nil, t) {
		out = append(out, o.String())
	}
	return strings.Join(out, "\n")
}

func TestPortServices(t *testing.T) {
	at := func(addrs ...string) (out []ingress.Backend) {
		for _, a := range addrs {
			p := netip.MustParseAddrPort(a)
			out = append(out, ingress.Backend{Addr: p.Addr(), Port: p.Port()})
		}
		return out
	}
	behind := ingress.Port{Published: 8080, Backends: at("10.0.1.1:80", "[fd00:1::1]:80"), Draining: at("10.0.1.2:80"), Lost: at("10.0.1.3:80")}
	udp := behind
	udp.Protocol = swarmnet.UDP
	ports := []ingress.Port{behind, udp, {Published: 8081}, {Protocol: swarmnet.SCTP, Published: 8082, Lost: at("10.0.1.3:80")}, {Protocol: swarmnet.UDP, Published: 8083, Lost: at("10.0.1.3:80")}}
	got := listing(portServices(Config{}.withDefaults().FabricAddrs, ports, ipvs.RoundRobin))
	want := `ipvs tcp 169.254.77.2:8080 scheduler rr
ipvs tcp [fd00:5377:6d00::2]:8080 scheduler rr
ipvs udp 169.254.77.2:8080 scheduler rr
ipvs udp [fd00:5377:6d00::2]:8080 scheduler rr
ipvs sctp 169.254.77.2:8082 scheduler rr
ipvs tcp 169.254.77.2:8080 -> 10.0.1.1:80 weight 1
ipvs tcp 169.254.77.2:8080 -> 10.0.1.2:80 weight 0
ipvs tcp 169.254.77.2:8080 -> 10.0.1.3:80 weight 0
ipvs tcp [fd00:5377:6d00::2]:8080 -> [fd00:1::1]:80 weight 1
ipvs udp 169.254.77.2:8080 -> 10.0.1.1:80 weight 1
ipvs udp 169.254.77.2:8080 -> 10.0.1.2:80 weight 0
ipvs udp [fd00:5377:6d00::2]:8080 -> [fd00:1::1]:80 weight 1
ipvs sctp 169.254.77.2:8082 -> 10.0.1.3:80 weight 0`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestVIPServices(t *testing.T) {
	a := netip.MustParseAddr
	vips := ingress.VIPs{
		{Addr: a("10.0.1.9"), Backends: []netip.Addr{a("10.0.1.1")}, Draining: []netip.Addr{a("10.0.1.2")}, Lost: []netip.Addr{a("10.0.1.3")}},
		{Addr: a("10.0.1.10")},
		{Addr: a("fd00:1::9"), Backends: []netip.Addr{a("fd00:1::1")}},
	}
	got := listing(vipServices(withMarks(vips), ipvs.Maglev))
	want := `ipvs fwmark 0x7752b872 ipv6 scheduler mh
ipvs fwmark 0x7752b873 ipv6 scheduler mh
ipvs fwmark 0x775caa34 scheduler mh
ipvs fwmark 0x775caa35 scheduler mh
ipvs fwmark 0x7752b872 ipv6 -> [fd00:1::1]:0 weight 1
ipvs fwmark 0x7752b873 ipv6 -> [fd00:1::1]:0 weight 1
ipvs fwmark 0x775caa34 -> 10.0.1.1:0 weight 1
ipvs fwmark 0x775caa34 -> 10.0.1.2:0 weight 0
ipvs fwmark 0x775caa35 -> 10.0.1.1:0 weight 1
ipvs fwmark 0x775caa35 -> 10.0.1.2:0 weight 0
ipvs fwmark 0x775caa35 -> 10.0.1.3:0 weight 0`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What nftables sets is what IPVS has: an address that takes connections leads to two services, and one that takes none is refused.
func TestMarkTable(t *testing.T) {
	a := netip.MustParseAddr
	vips := ingress.VIPs{
		{Addr: a("10.0.1.9"), Backends: []netip.Addr{a("10.0.1.1")}, Lost: []netip.Addr{a("10.0.1.3")}},
		{Addr: a("10.0.1.10"), Draining: []netip.Addr{a("10.0.1.2")}},
		{Addr: a("fd00:1::9"), Backends: []netip.Addr{a("fd00:1::1")}},
	}
	services := vipServices(withMarks(vips), ipvs.Maglev)
	led := map[ipvs.Key]bool{}
	for _, s := range markTable(marked{vips, markOf(vips)}).Sets {
		v6 := strings.HasSuffix(s.Name, "6")
		switch {
		case strings.HasPrefix(s.Name, "streams"), strings.HasPrefix(s.Name, "others"):
			if len(s.Elems) != 1 {
				t.Errorf("%s has %d elements", s.Name, len(s.Elems))
			}
			for _, data := range s.Elems {
				for k := range services {
					if keyNative(k.Mark) == data && k.V6 == v6 {
						led[k] = true
						if stream := k.Mark&markStream != 0; stream != strings.HasPrefix(s.Name, "streams") {
							t.Errorf("%s leads to %s", s.Name, k)
						}
					}
				}
			}
		case s.Name == "refused4":
			if _, refused := s.Elems[keyAddr(a("10.0.1.10"))]; !refused || len(s.Elems) != 1 {
				t.Errorf("refused are %d", len(s.Elems))
			}
		}
	}
	for k, s := range services {
		open := false
		for _, d := range s.Dests {
			open = open || d.Weight > 0
		}
		if led[k] != open {
			t.Errorf("packets are led to %s: %v, it takes new connections: %v", k, led[k], open)
		}
	}
}

// Every virtual address has marks of its own, which are ours, and keeps them while others come and go, but for clashes, which are too rare to be met.
func TestMarksAreUniqueAndStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var vips ingress.VIPs
		for _, n := range rapid.SliceOfNDistinct(rapid.Uint16(), 1, 300, rapid.ID).Draw(t, "addresses") {
			vips = append(vips, ingress.VIP{Addr: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})})
		}
		seen := map[uint32]bool{}
		for addr, m := range markOf(vips) {
			if seen[m] || m&markStream != 0 || !oursInSandbox(ipvs.Marked(m, false)) || !oursInSandbox(ipvs.Marked(m|markStream, false)) {
				t.Fatalf("%s has the mark %#x", addr, m)
			}
			seen[m] = true
		}
		alone := markOf(vips[:1])[vips[0].Addr]
		if among := markOf(vips)[vips[0].Addr]; among != alone {
			t.Fatalf("the first address has the mark %#x alone and %#x among others", alone, among)
		}
	})
}
