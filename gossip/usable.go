package gossip

import "github.com/swarmnet/swarmnet"

// Usable reports whether an endpoint takes new connections, as far as this node can tell. Raft bounds what gossip may
// say: an endpoint that is not placed, or that is to stop, is never usable, and a row counts only when the node that the endpoint is
// bound to owns it. Within that, the owner's own row is fresher than what the managers last heard, and a node that the
// membership calls dead takes nothing.
func Usable(set swarmnet.AssignmentSet, view View, ep swarmnet.PeerEndpoint) bool {
	if ep.Node == "" || ep.Desired != swarmnet.DesireRunning || ep.State.Terminal() {
		return false
	}
	if ep.Node != set.Self {
		if view.Nodes[ep.Node] == Dead || set.Nodes[ep.Node].Status.State == swarmnet.NodeDown {
			return false
		}
	}
	row, ok := view.Row(ep.ID, ep.Node)
	if !ok || row.State == EndpointUnknown {
		return ep.State == swarmnet.TaskRunning
	}
	return row.State == EndpointReady
}
