// Package ipam computes with pools, subnets and addresses: what may be given out, and what comes next. It holds nothing:
// who has which address is part of the replicated state.
package ipam

import (
	"net/netip"

	"go4.org/netipx"

	"github.com/swarmnet/swarmnet"
)

// Make returns the subnet that a wish becomes on a prefix: the gateway is the first address unless the wish names one, and
// an internal network has none.
func Make(prefix netip.Prefix, wish swarmnet.IPAMConfig, internal bool) swarmnet.Subnet {
	sub := swarmnet.Subnet{Prefix: prefix, Gateway: wish.Gateway, Range: wish.Range, Aux: wish.Aux}
	if internal {
		sub.Gateway = netip.Addr{}
		return sub
	}
	for a := prefix.Addr().Next(); !sub.Gateway.IsValid(); a = a.Next() {
		if !isAux(sub, a) || !prefix.Contains(a.Next()) {
			sub.Gateway = a
		}
	}
	return sub
}

// Usable reports whether an address may be held by an endpoint, a service or a node: it is in the subnet, and is
// neither the subnet's own address (RFC 4291 section 2.6.1 for IPv6), nor IPv4's broadcast address, nor the gateway, nor
// one that others use. Range does not count: it bounds what is chosen, not what may be asked for.
func Usable(sub swarmnet.Subnet, a netip.Addr) bool {
	return sub.Prefix.Contains(a) && Reserved(sub, a) == ""
}

// Reserved says what an address of the subnet is kept for, or nothing.
func Reserved(sub swarmnet.Subnet, a netip.Addr) string {
	switch {
	case a == sub.Gateway:
		return "gateway"
	case a == sub.Prefix.Addr():
		return "subnet"
	case a.Is4() && a == netipx.PrefixLastIP(sub.Prefix):
		return "broadcast"
	}
	for name, aux := range sub.Aux {
		if aux == a {
			return "aux " + name
		}
	}
	return ""
}

func isAux(sub swarmnet.Subnet, a netip.Addr) bool {
	for _, aux := range sub.Aux {
		if aux == a {
			return true
		}
	}
	return false
}

// bounds are the first and the last address to choose from. A range that is not within the subnet does not count: there
// would be nothing in it, and a long search for that.
func bounds(sub swarmnet.Subnet) netipx.IPRange {
	if sub.Range.IsValid() && sub.Range.Bits() >= sub.Prefix.Bits() && sub.Prefix.Contains(sub.Range.Addr()) {
		return netipx.RangeOfPrefix(sub.Range)
	}
	return netipx.RangeOfPrefix(sub.Prefix)
}

// First returns the lowest address of the subnet that may be chosen, or the zero Addr.
func First(sub swarmnet.Subnet) netip.Addr { return from(sub, bounds(sub).From()) }

// Next returns the lowest address above a that may be chosen, or the zero Addr.
func Next(sub swarmnet.Subnet, a netip.Addr) netip.Addr { return from(sub, a.Next()) }

func from(sub swarmnet.Subnet, a netip.Addr) netip.Addr {
	b := bounds(sub)
	for ; a.IsValid() && b.Contains(a); a = a.Next() {
		if Usable(sub, a) {
			return a
		}
	}
	return netip.Addr{}
}

// InRange reports whether an address may be chosen.
func InRange(sub swarmnet.Subnet, a netip.Addr) bool {
	return bounds(sub).Contains(a) && Usable(sub, a)
}
