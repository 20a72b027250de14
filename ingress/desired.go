package ingress

import (
	"net/netip"

	"github.com/swarmnet/swarmnet"
)

// Mesh is the whole routing mesh and host-mode publishing of one node, as it should be. It names neither IPVS nor nftables: each backend
// realises it in its own words.
type Mesh struct {
	// Node is this node's index.
	Node uint16
	// VNI of the ingress network; 0 where there is none.
	VNI swarmnet.VNI
	// Peers are all other nodes on the ingress network, ordered by index.
	Peers []Peer
	// Ports are the published ports of this node, ordered by protocol and port.
	Ports []Port
}

// Peer is another node on the ingress network.
type Peer struct {
	Node uint16
	MAC  swarmnet.MAC
	// Addrs are its ingress addresses, at most one of each family.
	Addrs []netip.Addr
}

// Port is one published port and the tasks behind it.
type Port struct {
	Service   swarmnet.ServiceID
	Protocol  swarmnet.Protocol
	Published uint16
	Mode      swarmnet.PublishMode
	// HostIP bounds a host-mode port to one address of the host; zero: all.
	HostIP netip.Addr
	// Backends that take new connections, ordered by address. Empty: the port is held and refuses.
	Backends []Backend
}

// Backend is a task behind a published port.
type Backend struct {
	Addr netip.Addr
	Port uint16
	// Node is the index of the node the task runs on; equal to Mesh.Node for a local one.
	Node uint16
}

// VIPs is the whole east-west balancing of one sandbox.
type VIPs []VIP

// VIP is a service's virtual address and the addresses behind it that take new connections, all ports alike.
type VIP struct {
	Service  swarmnet.ServiceID
	Addr     netip.Addr
	Backends []netip.Addr // ordered
}
