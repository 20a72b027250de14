package overlay

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/swarmnet/swarmnet"
)

// Options of bridge networks, under the names that Docker's users know; those without the long prefix are our short forms.
const (
	OptionICC        = "com.docker.network.bridge.enable_icc"           // false: members do not reach each other; short: icc
	OptionMasquerade = "com.docker.network.bridge.enable_ip_masquerade" // false: members leave under their own addresses; short: masquerade
	OptionMTU        = "com.docker.network.driver.mtu"                  // octets, lowers only; short: mtu
)

// defaultMTU is Ethernet's (RFC 894), of a host that has no way out to read another from.
const defaultMTU = 1500

// computeLocal returns the bridge of a network of this node alone. Its MTU is that of the host's way out: nothing is wrapped.
func computeLocal(set swarmnet.AssignmentSet, n swarmnet.Network, eps []swarmnet.PeerEndpoint, mtu int) Network {
	if mtu < minMTU {
		mtu = defaultMTU
	}
	out := Network{
		ID: n.ID, VNI: n.VNI, MTU: lowered(n, mtu), MAC: swarmnet.GatewayMAC(n.VNI), Addrs: gateways(n),
		Isolated: Isolated(n), Routed: off(n, "masquerade", OptionMasquerade),
	}
	for _, ep := range eps {
		if ep.Node == set.Self && len(ep.Addrs) > 0 {
			out.Locals = append(out.Locals, Neighbour{MAC: ep.MAC, Addrs: hosts(ep.Addrs)})
		}
	}
	slices.SortFunc(out.Addrs, comparePrefix)
	slices.SortFunc(out.Locals, func(a, b Neighbour) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })
	return out
}

// Isolated reports whether the members of a bridge network do not reach each other: their ports are to be isolated ones.
func Isolated(n swarmnet.Network) bool {
	return n.Spec.Driver == swarmnet.DriverBridge && off(n, "icc", OptionICC)
}

// off reports whether an option is false under one of its names. What is not a truth value is as good as absent: it was refused when the
// network was made.
func off(n swarmnet.Network, names ...string) bool {
	for _, name := range names {
		if on, err := strconv.ParseBool(n.Spec.Options[name]); err == nil {
			return !on
		}
	}
	return false
}
