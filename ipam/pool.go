package ipam

import (
	"crypto/sha256"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/swarmnet/swarmnet"
)

// ULA is a pool of unique local IPv6 subnets (RFC 4193): fd and 40 bits made of the seed, of which each network takes a /64 (section 3.1). The same
// seed gives the same pool; two seeds the same one once in 2^40.
func ULA(seed ...string) swarmnet.AddrPool {
	h := sha256.New()
	for _, s := range seed {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	a := [16]byte{0: 0xfd}
	copy(a[1:6], h.Sum(nil))
	return swarmnet.AddrPool{Base: netip.PrefixFrom(netip.AddrFrom16(a), 48), Size: 64}
}

// Wishes are what is wished of a network's subnets, one of each family that it has, IPv4 first: a network has IPv4 always, and IPv6 when it is asked
// for. A family that nothing is said of gets an empty wish.
func Wishes(spec swarmnet.NetworkSpec) []swarmnet.IPAMConfig {
	out := []swarmnet.IPAMConfig{{}}
	if spec.IPv6 {
		out = append(out, swarmnet.IPAMConfig{})
	}
	for _, c := range spec.IPAM {
		switch {
		case !c.Subnet.IsValid():
		case c.Subnet.Addr().Is4():
			out[0] = c
		case spec.IPv6:
			out[1] = c
		}
	}
	return out
}

// NextSubnet returns the lowest subnet of the first pool of IPv4 or IPv6 addresses that has one which overlaps none of
// used. It takes time in the number of used prefixes, not in the size of the pool.
func NextSubnet(pools []swarmnet.AddrPool, is6 bool, used []netip.Prefix) (netip.Prefix, bool) {
	used = slices.Clone(used)
	slices.SortFunc(used, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	for _, pool := range pools {
		if pool.Base.Addr().Is6() != is6 {
			continue
		}
		if p, ok := nextIn(pool, used); ok {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

func nextIn(pool swarmnet.AddrPool, used []netip.Prefix) (netip.Prefix, bool) {
	// used is sorted: one walk upwards meets each prefix that can be in the way once.
	p := netip.PrefixFrom(pool.Base.Addr(), pool.Size)
	for _, u := range used {
		if !u.Overlaps(p) {
			continue
		}
		last := netipx.PrefixLastIP(u)
		if l := netipx.PrefixLastIP(p); l.Compare(last) > 0 {
			last = l
		}
		next := last.Next()
		if !next.IsValid() || !pool.Base.Contains(next) {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(next, pool.Size)
	}
	return p, true
}
