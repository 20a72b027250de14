package ingress

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/gossip"
)

// portKey tells the ports of a node apart.
type portKey struct {
	proto     swarmnet.Protocol
	published uint16
	hostIP    netip.Addr
}

func keyOf(p swarmnet.PortSpec) portKey {
	if p.HostIP.IsUnspecified() { // 0.0.0.0
		p.HostIP = netip.Addr{}
	}
	return portKey{p.Protocol, p.Published, p.HostIP}
}

// ComputeMesh returns the published ports of the node set.Self. A port that a service publishes on the mesh is there on every node,
// and stays there when nothing is behind it; a host-mode port is there as long as a task of this node has it.
func ComputeMesh(set swarmnet.AssignmentSet, view gossip.View) Mesh {
	self := set.Nodes[set.Self]
	m := Mesh{Node: self.Index}
	carried := everyFamily // without the network there is no other node to lead to
	if n, ok := set.IngressNetwork(); ok {
		carried = carriedBy(n)
		m.VNI = n.VNI
		m.Peers = peers(set)
	}
	ports, tasks := map[portKey]*Port{}, map[netip.Addr]Task{}
	all := map[*Port][]Backend{} // whatever connections to the port may lead to
	byOwner, former := targets(set)
	var leaving []swarmnet.ServiceID // services that are being removed
	for id, s := range set.Services {
		if s.Removing {
			leaving = append(leaving, id)
		}
		by := owner{service: id}
		for _, p := range s.IngressPorts() {
			if s.Removing {
				continue
			}
			port := claim(ports, by, p)
			if port == nil {
				continue
			}
			for _, ep := range gossip.Usable(set, view, byOwner[by]) {
				port.Backends = addBackends(port.Backends, set, ep, p.Target, carried)
			}
			for _, ep := range slices.Concat(byOwner[by], former[by]) {
				all[port] = addBackends(all[port], set, ep, p.Target, carried)
			}
		}
		if len(s.IngressPorts()) == 0 {
			continue
		}
		for _, ep := range byOwner[by] {
			addTasks(tasks, set, view, ep)
		}
		addFormer(tasks, set, former[by])
	}
	for id, t := range set.Tasks {
		for _, p := range t.Ports {
			if p.Mode != swarmnet.PublishHost || t.Desired > swarmnet.DesireDraining || t.Status.State.Terminal() {
				continue
			}
			by := ownerOf(t.Service, id)
			own := slices.DeleteFunc(slices.Clone(byOwner[by]), func(ep swarmnet.PeerEndpoint) bool {
				return ep.Task != id || ep.Node != set.Self
			})
			for _, ep := range own { // whoever has the port: what is here must not depend on the order of a map
				addTasks(tasks, set, view, ep)
			}
			others := slices.DeleteFunc(slices.Clone(former[by]), func(ep swarmnet.PeerEndpoint) bool { return ep.Task != id || ep.Node != set.Self })
			addFormer(tasks, set, others)
			port := claim(ports, by, p)
			if port == nil {
				continue
			}
			for _, ep := range gossip.Usable(set, view, own) {
				port.Backends = addBackends(port.Backends, set, ep, p.Target, everyFamily)
			}
			for _, ep := range append(own, others...) {
				all[port] = addBackends(all[port], set, ep, p.Target, everyFamily)
			}
		}
	}
	slices.Sort(leaving)
	for _, id := range leaving { // they have given their ports up: whoever has one now has their old connections with it
		by := owner{service: id}
		for _, p := range set.Services[id].IngressPorts() {
			port := ports[keyOf(p)]
			if port == nil {
				port = claim(ports, by, p)
			}
			if port == nil {
				continue
			}
			for _, ep := range slices.Concat(byOwner[by], former[by]) {
				all[port] = addBackends(all[port], set, ep, p.Target, carried)
			}
		}
	}
	for _, p := range ports { // not those of all, which has who lost a port, too, as it happens
		for _, b := range p.Backends { // a node in doubt is tried when all are: then its tasks are not given up either
			t := tasks[b.Addr]
			t.Lost = false
			tasks[b.Addr] = t
		}
	}
	for _, p := range ports {
		for _, b := range all[p] {
			switch {
			case slices.Contains(p.Backends, b):
			case tasks[b.Addr].Lost:
				p.Lost = append(p.Lost, b)
			default:
				p.Draining = append(p.Draining, b)
			}
		}
		for _, list := range [][]Backend{p.Backends, p.Draining, p.Lost} {
			slices.SortFunc(list, func(a, b Backend) int { return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port)) })
		}
		m.Ports = append(m.Ports, *p)
	}
	slices.SortFunc(m.Ports, comparePorts)
	for _, t := range tasks {
		m.Tasks = append(m.Tasks, t)
	}
	slices.SortFunc(m.Tasks, compareTasks)
	m.Gateways, m.Direct = localGateways(set), direct(set, tasks)
	return m
}

// owner is who publishes a port: a service, or a task that belongs to none.
type owner struct {
	service swarmnet.ServiceID
	task    swarmnet.TaskID
}

func ownerOf(service swarmnet.ServiceID, task swarmnet.TaskID) owner {
	if service != "" {
		return owner{service: service}
	}
	return owner{task: task}
}

func (o owner) compare(p owner) int {
	return cmp.Or(cmp.Compare(o.service, p.service), cmp.Compare(o.task, p.task))
}

// claim returns the port, made when new, or nil when another owner has it: the managers give a port to one service only, and a node to one
// sandbox, so this is a moment between two revisions; the lower id wins on every node, a sandbox before a service.
func claim(ports map[portKey]*Port, by owner, p swarmnet.PortSpec) *Port {
	if p.Published == 0 {
		return nil
	}
	k := keyOf(p)
	if have, ok := ports[k]; ok {
		switch first := (owner{have.Service, have.Task}).compare(by); {
		case first == 0 && have.Mode == p.Mode:
			return have
		case first < 0 || first == 0 && have.Mode < p.Mode:
			return nil
		}
	}
	port := &Port{Service: by.service, Task: by.task, Protocol: p.Protocol, Published: p.Published, Mode: p.Mode, HostIP: k.hostIP}
	ports[k] = port
	return port
}

// targets are the endpoints that published ports lead to: of each placed task, the one with the default route, so that a server bound
// to the wildcard answers from the address that was asked. On a macvlan network there is none: it does not pass the fabric, and others reach its
// members by themselves. former are the tasks' other endpoints: connections may lead there from the time when they had the default route.
func targets(set swarmnet.AssignmentSet) (out, former map[owner][]swarmnet.PeerEndpoint) {
	out, former = map[owner][]swarmnet.PeerEndpoint{}, map[owner][]swarmnet.PeerEndpoint{}
	for _, ep := range set.Endpoints {
		known := ep.Node == set.Self || set.Nodes[ep.Node].Index != 0 // a node in no cluster has no index
		if driver.Of(set.Networks[ep.Network]).Direct {
			continue
		}
		if ep.Node == "" || ep.State.Terminal() || !known {
			continue
		}
		for _, by := range owners(set, ep) {
			if ep.DefaultRoute {
				out[by] = append(out[by], ep)
			} else if set.Networks[ep.Network].HasGateway() {
				former[by] = append(former[by], ep)
			}
		}
	}
	return out, former
}

// owners are whose ports lead to an endpoint: a sandbox of this node that has joined a service publishes ports of its own, too.
func owners(set swarmnet.AssignmentSet, ep swarmnet.PeerEndpoint) []owner {
	by := []owner{ownerOf(ep.Service, ep.Task)}
	if t, here := set.Tasks[ep.Task]; here && ep.Service != "" && t.Standalone() {
		by = append(by, owner{task: ep.Task})
	}
	return by
}

// addFormer keeps the connections to a task by another address than the one that its ports lead to. Datagrams are to come by that one.
func addFormer(tasks map[netip.Addr]Task, set swarmnet.AssignmentSet, eps []swarmnet.PeerEndpoint) {
	for _, ep := range eps {
		for _, a := range ep.Addrs {
			if _, ok := tasks[a.Addr()]; !ok {
				tasks[a.Addr()] = Task{Addr: a.Addr(), Node: set.Nodes[ep.Node].Index, Lost: true}
			}
		}
	}
}

// direct are the networks of the tasks at these addresses.
func direct(set swarmnet.AssignmentSet, tasks map[netip.Addr]Task) []Direct {
	on := map[swarmnet.TaskID][]swarmnet.VNI{}
	for _, ep := range set.Endpoints {
		if n, ok := set.Networks[ep.Network]; ok && n.VNI != 0 {
			on[ep.Task] = append(on[ep.Task], n.VNI)
		}
	}
	var out []Direct
	for _, ep := range set.Endpoints {
		for _, a := range ep.Addrs {
			if _, ok := tasks[a.Addr()]; !ok || !ep.DefaultRoute {
				continue
			}
			for _, v := range on[ep.Task] {
				out = append(out, Direct{a.Addr(), v})
			}
		}
	}
	slices.SortFunc(out, Direct.Compare)
	return slices.Compact(out)
}

func localGateways(set swarmnet.AssignmentSet) []netip.Addr {
	var out []netip.Addr
	for _, n := range set.Networks {
		for _, sub := range n.Subnets {
			if n.VNI.Local() && n.HasGateway() && n.Spec.Driver == swarmnet.DriverBridge && sub.Gateway.IsValid() {
				out = append(out, sub.Gateway)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// everyFamily is what a node's own fabric carries.
func everyFamily(netip.Addr) bool { return true }

// carriedBy says which addresses the ingress network leads to: those of its own families. A port on the mesh answers by the same families on every
// node, also on those that have a task themselves.
func carriedBy(n swarmnet.Network) func(netip.Addr) bool {
	return func(a netip.Addr) bool {
		return slices.ContainsFunc(n.Subnets, func(sub swarmnet.Subnet) bool { return sub.Prefix.Addr().Is6() == a.Is6() })
	}
}

// addBackends adds the endpoint's addresses that are carried, each once.
func addBackends(list []Backend, set swarmnet.AssignmentSet, ep swarmnet.PeerEndpoint, target uint16, carried func(netip.Addr) bool) []Backend {
	for _, a := range ep.Addrs {
		if !carried(a.Addr()) {
			continue
		}
		b := Backend{Addr: a.Addr(), Port: target, Node: set.Nodes[ep.Node].Index}
		if !slices.Contains(list, b) {
			list = append(list, b)
		}
	}
	return list
}

func addTasks(tasks map[netip.Addr]Task, set swarmnet.AssignmentSet, view gossip.View, ep swarmnet.PeerEndpoint) {
	n := set.Nodes[ep.Node]
	lost := ep.Node != set.Self && (view.Nodes[ep.Node] == gossip.Dead || n.Status.State == swarmnet.NodeDown) || ep.Desired >= swarmnet.DesireShutdown
	for _, a := range ep.Addrs {
		if t, ok := tasks[a.Addr()]; ok && t.Node <= n.Index { // an address has one endpoint; be stable all the same
			continue
		}
		tasks[a.Addr()] = Task{Addr: a.Addr(), Node: n.Index, Lost: lost}
	}
}

func peers(set swarmnet.AssignmentSet) []Peer {
	var out []Peer
	for id, n := range set.Nodes {
		if id == set.Self || n.Index == 0 || len(n.Ingress) == 0 {
			continue
		}
		p := Peer{Node: n.Index, MAC: n.IngressMAC()}
		for _, a := range n.Ingress {
			p.Addrs = append(p.Addrs, a.Addr())
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Peer) int { return cmp.Compare(a.Node, b.Node) })
	return out
}
