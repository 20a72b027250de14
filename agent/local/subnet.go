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

// subnets are those of a new network: the ones asked for, and one chosen of each family that it has and none was asked for. An IPv6 one that is chosen
// is unique local, of a pool that is the network's own (RFC 4193).
func (s State) subnets(id swarmnet.NetworkID, spec swarmnet.NetworkSpec, d driver.Driver, env Env) ([]swarmnet.Subnet, error) {
	outside := d.Addresses == driver.Named // its members are on the parent's network, to which the host has a route
	pools := append(slices.Clone(networkPools), ipam.ULA("network", string(id)))
	var out []swarmnet.Subnet
	for i, wish := range ipam.Wishes(spec) {
		six, prefix := i == 1, wish.Subnet
		switch {
		case prefix.IsValid():
			if err := s.freeSubnet(prefix, env, !outside); err != nil {
				return nil, err
			}
		case outside && len(spec.IPAM) > 0:
			family := map[bool]string{false: "IPv4", true: "IPv6"}[six]
			return nil, refuse(Invalid, "a %s network has addresses of its parent's network: name its %s subnet with --subnet, too", d.Name, family)
		case outside:
			return nil, refuse(Invalid, "a %s network has addresses of its parent's network: name its subnet with --subnet, and with --ip-range the part that nobody else there gives out", d.Name)
		default:
			var ok bool
			if prefix, ok = ipam.NextSubnet(pools, six, s.usedPrefixes(env, true)); !ok {
				return nil, refuse(Refused, "no subnet is left to choose from: name one with --subnet")
			}
		}
		out = append(out, ipam.Make(prefix, wish, spec.Internal))
	}
	return out, nil
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
