package local

import (
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ipam"
)

// maxFreed bounds how many freed addresses of a network are remembered; older ones are given out as if never held.
const maxFreed = 1024

// newEndpoint is an endpoint of a sandbox on a network, without addresses.
func (s State) newEndpoint(sb Sandbox, n Network, att swarmnet.NetworkAttachment, env Env) swarmnet.Endpoint {
	return swarmnet.Endpoint{
		ID: swarmnet.EndpointID(swarmnet.DeriveID("endpoint", string(sb.ID), string(n.ID))), Network: n.ID, Task: sb.ID, MAC: att.MAC,
		Aliases: slices.Clone(att.Aliases), Meta: swarmnet.Meta{CreatedAt: env.Now, UpdatedAt: env.Now},
	}
}

// allocate gives an endpoint its addresses: fixed ones where they were asked for, else the lowest that was never held, else the one that has
// been free the longest.
func (s State) allocate(ep swarmnet.Endpoint, n Network, att swarmnet.NetworkAttachment) (swarmnet.Endpoint, error) {
	for _, want := range att.Addrs {
		if !slices.ContainsFunc(n.Subnets, func(sub swarmnet.Subnet) bool { return sub.Prefix.Contains(want) }) {
			return ep, refuse(Invalid, "address %s is outside network %s: it has %s", want, n.Spec.Name, prefixes(n))
		}
	}
	held := s.held(n.ID)
	for _, sub := range n.Subnets {
		addr, err := fixed(sub, n, att, held)
		if err != nil {
			return ep, err
		}
		if !addr.IsValid() {
			if addr = choose(sub, n.Freed, held); !addr.IsValid() {
				return ep, refuse(Refused, "network %s has no free address left in %s: remove a sandbox, or make a larger network", n.Spec.Name, sub.Prefix)
			}
		}
		ep.Addrs = append(ep.Addrs, netip.PrefixFrom(addr, sub.Prefix.Bits()))
	}
	if ep.MAC.IsZero() {
		ep.MAC = swarmnet.MACFor(ep.Addrs[0].Addr())
	}
	for _, other := range s.Sandboxes { // one at most has it
		for _, have := range other.Endpoints {
			if have.Network == n.ID && have.MAC == ep.MAC {
				return ep, refuse(Refused, "Ethernet address %s is taken on network %s by sandbox %s", ep.MAC, n.Spec.Name, other.Spec.Name)
			}
		}
	}
	return ep, nil
}

// held are the addresses of a network that endpoints have, and who.
func (s State) held(id swarmnet.NetworkID) map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, sb := range s.Sandboxes {
		for _, ep := range sb.Endpoints {
			if ep.Network != id {
				continue
			}
			for _, p := range ep.Addrs {
				out[p.Addr()] = sb.Spec.Name
			}
		}
	}
	return out
}

// fixed is the address of the subnet that was asked for, or the zero Addr.
func fixed(sub swarmnet.Subnet, n Network, att swarmnet.NetworkAttachment, held map[netip.Addr]string) (netip.Addr, error) {
	for _, want := range att.Addrs {
		if !sub.Prefix.Contains(want) {
			continue
		}
		if why := ipam.Reserved(sub, want); why != "" {
			return netip.Addr{}, refuse(Refused, "address %s of network %s is kept for its %s: choose another", want, n.Spec.Name, why)
		}
		if holder, taken := held[want]; taken {
			return netip.Addr{}, refuse(Refused, "address %s of network %s is taken by sandbox %s: choose another", want, n.Spec.Name, holder)
		}
		return want, nil
	}
	return netip.Addr{}, nil
}

// choose returns the zero Addr when nothing is left.
func choose(sub swarmnet.Subnet, freed []netip.Addr, held map[netip.Addr]string) netip.Addr {
	rests := make(map[netip.Addr]bool, len(freed))
	for _, a := range freed {
		rests[a] = true
	}
	for a := ipam.First(sub); a.IsValid(); a = ipam.Next(sub, a) {
		if _, taken := held[a]; !taken && !rests[a] {
			return a
		}
	}
	for _, a := range freed {
		if _, taken := held[a]; !taken && ipam.InRange(sub, a) {
			return a
		}
	}
	return netip.Addr{}
}

// free notes that an endpoint's addresses are nobody's any more.
func (s State) free(ep swarmnet.Endpoint) State {
	n, ok := s.Networks[ep.Network]
	if !ok || n.Conf != "" {
		return s
	}
	n.Freed = slices.Clone(n.Freed)
	for _, p := range ep.Addrs {
		n.Freed = append(slices.DeleteFunc(n.Freed, func(a netip.Addr) bool { return a == p.Addr() }), p.Addr())
	}
	n.Freed = n.Freed[max(0, len(n.Freed)-maxFreed):]
	return s.withNetwork(n)
}

func prefixes(n Network) string {
	out := ""
	for i, sub := range n.Subnets {
		if i > 0 {
			out += " and "
		}
		out += sub.Prefix.String()
	}
	return out
}
