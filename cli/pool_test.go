package cli

import (
	"net/netip"
	"testing"
)

// --default-addr-pool-mask-length is about IPv4: subnets of IPv6 have 64 bits, or all that a smaller pool has.
func TestPoolLength(t *testing.T) {
	f := clusterFlags{poolSize: 24}
	for base, want := range map[string]int{"10.0.0.0/8": 24, "fd00::/48": 64, "fd00::/64": 64, "fd00::/80": 80} {
		p := f.pool(netip.MustParsePrefix(base))
		if err := p.Validate(); p.Size != want || err != nil {
			t.Errorf("%s: /%d, want /%d: %v", base, p.Size, want, err)
		}
	}
}
