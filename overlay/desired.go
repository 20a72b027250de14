package overlay

import (
	"net/netip"

	"github.com/swarmnet/swarmnet"
)

// Desired is the whole state of one node's fabric, as it should be: networks with their bridges, overlay networks with their VXLAN
// devices, and who is behind which of them. It knows nothing of the host it will be applied on.
type Desired struct {
	// VTEP is this node's underlay address, the source of its VXLAN packets; zero on a node in no cluster.
	VTEP netip.Addr
	// Port is the UDP port of VXLAN, the same on every node.
	Port uint16
	// Networks, ordered by VNI.
	Networks []Network
}

// EntryMark is the bit of a connection's mark, in the fabric, that says that another node's mesh sent it here.
const EntryMark = 0x10000

// Network is one network with an endpoint on this node, or the ingress network. When VNI.Local() it is the node's own: a bridge without a
// VXLAN device, which the host has a route to.
type Network struct {
	ID  swarmnet.NetworkID
	VNI swarmnet.VNI
	// MTU in octets of the bridge, the VXLAN device and the sandboxes' interfaces.
	MTU int
	// Isolated says that the members do not reach each other; published ports and the way out they have.
	Isolated bool
	// Routed says that members leave the node under their own addresses: nothing is masqueraded.
	Routed bool
	// Ingress marks the transit network of the routing mesh.
	Ingress bool
	// MAC of the bridge: the network's gateway MAC, or on the ingress network this node's own.
	MAC swarmnet.MAC
	// Addrs of the bridge with prefix length: the gateways, none for an internal network, on the ingress network this
	// node's own addresses.
	Addrs []netip.Prefix
	// Remotes are the endpoints behind other nodes' VTEPs, ordered by MAC: FDB and neighbour entries.
	Remotes []Remote
	// Locals are this node's endpoints, ordered by MAC: neighbour entries of the bridge.
	Locals []Neighbour
}

// Neighbour is an address and the MAC it is reached by.
type Neighbour struct {
	MAC   swarmnet.MAC
	Addrs []netip.Addr
}

// Remote is an endpoint (or, on the ingress network, a node) behind another node's VTEP.
type Remote struct {
	MAC   swarmnet.MAC
	Addrs []netip.Addr
	VTEP  netip.Addr
	// Node is set when it is a node: what its mesh sends is let through to the other networks.
	Node bool
}
