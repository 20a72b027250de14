package ipam

import (
	"net/netip"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
)

func TestSubnet(t *testing.T) {
	p := netip.MustParsePrefix
	a := netip.MustParseAddr
	for _, tc := range []struct {
		name     string
		prefix   string
		wish     swarmnet.IPAMConfig
		internal bool
		gateway  string
		addrs    []string
	}{
		{"plain", "10.0.0.0/29", swarmnet.IPAMConfig{}, false, "10.0.0.1", []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}},
		{"internal has no gateway", "10.0.0.0/30", swarmnet.IPAMConfig{}, true, "invalid IP", []string{"10.0.0.1", "10.0.0.2"}},
		{"own gateway", "10.0.0.0/29", swarmnet.IPAMConfig{Gateway: a("10.0.0.4")}, false, "10.0.0.4", []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"}},
		{"aux", "10.0.0.0/29", swarmnet.IPAMConfig{Aux: map[string]netip.Addr{"router": a("10.0.0.1"), "nas": a("10.0.0.4")}}, false, "10.0.0.2", []string{"10.0.0.3", "10.0.0.5", "10.0.0.6"}},
		{"range", "10.0.0.0/24", swarmnet.IPAMConfig{Range: p("10.0.0.252/30")}, false, "10.0.0.1", []string{"10.0.0.252", "10.0.0.253", "10.0.0.254"}},
		{"IPv6 has no broadcast", "fd00::/126", swarmnet.IPAMConfig{}, false, "fd00::1", []string{"fd00::2", "fd00::3"}},
		{"the end of all addresses", "255.255.255.252/30", swarmnet.IPAMConfig{}, false, "255.255.255.253", []string{"255.255.255.254"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sub := Make(p(tc.prefix), tc.wish, tc.internal)
			if got := sub.Gateway.String(); got != tc.gateway {
				t.Errorf("gateway %s, want %s", got, tc.gateway)
			}
			var got []string
			for a := First(sub); a.IsValid(); a = Next(sub, a) {
				got = append(got, a.String())
			}
			if len(got) != len(tc.addrs) {
				t.Fatalf("addresses %v, want %v", got, tc.addrs)
			}
			for i := range got {
				if got[i] != tc.addrs[i] {
					t.Fatalf("addresses %v, want %v", got, tc.addrs)
				}
			}
		})
	}
}

// A pool is given out completely, in ascending order and without overlaps, whatever else is in use.
func TestNextSubnet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := netip.MustParsePrefix("10.0.0.0/20")
		size := rapid.IntRange(22, 28).Draw(t, "size")
		var used []netip.Prefix
		for range rapid.IntRange(0, 8).Draw(t, "others") {
			b := rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, "octets")
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, b[0] & 31, b[1]}), rapid.IntRange(18, 30).Draw(t, "bits")).Masked()
			used = append(used, p)
		}
		var want []netip.Prefix // by trying every one
		for p := netip.PrefixFrom(base.Addr(), size); base.Contains(p.Addr()); {
			free := true
			for _, u := range used {
				free = free && !u.Overlaps(p)
			}
			if free {
				want = append(want, p)
			}
			next := p.Addr()
			for range 1 << (32 - size) {
				next = next.Next()
			}
			p = netip.PrefixFrom(next, size)
		}
		for _, w := range want {
			got, ok := NextSubnet([]swarmnet.AddrPool{{Base: base, Size: size}}, false, used)
			if !ok || got != w {
				t.Fatalf("got %v %v, want %v", got, ok, w)
			}
			used = append(used, got)
		}
		if got, ok := NextSubnet([]swarmnet.AddrPool{{Base: base, Size: size}}, false, used); ok {
			t.Fatalf("got %v from a pool that is used up", got)
		}
	})
}

// A seed has its own unique local pool (RFC 4193), always the same, and networks take 64 bits of it, one after the other.
func TestULA(t *testing.T) {
	one, two := ULA("cluster", "a"), ULA("cluster", "b")
	if one != ULA("cluster", "a") || one == two || one == ULA("clustera") {
		t.Errorf("pools %v and %v", one, two)
	}
	if err := one.Validate(); err != nil || one.Base.Bits() != 48 || !netip.MustParsePrefix("fd00::/8").Contains(one.Base.Addr()) {
		t.Errorf("pool %v: %v", one, err)
	}
	var used []netip.Prefix
	for range 3 {
		p, ok := NextSubnet([]swarmnet.AddrPool{{Base: netip.MustParsePrefix("10.0.0.0/8"), Size: 24}, one}, true, used)
		if !ok || p.Bits() != 64 || !one.Base.Contains(p.Addr()) {
			t.Fatalf("subnet %v of %v", p, one)
		}
		used = append(used, p)
	}
	if used[0] == used[1] || used[1] == used[2] {
		t.Errorf("subnets %v", used)
	}
}

// Whatever is wished of the families, there is one IPv4 subnet, and with IPv6 one of that: the first is what a MAC is made of.
func TestWishes(t *testing.T) {
	four, six := swarmnet.IPAMConfig{Subnet: netip.MustParsePrefix("10.0.0.0/24")}, swarmnet.IPAMConfig{Subnet: netip.MustParsePrefix("fd00::/64")}
	none := swarmnet.IPAMConfig{}
	for _, tc := range []struct {
		ipv6 bool
		asks []swarmnet.IPAMConfig
		want []swarmnet.IPAMConfig
	}{
		{false, nil, []swarmnet.IPAMConfig{none}},
		{false, []swarmnet.IPAMConfig{none}, []swarmnet.IPAMConfig{none}},
		{true, nil, []swarmnet.IPAMConfig{none, none}},
		{true, []swarmnet.IPAMConfig{six}, []swarmnet.IPAMConfig{none, six}},
		{true, []swarmnet.IPAMConfig{four}, []swarmnet.IPAMConfig{four, none}},
		{true, []swarmnet.IPAMConfig{six, four}, []swarmnet.IPAMConfig{four, six}},
	} {
		if got := Wishes(swarmnet.NetworkSpec{IPv6: tc.ipv6, IPAM: tc.asks}); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("ipv6=%v %v: %v, want %v", tc.ipv6, tc.asks, got, tc.want)
		}
	}
}
