package local

import (
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/ipam"
)

// The pools of subnets that are chosen: one for the predefined bridge, one for the rest.
var (
	bridgePools = []swarmnet.AddrPool{
		{Base: netip.MustParsePrefix("172.29.0.0/16"), Size: 16},
		{Base: netip.MustParsePrefix("172.16.0.0/12"), Size: 16},
		{Base: netip.MustParsePrefix("192.168.0.0/16"), Size: 20},
	}
	networkPools = []swarmnet.AddrPool{
		{Base: netip.MustParsePrefix("172.16.0.0/12"), Size: 20},
		{Base: netip.MustParsePrefix("192.168.0.0/16"), Size: 24},
	}
)

// subnets are those of a new network: the ones asked for, and one chosen where no IPv4 subnet was.
func (s State) subnets(spec swarmnet.NetworkSpec, d driver.Driver, env Env) ([]swarmnet.Subnet, error) {
	outside := d.Addresses == driver.Named // its members are on the parent's network, to which the host has a route
	var out []swarmnet.Subnet
	four := false
	for _, wish := range spec.IPAM {
		if !wish.Subnet.IsValid() {
			continue
		}
		if err := s.freeSubnet(wish.Subnet, env, !outside); err != nil {
			return nil, err
		}
		four = four || wish.Subnet.Addr().Is4()
		out = append(out, ipam.Make(wish.Subnet, wish, spec.Internal))
	}
	if four || outside && len(out) > 0 {
		return out, nil
	}
	if outside {
		return nil, refuse(Invalid, "a %s network has addresses of its parent's network: name its subnet with --subnet, and with --ip-range the part that nobody else there gives out", d.Name)
	}
	p, ok := ipam.NextSubnet(networkPools, false, s.usedPrefixes(env, true))
	if !ok {
		return nil, refuse(Refused, "no subnet is left to choose from: name one with --subnet")
	}
	return append([]swarmnet.Subnet{ipam.Make(p, swarmnet.IPAMConfig{}, spec.Internal)}, out...), nil
}

// freeSubnet refuses a subnet that overlaps another network or, with routes, a route of the host.
func (s State) freeSubnet(p netip.Prefix, env Env, routes bool) error {
	for _, n := range s.SortedNetworks() {
		for _, sub := range n.Subnets {
			if sub.Prefix.Overlaps(p) {
				return refuse(Refused, "subnet %s overlaps %s of network %s: choose another", p, sub.Prefix, n.Spec.Name)
			}
		}
	}
	for _, n := range env.Cluster {
		for _, sub := range n.Subnets {
			if sub.Prefix.Overlaps(p) {
				return refuse(Refused, "subnet %s overlaps %s of the cluster's network %s: choose another", p, sub.Prefix, n.Spec.Name)
			}
		}
	}
	if !routes {
		return nil
	}
	for _, r := range hostRoutes(env) {
		if r.Overlaps(p) {
			return refuse(Refused, "subnet %s overlaps this host's route to %s: choose another, or the host could not reach that", p, r)
		}
	}
	return nil
}

// hostRoutes are the host's routes but the default ones.
func hostRoutes(env Env) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(env.Routes), func(p netip.Prefix) bool { return p.Bits() == 0 })
}
