package ipam

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/swarmnet/swarmnet"
)

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
