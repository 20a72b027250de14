package ingress

import (
	"cmp"
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
	// Ports are the published ports of this node, ordered by protocol, port and host address.
	Ports []Port
	// Gateways are the addresses of this node's own networks' bridges, ordered: what asks one of them asks this node.
	Gateways []netip.Addr
	// Direct are the tasks' addresses with the networks that the tasks are on, ordered by address.
	Direct []Direct
	// Tasks are the addresses of all tasks that connections to Ports may lead to, ordered by address: those of Backends, and those
	// that take no new connections any more but may still have old ones.
	Tasks []Task
}

// Peer is another node on the ingress network.
type Peer struct {
	Node uint16
	MAC  swarmnet.MAC
	// Addrs are its ingress addresses, at most one of each family.
	Addrs []netip.Addr
}

// Direct says that what a task answers to a member of a network goes there directly, past the fabric, since the task is on that network
// itself.
type Direct struct {
	Addr netip.Addr
	VNI  swarmnet.VNI
}

// Compare orders by address, then by network.
func (d Direct) Compare(e Direct) int {
	return cmp.Or(d.Addr.Compare(e.Addr), cmp.Compare(d.VNI, e.VNI))
}

// Port is one published port and the tasks behind it.
type Port struct {
	Service swarmnet.ServiceID
	// Task publishes the port when it belongs to no service.
	Task      swarmnet.TaskID
	Protocol  swarmnet.Protocol
	Published uint16
	Mode      swarmnet.PublishMode
	// HostIP bounds a host-mode port to one address of the host; zero: all.
	HostIP netip.Addr
	// Backends that take new connections, ordered by address. Empty: the port is held and refuses.
	Backends []Backend
	// Draining are those that take no new connections but may still have old ones, Lost those of them that are Task.Lost; both ordered.
	Draining, Lost []Backend
}

// Backend is a task behind a published port.
type Backend struct {
	Addr netip.Addr
	Port uint16
	// Node is the index of the node the task runs on; equal to Mesh.Node for a local one.
	Node uint16
}

// Task is where a task is: packets to it go through the fabric of its own node, so that its answers come back the same way.
type Task struct {
	Addr netip.Addr
	// Node is the index of the node the task runs on; equal to Mesh.Node for a local one.
	Node uint16
	// Lost is set when the task cannot serve even its old connections for long: its node is dead, it has been told to stop, or its ports lead to
	// another address of it now. Flows without an end of their own (UDP) are taken elsewhere at once; TCP connections are left alone: the
	// node may have been cut off for a moment only, who stops may finish what it does, and a sandbox answers from the address that was
	// asked.
	Lost bool
}

// VIPs is the whole east-west balancing of one sandbox.
type VIPs []VIP

// VIP is a service's virtual address and the addresses behind it that take new connections, all ports alike.
type VIP struct {
	Service swarmnet.ServiceID
	Addr    netip.Addr
	// Backends are ordered. Empty: new connections are refused.
	Backends []netip.Addr
	// Draining are the addresses that take no new connections but may still have old ones, ordered.
	Draining []netip.Addr
	// Lost are those on dead nodes and those that stop, ordered: see Task.Lost.
	Lost []netip.Addr
}
