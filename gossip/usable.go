package gossip

import "github.com/swarmnet/swarmnet"

// Usable returns those of a service's endpoints that take new connections, as far as this node can tell, in their order.
//
// Raft bounds what gossip may say: an endpoint that is not placed, that is to stop, or whose node was declared down is never
// usable, and a row counts only when the node that the endpoint is bound to owns it. Within that, the owner's own row is
// fresher than what the managers last heard. A node in doubt (the membership calls it dead, or the managers have just lost its
// session) takes nothing while another node can. When all are in doubt, those are tried that the membership has alive: the managers' word
// may be of long ago. When it has none of them alive, all are tried: a daemon that restarts, or a partition that makes everybody else look
// dead, must not take a service away whose tasks are well.
func Usable(set swarmnet.AssignmentSet, view View, eps []swarmnet.PeerEndpoint) []swarmnet.PeerEndpoint {
	var sure, alive, doubtful []swarmnet.PeerEndpoint
	for _, ep := range eps {
		if !ready(set, view, ep) {
			continue
		}
		doubtful = append(doubtful, ep)
		if view.Nodes[ep.Node] == Alive {
			alive = append(alive, ep)
		}
		if !inDoubt(set, view, ep.Node) {
			sure = append(sure, ep)
		}
	}
	switch {
	case len(sure) > 0:
		return sure
	case len(alive) > 0:
		return alive
	}
	return doubtful
}

// ready reports whether an endpoint's task takes connections, its node being alive.
func ready(set swarmnet.AssignmentSet, view View, ep swarmnet.PeerEndpoint) bool {
	if ep.Node == "" || ep.Desired != swarmnet.DesireRunning || ep.State.Terminal() {
		return false
	}
	if ep.Node != set.Self && set.Nodes[ep.Node].Status.State == swarmnet.NodeDown {
		return false
	}
	row, ok := view.Row(ep.ID, ep.Node)
	if !ok || row.State == EndpointUnknown {
		return ep.State == swarmnet.TaskRunning
	}
	// A task that came to run has been up before: then it is the row that is late. A sandbox may run again and again.
	task := ep.Service != "" && set.Services[ep.Service].Spec.Mode != swarmnet.External
	return row.State == EndpointReady || row.State == EndpointUp && ep.State == swarmnet.TaskRunning && task
}

// inDoubt reports whether a node may be gone; this node itself never is.
func inDoubt(set swarmnet.AssignmentSet, view View, n swarmnet.NodeID) bool {
	return n != set.Self && (view.Nodes[n] == Dead || set.Nodes[n].Status.State == swarmnet.NodeDisconnected)
}
