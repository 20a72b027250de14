package dispatcher

import (
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// Assignments is what one node must know of the cluster:
//   - its own tasks, the ones to be stopped included;
//   - the networks on which it has endpoints, the ingress network, and, for the routing mesh on every node, the networks on
//     which published services are reached;
//   - all endpoints of those networks and the services attached to them;
//   - itself and the nodes that have endpoints on those networks; with an ingress network, all nodes.
//
// Nothing of the cluster's secrets goes to it but the gossip keys.
func Assignments(s *state.State, node swarmnet.NodeID) swarmnet.AssignmentSet {
	a := swarmnet.EmptyAssignmentSet()
	a.Revision, a.Self, a.Cluster = s.Revision(), node, clusterView(s)
	for t := range s.AssignedTasks(node) {
		a.Tasks[t.ID] = t
		for e := range s.EndpointsByTask(t.ID) {
			addNetwork(s, a, e.Network)
		}
		for _, n := range t.Networks { // its endpoints may be gone already, its service's names are not
			addNetwork(s, a, n.Network)
		}
	}
	ingress, mesh := s.IngressNetwork()
	if mesh {
		addNetwork(s, a, ingress.ID)
		for v := range s.Services() {
			if len(v.IngressPorts()) > 0 {
				a.Services[v.ID] = redactService(v)
				for _, n := range v.Spec.Networks {
					addNetwork(s, a, n.Network)
				}
			}
		}
	}
	for id := range a.Networks {
		for v := range s.ServicesByNetwork(id) {
			a.Services[v.ID] = redactService(v)
		}
		for e := range s.EndpointsByNetwork(id) {
			a.Endpoints[e.ID] = peerEndpoint(s, e)
			addNode(s, a, e.Node)
		}
	}
	addNode(s, a, node)
	if mesh {
		for n := range s.Nodes() {
			a.Nodes[n.ID] = redactNode(n)
		}
	}
	return a
}

func addNetwork(s *state.State, a swarmnet.AssignmentSet, id swarmnet.NetworkID) {
	if _, there := a.Networks[id]; there {
		return
	}
	if n, ok := s.Network(id); ok {
		a.Networks[id] = n
	}
}

func addNode(s *state.State, a swarmnet.AssignmentSet, id swarmnet.NodeID) {
	if n, ok := s.Node(id); ok && id != "" {
		a.Nodes[id] = redactNode(n)
	}
}

// redactNode takes out what changes without meaning anything to others: a renewed certificate is not news, nor are the ports that a node
// cannot publish.
func redactNode(n swarmnet.Node) swarmnet.Node {
	n.Degraded = nil
	n.CertSerial, n.Applied, n.Meta.Updated, n.Meta.UpdatedAt = "", 0, 0, time.Time{}
	return n
}

// redactService takes out what the tasks run, with its environment: a node knows that of its own tasks only.
func redactService(v swarmnet.Service) swarmnet.Service {
	v.Spec.Task, v.Previous = swarmnet.TaskSpec{}, nil
	return v
}

func peerEndpoint(s *state.State, e swarmnet.Endpoint) swarmnet.PeerEndpoint {
	out := swarmnet.PeerEndpoint{Endpoint: e}
	if t, ok := s.Task(e.Task); ok {
		out.TaskName, out.Slot, out.Desired, out.State = t.Name(), t.Slot, t.Desired, t.Status.State
	}
	return out
}

// clusterView is the part of the cluster that every agent may know.
func clusterView(s *state.State) swarmnet.ClusterView {
	c, _ := s.Cluster()
	v := swarmnet.ClusterView{
		ID: c.ID, Epoch: c.Epoch, DataPathPort: c.Spec.DataPathPort, GossipKeys: c.GossipKeys, RootCert: c.CA.RootCert,
	}
	for n := range s.Nodes() {
		if n.RaftID != 0 && n.Description.APIAddr != "" {
			v.Managers = append(v.Managers, n.Description.APIAddr)
		}
	}
	slices.Sort(v.Managers)
	return v
}
