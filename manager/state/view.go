package state

import (
	"iter"

	"github.com/swarmnet/swarmnet"
)

// Objects are handed out by value; what they point to is shared and must not be written to.

func values[T any](t *table[*item[T]]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, it := range t.all() {
			if !yield(it.v) {
				return
			}
		}
	}
}

func value[T any](t *table[*item[T]], id string) (T, bool) {
	if it, ok := t.get(id); ok {
		return it.v, true
	}
	var zero T
	return zero, false
}

// named walks the objects whose ids are the last parts of the keys of an index that begin with a prefix.
func named[T any](s *State, index int, prefix string, t *table[*item[T]]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for k := range s.index[index].prefix(prefix) {
			if v, ok := value(t, lastPart(k)); ok && !yield(v) {
				return
			}
		}
	}
}

// Cluster returns the cluster; false before it is made.
func (s *State) Cluster() (swarmnet.Cluster, bool) {
	if s.cluster == nil {
		return swarmnet.Cluster{}, false
	}
	return s.cluster.v, true
}

// Node returns the node of an id.
func (s *State) Node(id swarmnet.NodeID) (swarmnet.Node, bool) { return value(&s.nodes, string(id)) }

// Nodes are all nodes by id.
func (s *State) Nodes() iter.Seq[swarmnet.Node] { return values(&s.nodes) }

// NodeCount is the number of nodes.
func (s *State) NodeCount() int { return s.nodes.len() }

// NodesByName are the nodes that tables show under a name: a hostname may be that of several.
func (s *State) NodesByName(name string) iter.Seq[swarmnet.Node] {
	return named(s, byNodeName, name+sep, &s.nodes)
}

// NodeByName returns the node of a name, if just one has it.
func (s *State) NodeByName(name string) (n swarmnet.Node, ok bool) {
	for v := range s.NodesByName(name) {
		if ok {
			return swarmnet.Node{}, false
		}
		n, ok = v, true
	}
	return n, ok
}

// Network returns the network of an id.
func (s *State) Network(id swarmnet.NetworkID) (swarmnet.Network, bool) {
	return value(&s.networks, string(id))
}

// Networks are all networks by id.
func (s *State) Networks() iter.Seq[swarmnet.Network] { return values(&s.networks) }

// NetworkByName returns the network of a name.
func (s *State) NetworkByName(name string) (swarmnet.Network, bool) {
	id, _ := s.index[byNetworkName].get(name)
	return s.Network(swarmnet.NetworkID(id))
}

// NetworkByVNI returns the network that has a VNI, or asks for it.
func (s *State) NetworkByVNI(v swarmnet.VNI) (swarmnet.Network, bool) {
	id, _ := s.index[byVNI].get(be32(uint32(v)))
	return s.Network(swarmnet.NetworkID(id))
}

// IngressNetwork returns the network that carries the routing mesh, allocated or not.
func (s *State) IngressNetwork() (swarmnet.Network, bool) {
	id, _ := s.index[byIngress].get("")
	return s.Network(swarmnet.NetworkID(id))
}

// FreeVNI returns the lowest VNI from FirstVNI up that no network has or asks for.
func (s *State) FreeVNI() (swarmnet.VNI, bool) {
	want := swarmnet.FirstVNI
	for k := range s.index[byVNI].from(be32(uint32(want))) {
		if swarmnet.VNI(fromBE32(k)) != want {
			break
		}
		want++
	}
	return want, want <= swarmnet.MaxVNI
}

// Service returns the service of an id.
func (s *State) Service(id swarmnet.ServiceID) (swarmnet.Service, bool) {
	return value(&s.services, string(id))
}

// Services are all services by id, those that are being removed included.
func (s *State) Services() iter.Seq[swarmnet.Service] { return values(&s.services) }

// ServiceByName returns the service of a name. One that is being removed has given its name up.
func (s *State) ServiceByName(name string) (swarmnet.Service, bool) {
	id, _ := s.index[byServiceName].get(name)
	return s.Service(swarmnet.ServiceID(id))
}

// ServicesByNetwork are the services attached to a network, those that are being removed included.
func (s *State) ServicesByNetwork(n swarmnet.NetworkID) iter.Seq[swarmnet.Service] {
	return named(s, byServiceNetwork, string(n)+sep, &s.services)
}

// PortHolder returns the service that publishes a port. Of several that publish it on their hosts it is the first by id.
func (s *State) PortHolder(p swarmnet.Protocol, port uint16) (swarmnet.Service, bool) {
	key := portKey(p, port)
	for k := range s.index[byPort].prefix(key) {
		return s.Service(swarmnet.ServiceID(k[len(key):]))
	}
	return swarmnet.Service{}, false
}

// Task returns the task of an id.
func (s *State) Task(id swarmnet.TaskID) (swarmnet.Task, bool) { return value(&s.tasks, string(id)) }

// Tasks are all tasks by id.
func (s *State) Tasks() iter.Seq[swarmnet.Task] { return values(&s.tasks) }

// TaskCount is the number of tasks.
func (s *State) TaskCount() int { return s.tasks.len() }

// TasksByService are the tasks of a service by slot, those of one slot in the order in which they were made.
func (s *State) TasksByService(id swarmnet.ServiceID) iter.Seq[swarmnet.Task] {
	return named(s, byTaskService, string(id)+sep, &s.tasks)
}

// TasksBySlot are the tasks of one slot of a service in the order in which they were made. All tasks of a global service
// are in slot 0.
func (s *State) TasksBySlot(id swarmnet.ServiceID, slot uint32) iter.Seq[swarmnet.Task] {
	return named(s, byTaskService, slotPrefix(id, slot), &s.tasks)
}

// TasksByNode are the tasks that were placed on a node or are made for it, ended ones included, by service.
func (s *State) TasksByNode(id swarmnet.NodeID) iter.Seq[swarmnet.Task] {
	return named(s, byTaskNode, string(id)+sep, &s.tasks)
}

// StandaloneTasks are the sandboxes outside services of a node that are on networks of the cluster.
func (s *State) StandaloneTasks(id swarmnet.NodeID) iter.Seq[swarmnet.Task] {
	return named(s, byTaskNode, join(id, swarmnet.ServiceID(""))+sep, &s.tasks)
}

// AssignedTasks are the tasks that a node must know of: those placed on it that have not ended as far as it has said. A
// task that was given up while the node was away is among them until it is forgotten, so that the node stops it. Sandboxes outside services are
// always among them.
func (s *State) AssignedTasks(id swarmnet.NodeID) iter.Seq[swarmnet.Task] {
	return func(yield func(swarmnet.Task) bool) {
		for t := range s.TasksByNode(id) {
			st := t.Status.State
			live := st >= swarmnet.TaskAssigned && !st.Terminal() || st == swarmnet.TaskOrphaned || t.Standalone()
			if live && !yield(t) {
				return
			}
		}
	}
}

// BalancedIn reports whether balancers make something else of a task or service that is there since a revision after one and up to another.
func (s *State) BalancedIn(after, upTo uint64) bool {
	for k := range s.index[byBalanced].from(be64(after + 1)) {
		return fromBE64(k[:8]) <= upTo
	}
	return false
}

// WaitingTasks are the tasks in state TaskNew or TaskPending in the order in which they were made.
func (s *State) WaitingTasks(st swarmnet.TaskState) iter.Seq[swarmnet.Task] {
	return named(s, byTaskWaiting, string([]byte{byte(st)}), &s.tasks)
}

// Endpoint returns the endpoint of an id.
func (s *State) Endpoint(id swarmnet.EndpointID) (swarmnet.Endpoint, bool) {
	return value(&s.endpoints, string(id))
}

// Endpoints are all endpoints by id.
func (s *State) Endpoints() iter.Seq[swarmnet.Endpoint] { return values(&s.endpoints) }

// EndpointsByNetwork are the endpoints on a network by id.
func (s *State) EndpointsByNetwork(n swarmnet.NetworkID) iter.Seq[swarmnet.Endpoint] {
	return named(s, byEndpointNetwork, string(n)+sep, &s.endpoints)
}

// EndpointsByTask are the endpoints of a task by id.
func (s *State) EndpointsByTask(t swarmnet.TaskID) iter.Seq[swarmnet.Endpoint] {
	return named(s, byEndpointTask, string(t)+sep, &s.endpoints)
}

// endpointsOf is EndpointsByTask for those who write meanwhile.
func (s *State) endpointsOf(t swarmnet.TaskID) []swarmnet.Endpoint {
	var out []swarmnet.Endpoint
	for e := range s.EndpointsByTask(t) {
		out = append(out, e)
	}
	return out
}

// NeedsIngressEndpoint reports whether the tasks of a service need an endpoint on the ingress network: they are published on
// the mesh and have no other network with a gateway, by which the answers could leave.
func (s *State) NeedsIngressEndpoint(spec swarmnet.ServiceSpec) bool {
	if !PublishesIngress(spec) {
		return false
	}
	for _, a := range spec.Networks {
		if n, ok := s.Network(a.Network); ok && n.HasGateway() {
			return false
		}
	}
	return true
}
