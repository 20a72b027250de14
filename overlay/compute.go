package overlay

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/swarmnet/swarmnet"
)

// The placeholder stands for "whichever node this connection came in by" on the ingress network: replies of published ports
// are routed to it, and the bridge rewrites its MAC to the node's, found by the packet's mark (see package ingress).
var (
	PlaceholderMAC   = swarmnet.MAC{0x02, 0x45, 0, 0, 0, 1}
	PlaceholderAddr4 = netip.MustParseAddr("169.254.78.1")
	PlaceholderAddr6 = netip.MustParseAddr("fe80::5377:6d:1")
)

// Names of the devices of a network in the fabric.
func BridgeName(v swarmnet.VNI) string { return "br-" + v.String() }
func VXLANName(v swarmnet.VNI) string  { return "vx-" + v.String() }

// minMTU is the least MTU that IPv4 hosts must handle (RFC 791); a smaller wish is not followed.
const minMTU = 576

const (
	maxOverhead = 70
	minIPv6MTU  = 1280
)

// Compute returns what the fabric of set.Self must be: every network with an endpoint of a task that is here and not yet over, and the ingress
// network as soon as the node has its address there. Overlay networks need a VTEP, node-local ones do not. underlayMTU is in octets, of the
// device that carries VXLAN, or of the host's way out where there is none; pathMTU is what gets through to the other nodes, 0 where that is not
// known.
func Compute(set swarmnet.AssignmentSet, underlayMTU, pathMTU int) Desired {
	self := set.Nodes[set.Self]
	d := Desired{VTEP: self.Description.VTEP, Port: set.Cluster.DataPathPort}
	mtu := leastMTU(set, underlayMTU, pathMTU) - swarmnet.VXLANOverhead(d.VTEP)
	byNetwork := map[swarmnet.NetworkID][]swarmnet.PeerEndpoint{}
	here := map[swarmnet.NetworkID]bool{}
	for _, ep := range set.Endpoints {
		byNetwork[ep.Network] = append(byNetwork[ep.Network], ep)
		if t, ok := set.Tasks[ep.Task]; ok && ep.Node == set.Self && !t.Status.State.Terminal() {
			here[ep.Network] = true
		}
	}
	for _, n := range set.Networks {
		onIngress := n.Spec.Ingress && len(self.Ingress) > 0
		switch {
		case !n.Allocated() || !here[n.ID] && !onIngress:
		case n.Spec.Driver == swarmnet.DriverBridge && n.VNI.Local():
			d.Networks = append(d.Networks, computeLocal(set, n, byNetwork[n.ID], underlayMTU))
		case n.Spec.Driver == swarmnet.DriverOverlay && !n.VNI.Local() && d.VTEP.IsValid():
			d.Networks = append(d.Networks, computeNetwork(set, n, byNetwork[n.ID], mtu))
		}
	}
	slices.SortFunc(d.Networks, func(a, b Network) int { return cmp.Compare(a.VNI, b.VNI) })
	return d
}

// leastMTU is the least of what any node can send and receive, by its underlay device and by what it has found of its ways to the others: the MTU
// of a network is the same for all its members, and what one sends must arrive at another.
func leastMTU(set swarmnet.AssignmentSet, own, path int) int {
	mtu := own
	if path > 0 && (mtu <= 0 || path < mtu) {
		mtu = path
	}
	for _, n := range set.Nodes {
		if m := n.Description.UnderlayMTU; m > 0 && (mtu <= 0 || m < mtu) {
			mtu = m
		}
	}
	// Nobody has said anything sensible: what every IPv6 path must take (RFC 8200).
	if mtu < minMTU+maxOverhead {
		return minIPv6MTU
	}
	return mtu
}

func computeNetwork(set swarmnet.AssignmentSet, n swarmnet.Network, eps []swarmnet.PeerEndpoint, mtu int) Network {
	out := Network{ID: n.ID, VNI: n.VNI, MTU: lowered(n, mtu), Ingress: n.Spec.Ingress, MAC: swarmnet.GatewayMAC(n.VNI)}
	self := set.Nodes[set.Self]
	if n.Spec.Ingress {
		out.MAC, out.Addrs = self.IngressMAC(), self.Ingress
		for id, peer := range set.Nodes {
			if id != set.Self && len(peer.Ingress) > 0 && reachable(self, peer) {
				out.Remotes = append(out.Remotes, Remote{MAC: peer.IngressMAC(), Addrs: hosts(peer.Ingress), VTEP: peer.Description.VTEP, Node: true})
			}
		}
	} else {
		out.Addrs = gateways(n)
	}
	for _, ep := range eps {
		if ep.Node == "" || len(ep.Addrs) == 0 {
			continue
		}
		if ep.Node == set.Self {
			out.Locals = append(out.Locals, Neighbour{MAC: ep.MAC, Addrs: hosts(ep.Addrs)})
		} else if peer := set.Nodes[ep.Node]; reachable(self, peer) {
			out.Remotes = append(out.Remotes, Remote{MAC: ep.MAC, Addrs: hosts(ep.Addrs), VTEP: peer.Description.VTEP})
		}
	}
	slices.SortFunc(out.Addrs, comparePrefix)
	slices.SortFunc(out.Remotes, func(a, b Remote) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })
	slices.SortFunc(out.Locals, func(a, b Neighbour) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })
	return out
}

// gateways are the addresses of a network's bridge: none for an internal network.
func gateways(n swarmnet.Network) []netip.Prefix {
	var out []netip.Prefix
	for _, sub := range n.Subnets {
		if n.HasGateway() && sub.Gateway.IsValid() {
			out = append(out, netip.PrefixFrom(sub.Gateway, sub.Prefix.Bits()))
		}
	}
	return out
}

// lowered is the MTU of a network on a path that takes mtu octets. A network with IPv6 takes what every link of that must (RFC 8200 section 5): on a
// narrower path the outer packets are fragmented.
func lowered(n swarmnet.Network, mtu int) int {
	if slices.ContainsFunc(n.Subnets, func(s swarmnet.Subnet) bool { return s.Prefix.Addr().Is6() }) {
		mtu = max(mtu, minIPv6MTU)
	}
	for _, name := range []string{"mtu", OptionMTU} {
		if wish, err := strconv.Atoi(n.Spec.Options[name]); err == nil && wish >= minMTU && wish < mtu {
			return wish
		}
	}
	return mtu
}

// reachable reports whether VXLAN can lead from one node to the other: a device speaks one family.
func reachable(from, to swarmnet.Node) bool {
	a, b := from.Description.VTEP, to.Description.VTEP
	return b.IsValid() && a.Unmap().Is4() == b.Unmap().Is4()
}

func hosts(ps []netip.Prefix) []netip.Addr {
	out := make([]netip.Addr, len(ps))
	for i, p := range ps {
		out[i] = p.Addr()
	}
	return out
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
