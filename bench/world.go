package main

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// Where things are in a world: the node that is programmed is the first of worldNodes.
const (
	worldNodes = 10
	appVNI     = 4097
	firstPort  = 10000 // of the services, one each
	targetPort = 80
)

var (
	appPrefix     = netip.MustParsePrefix("10.0.0.0/15")
	ingressPrefix = netip.MustParsePrefix("10.255.0.0/16")
	hostAddr      = netip.MustParseAddr("192.0.2.1")
	clientAddr    = netip.MustParseAddr("192.0.2.100")
)

// world is what the managers and the gossip would tell a node.
type world struct {
	set  swarmnet.AssignmentSet
	view gossip.View
	next uint32 // address within appPrefix
}

// newWorld returns a world of services with tasks each, all on one network, each with a virtual address and a published port. The very first
// task is on the first node, all others are on the other ones.
func newWorld(services, tasks int) *world {
	w := &world{set: swarmnet.EmptyAssignmentSet(), next: 2, view: gossip.View{
		Endpoints: map[swarmnet.EndpointID]gossip.EndpointRow{}, Nodes: map[swarmnet.NodeID]gossip.Liveness{},
	}}
	w.set.Revision, w.set.Self = 1, "node1"
	w.set.Cluster = swarmnet.ClusterView{ID: "bench", DataPathPort: swarmnet.DefaultDataPathPort}
	for i := 1; i <= worldNodes; i++ {
		id := swarmnet.NodeID(fmt.Sprintf("node%d", i))
		under := nth(netip.PrefixFrom(hostAddr, 24), uint32(i))
		w.view.Nodes[id] = gossip.Alive
		w.set.Nodes[id] = swarmnet.Node{
			ID: id, Index: uint16(i), Description: swarmnet.NodeDescription{Hostname: string(id), VTEP: under, UnderlayMTU: 1500},
			Status: swarmnet.NodeStatus{State: swarmnet.NodeReady}, Ingress: []netip.Prefix{netip.PrefixFrom(nth(ingressPrefix, uint32(i)), 16)},
		}
	}
	w.network("ingress", 4096, ingressPrefix, true)
	w.network("app", appVNI, appPrefix, false)
	for s := range services {
		id := w.service(s)
		for t := range tasks {
			w.task(id, t, 2+(s*tasks+t)%(worldNodes-1))
		}
	}
	if services > 0 {
		w.move("service0.1", "node1")
	}
	return w
}

func (w *world) network(id swarmnet.NetworkID, vni swarmnet.VNI, p netip.Prefix, ingress bool) {
	sub := swarmnet.Subnet{Prefix: p}
	if !ingress {
		sub.Gateway = nth(p, 1)
	}
	w.set.Networks[id] = swarmnet.Network{
		ID: id, VNI: vni, Spec: swarmnet.NetworkSpec{Name: string(id), Driver: swarmnet.DriverOverlay, Ingress: ingress}, Subnets: []swarmnet.Subnet{sub},
	}
}

func (w *world) service(i int) swarmnet.ServiceID {
	id := swarmnet.ServiceID(fmt.Sprintf("service%d", i))
	w.set.Services[id] = swarmnet.Service{
		ID: id, Spec: swarmnet.ServiceSpec{Name: string(id), Networks: []swarmnet.NetworkAttachment{{Network: "app"}}},
		Ports: []swarmnet.PortSpec{{Published: uint16(firstPort + i), Target: targetPort}},
		VIPs:  []swarmnet.VIP{{Network: "app", Addr: w.address()}},
	}
	return id
}

func (w *world) address() netip.Addr {
	w.next++
	return nth(appPrefix, w.next)
}

// task places a task, and tells by gossip that it takes connections.
func (w *world) task(s swarmnet.ServiceID, slot, on int) swarmnet.EndpointID {
	name, node := fmt.Sprintf("%s.%d", s, slot+1), swarmnet.NodeID(fmt.Sprintf("node%d", on))
	addr := w.address()
	id := swarmnet.EndpointID(name)
	w.set.Endpoints[id] = swarmnet.PeerEndpoint{
		Endpoint: swarmnet.Endpoint{
			ID: id, Network: "app", Task: swarmnet.TaskID(name), Service: s, Node: node, MAC: swarmnet.MACFor(addr),
			Addrs: []netip.Prefix{netip.PrefixFrom(addr, appPrefix.Bits())}, DefaultRoute: true,
		},
		TaskName: name, Slot: uint32(slot + 1), Desired: swarmnet.DesireRunning, State: swarmnet.TaskRunning,
	}
	w.view.Endpoints[id] = gossip.EndpointRow{Network: "app", Owner: node, State: gossip.EndpointReady}
	return id
}

// loose adds an endpoint of a sandbox that belongs to no service, on another node.
func (w *world) loose(i int) {
	id := w.task("", i, 2+i%(worldNodes-1))
	ep := w.set.Endpoints[id]
	ep.TaskName = ""
	w.set.Endpoints[id] = ep
	w.set.Revision++
}

// move puts a task on a node; the first node gets the task itself, too.
func (w *world) move(id swarmnet.EndpointID, node swarmnet.NodeID) {
	ep := w.set.Endpoints[id]
	ep.Node = node
	w.set.Endpoints[id] = ep
	w.view.Endpoints[id] = gossip.EndpointRow{Network: ep.Network, Owner: node, State: gossip.EndpointReady}
	if node == w.set.Self {
		w.set.Tasks[ep.Task] = w.taskOf(ep)
	}
}

// as is what another of the nodes would be told.
func (w *world) as(self swarmnet.NodeID) swarmnet.AssignmentSet {
	set := w.set
	set.Self, set.Tasks = self, map[swarmnet.TaskID]swarmnet.Task{}
	for _, ep := range set.Endpoints {
		if ep.Node == self {
			set.Tasks[ep.Task] = w.taskOf(ep)
		}
	}
	return set
}

func (w *world) taskOf(ep swarmnet.PeerEndpoint) swarmnet.Task {
	return swarmnet.Task{
		ID: ep.Task, Service: ep.Service, ServiceName: string(ep.Service), Slot: ep.Slot, Node: ep.Node, Ports: w.set.Services[ep.Service].Ports,
		Networks: []swarmnet.NetworkAttachment{{Network: ep.Network}}, Desired: swarmnet.DesireRunning, Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning},
	}
}

// own takes the tables for itself: what was handed out before stays as it was.
func (w *world) own() {
	w.set.Endpoints, w.view.Endpoints = maps.Clone(w.set.Endpoints), maps.Clone(w.view.Endpoints)
}

// replace puts another task in the place of one, with another address, as an update does. What was handed out before stays as it was.
func (w *world) replace(s swarmnet.ServiceID, slot, on int) {
	w.own()
	w.task(s, slot, on)
	w.set.Revision++
}

// nth is the address that comes n after the first of a prefix.
func nth(p netip.Prefix, n uint32) netip.Addr {
	b := p.Masked().Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+n)
	return netip.AddrFrom4(b)
}
