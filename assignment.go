package swarmnet

// AssignmentSet is everything that one node needs to know of the cluster, at one revision: what it must run, and what
// the networks of its tasks and the routing mesh need of the rest. It is complete: what is not in it must not be there.
type AssignmentSet struct {
	Revision uint64
	Cluster  ClusterView
	Self     NodeID
	// Nodes are this node and every node that takes part in one of Networks; with an ingress network, all nodes.
	Nodes map[NodeID]Node
	// Networks are those on which this node has endpoints, the ingress network, and those of mesh backends.
	Networks map[NetworkID]Network
	// Services are those attached to one of Networks.
	Services map[ServiceID]Service
	// Endpoints are all endpoints of Networks, this node's and the others'.
	Endpoints map[EndpointID]PeerEndpoint
	// Tasks are this node's tasks, the ones to be stopped included.
	Tasks map[TaskID]Task
}

// ClusterView is the part of Cluster that every agent may know.
type ClusterView struct {
	ID           ClusterID
	Epoch        uint64
	DataPathPort uint16
	GossipKeys   []GossipKey
	RootCert     []byte // PEM
	// Managers are the API addresses (HOST:PORT) of the managers in force.
	Managers []string
}

// PeerEndpoint is an endpoint with what others need to know of its task.
type PeerEndpoint struct {
	Endpoint
	TaskName string
	Slot     uint32
	Desired  DesiredState
	State    TaskState // as last reported to the managers
}

// EmptyAssignmentSet returns a set without objects.
func EmptyAssignmentSet() AssignmentSet {
	return AssignmentSet{
		Nodes:     map[NodeID]Node{},
		Networks:  map[NetworkID]Network{},
		Services:  map[ServiceID]Service{},
		Endpoints: map[EndpointID]PeerEndpoint{},
		Tasks:     map[TaskID]Task{},
	}
}

// IngressNetwork returns the network that carries the routing mesh, if the set has one.
func (a AssignmentSet) IngressNetwork() (Network, bool) {
	for _, n := range a.Networks {
		if n.Spec.Ingress && n.Allocated() {
			return n, true
		}
	}
	return Network{}, false
}

// Equal reports whether two endpoints are the same.
func (e PeerEndpoint) Equal(f PeerEndpoint) bool {
	return e.TaskName == f.TaskName && e.Slot == f.Slot && e.Desired == f.Desired && e.State == f.State && e.Endpoint.Equal(f.Endpoint)
}
