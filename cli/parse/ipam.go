package parse

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// IPAM puts the --subnet, --gateway, --ip-range and --aux-address flags of `network create` together: each address goes to the subnet
// that holds it, and one that no subnet holds is refused.
func IPAM(subnets, gateways, ranges, aux []string) ([]swarmnet.IPAMConfig, error) {
	var out []swarmnet.IPAMConfig
	for _, s := range subnets {
		p, err := Prefix("subnet", s)
		if err != nil {
			return nil, err
		}
		for _, c := range out {
			if c.Subnet.Overlaps(p) {
				return nil, fmt.Errorf("--subnet %s overlaps --subnet %s", p, c.Subnet)
			}
		}
		out = append(out, swarmnet.IPAMConfig{Subnet: p})
	}
	holder := func(a netip.Addr) *swarmnet.IPAMConfig {
		for i := range out {
			if out[i].Subnet.Contains(a) {
				return &out[i]
			}
		}
		return nil
	}
	for _, s := range gateways {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("--gateway %q is not an IP address", s)
		}
		c := holder(a)
		switch {
		case c == nil:
			return nil, outsideSubnets("gateway", s, subnets)
		case c.Gateway.IsValid():
			return nil, fmt.Errorf("--gateway %s: the subnet %s has the gateway %s already", s, c.Subnet, c.Gateway)
		}
		c.Gateway = a
	}
	for _, s := range ranges {
		p, err := Prefix("ip-range", s)
		if err != nil {
			return nil, err
		}
		c := holder(p.Addr())
		switch {
		case c == nil || p.Bits() < c.Subnet.Bits():
			return nil, outsideSubnets("ip-range", s, subnets)
		case c.Range.IsValid():
			return nil, fmt.Errorf("--ip-range %s: the subnet %s has the range %s already", s, c.Subnet, c.Range)
		}
		c.Range = p
	}
	for _, s := range aux {
		name, text, ok := strings.Cut(s, "=")
		a, err := netip.ParseAddr(text)
		if !ok || name == "" || err != nil {
			return nil, fmt.Errorf("--aux-address %q: NAME=ADDRESS is wanted", s)
		}
		c := holder(a)
		if c == nil {
			return nil, outsideSubnets("aux-address", s, subnets)
		}
		if c.Aux == nil {
			c.Aux = map[string]netip.Addr{}
		}
		if _, dup := c.Aux[name]; dup {
			return nil, fmt.Errorf("--aux-address %q: %s is given twice", s, name)
		}
		c.Aux[name] = a
	}
	return out, nil
}

func outsideSubnets(flag, value string, subnets []string) error {
	if len(subnets) == 0 {
		return fmt.Errorf("--%s %s needs the --subnet that it is in", flag, value)
	}
	return fmt.Errorf("--%s %s is outside the subnet %s: choose one in it", flag, value, strings.Join(subnets, ", "))
}
