package wire

import (
	"maps"
	"slices"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Delta leads from one assignment set of a node to the next.
type Delta struct {
	From uint64 // the revision that the delta is made against
	// Set holds what is new or changed, and the revision, cluster view and self that the delta leads to.
	Set              swarmnet.AssignmentSet
	RemovedNodes     []swarmnet.NodeID
	RemovedNetworks  []swarmnet.NetworkID
	RemovedServices  []swarmnet.ServiceID
	RemovedEndpoints []swarmnet.EndpointID
	RemovedTasks     []swarmnet.TaskID
}

// AssignmentSetToProto lists the objects in the order of their ids: equal sets have equal wire forms.
func AssignmentSetToProto(a swarmnet.AssignmentSet) *pb.Assignments {
	return &pb.Assignments{
		Revision: a.Revision, Cluster: ClusterViewToProto(a.Cluster), Self: string(a.Self),
		Nodes:     sorted(a.Nodes, NodeToProto),
		Networks:  sorted(a.Networks, NetworkToProto),
		Services:  sorted(a.Services, ServiceToProto),
		Endpoints: sorted(a.Endpoints, PeerEndpointToProto),
		Tasks:     sorted(a.Tasks, TaskToProto),
	}
}

// AssignmentSetFromProto never returns nil maps. It refuses objects without an id and objects named twice.
func AssignmentSetFromProto(m *pb.Assignments) (swarmnet.AssignmentSet, error) {
	return decode((*decoder).assignmentSet, m)
}

func (d *decoder) assignmentSet(m *pb.Assignments) swarmnet.AssignmentSet {
	return swarmnet.AssignmentSet{
		Revision: m.GetRevision(), Cluster: d.clusterView(m.GetCluster()), Self: swarmnet.NodeID(m.GetSelf()),
		Nodes:     byID(d, "node", m.GetNodes(), (*decoder).node, func(n swarmnet.Node) swarmnet.NodeID { return n.ID }),
		Networks:  byID(d, "network", m.GetNetworks(), (*decoder).network, func(n swarmnet.Network) swarmnet.NetworkID { return n.ID }),
		Services:  byID(d, "service", m.GetServices(), (*decoder).service, func(s swarmnet.Service) swarmnet.ServiceID { return s.ID }),
		Endpoints: byID(d, "endpoint", m.GetEndpoints(), (*decoder).peerEndpoint, func(e swarmnet.PeerEndpoint) swarmnet.EndpointID { return e.ID }),
		Tasks:     byID(d, "task", m.GetTasks(), (*decoder).task, func(t swarmnet.Task) swarmnet.TaskID { return t.ID }),
	}
}

func DeltaToProto(v Delta) *pb.AssignmentDelta {
	return &pb.AssignmentDelta{
		From: v.From, Set: AssignmentSetToProto(v.Set),
		RemovedNodes: convert[string](v.RemovedNodes), RemovedNetworks: convert[string](v.RemovedNetworks),
		RemovedServices: convert[string](v.RemovedServices), RemovedEndpoints: convert[string](v.RemovedEndpoints),
		RemovedTasks: convert[string](v.RemovedTasks),
	}
}

func DeltaFromProto(m *pb.AssignmentDelta) (Delta, error) {
	set, err := AssignmentSetFromProto(m.GetSet())
	if err != nil {
		return Delta{}, err
	}
	return Delta{
		From: m.GetFrom(), Set: set,
		RemovedNodes: convert[swarmnet.NodeID](m.GetRemovedNodes()), RemovedNetworks: convert[swarmnet.NetworkID](m.GetRemovedNetworks()),
		RemovedServices: convert[swarmnet.ServiceID](m.GetRemovedServices()), RemovedEndpoints: convert[swarmnet.EndpointID](m.GetRemovedEndpoints()),
		RemovedTasks: convert[swarmnet.TaskID](m.GetRemovedTasks()),
	}, nil
}

func convert[To, From ~string](in []From) []To {
	return each(in, func(s From) To { return To(s) })
}

func sorted[K ~string, T, M any](in map[K]T, f func(T) M) []M {
	return each(slices.Sorted(maps.Keys(in)), func(k K) M { return f(in[k]) })
}

func byID[K ~string, T, M any](d *decoder, what string, in []M, f func(*decoder, M) T, id func(T) K) map[K]T {
	out := make(map[K]T, len(in))
	for _, m := range in {
		v := f(d, m)
		k := id(v)
		if _, twice := out[k]; twice {
			d.fail("%s %s is there twice", what, k)
		}
		if k == "" {
			d.fail("a %s has no id", what)
		}
		out[k] = v
	}
	return out
}
