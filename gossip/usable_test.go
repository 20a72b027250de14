package gossip

import (
	"fmt"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// TestUsable walks through what can be known of two endpoints, a on this node n1 and b on n2, and of a third, c on n3.
func TestUsable(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(set *swarmnet.AssignmentSet, v *View, eps []swarmnet.PeerEndpoint)
		want string
	}{
		{"all run", func(*swarmnet.AssignmentSet, *View, []swarmnet.PeerEndpoint) {}, "a b c"},
		{"not placed yet", func(_ *swarmnet.AssignmentSet, _ *View, eps []swarmnet.PeerEndpoint) { eps[1].Node = "" }, "a c"},
		{"to be stopped", func(_ *swarmnet.AssignmentSet, _ *View, eps []swarmnet.PeerEndpoint) {
			eps[1].Desired = swarmnet.DesireShutdown
		}, "a c"},
		{"still starting", func(_ *swarmnet.AssignmentSet, _ *View, eps []swarmnet.PeerEndpoint) {
			eps[1].State = swarmnet.TaskStarting
		}, "a c"},
		{"its node says ready before the managers know", func(_ *swarmnet.AssignmentSet, v *View, eps []swarmnet.PeerEndpoint) {
			eps[1].State = swarmnet.TaskStarting
			v.put("b", "n2", EndpointReady)
		}, "a b c"},
		{"its node says up after it came to run", func(_ *swarmnet.AssignmentSet, v *View, eps []swarmnet.PeerEndpoint) {
			eps[1].Service = "web"
			v.put("b", "n2", EndpointUp)
		}, "a b c"},
		{"a sandbox that has joined is up again", func(set *swarmnet.AssignmentSet, v *View, eps []swarmnet.PeerEndpoint) {
			eps[1].Service = "ext"
			set.Services["ext"] = swarmnet.Service{Spec: swarmnet.ServiceSpec{Mode: swarmnet.External}}
			v.put("b", "n2", EndpointUp)
		}, "a c"},
		{"its node says draining", func(_ *swarmnet.AssignmentSet, v *View, _ []swarmnet.PeerEndpoint) {
			v.put("b", "n2", EndpointDraining)
		}, "a c"},
		{"another node says draining", func(_ *swarmnet.AssignmentSet, v *View, _ []swarmnet.PeerEndpoint) {
			v.put("b", "n3", EndpointDraining)
		}, "a b c"},
		{"its node was declared down", func(set *swarmnet.AssignmentSet, _ *View, _ []swarmnet.PeerEndpoint) {
			set.Nodes["n2"] = swarmnet.Node{Status: swarmnet.NodeStatus{State: swarmnet.NodeDown}}
		}, "a c"},
		{"the membership calls its node dead", func(_ *swarmnet.AssignmentSet, v *View, _ []swarmnet.PeerEndpoint) {
			v.Nodes["n2"] = Dead
		}, "a c"},
		{"its node has just lost its session", func(set *swarmnet.AssignmentSet, _ *View, _ []swarmnet.PeerEndpoint) {
			set.Nodes["n2"] = swarmnet.Node{Status: swarmnet.NodeStatus{State: swarmnet.NodeDisconnected}}
		}, "a c"},
		{"all that is left is in doubt", func(_ *swarmnet.AssignmentSet, v *View, eps []swarmnet.PeerEndpoint) {
			eps[0].Desired = swarmnet.DesireShutdown
			v.Nodes["n2"], v.Nodes["n3"] = Dead, Dead
		}, "b c"},
		{"all that is left is in doubt, and the membership has one of them alive", func(set *swarmnet.AssignmentSet, v *View, eps []swarmnet.PeerEndpoint) {
			eps[0].Desired = swarmnet.DesireShutdown
			set.Nodes["n2"] = swarmnet.Node{Status: swarmnet.NodeStatus{State: swarmnet.NodeDisconnected}}
			v.Nodes["n2"], v.Nodes["n3"] = Alive, Dead
		}, "b"},
		{"all that is left is down", func(set *swarmnet.AssignmentSet, v *View, eps []swarmnet.PeerEndpoint) {
			eps[0].Desired = swarmnet.DesireShutdown
			for _, n := range []swarmnet.NodeID{"n2", "n3"} {
				set.Nodes[n] = swarmnet.Node{Status: swarmnet.NodeStatus{State: swarmnet.NodeDown}}
			}
		}, ""},
		{"this node thinks itself dead", func(_ *swarmnet.AssignmentSet, v *View, _ []swarmnet.PeerEndpoint) {
			v.Nodes["n1"], v.Nodes["n2"] = Dead, Dead
		}, "a c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := swarmnet.EmptyAssignmentSet()
			set.Self = "n1"
			view := View{Endpoints: map[swarmnet.EndpointID]EndpointRow{}, Nodes: map[swarmnet.NodeID]Liveness{}}
			var eps []swarmnet.PeerEndpoint
			for i, id := range []swarmnet.EndpointID{"a", "b", "c"} {
				node := swarmnet.NodeID(fmt.Sprint("n", i+1))
				set.Nodes[node] = swarmnet.Node{ID: node, Status: swarmnet.NodeStatus{State: swarmnet.NodeReady}}
				eps = append(eps, swarmnet.PeerEndpoint{
					Endpoint: swarmnet.Endpoint{ID: id, Node: node}, Desired: swarmnet.DesireRunning, State: swarmnet.TaskRunning,
				})
			}
			c.edit(&set, &view, eps)
			var got []string
			for _, ep := range Usable(set, view, eps) {
				got = append(got, string(ep.ID))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("usable: %q, want %q", s, c.want)
			}
		})
	}
}

func (v *View) put(id swarmnet.EndpointID, owner swarmnet.NodeID, s EndpointState) {
	v.Endpoints[id] = EndpointRow{Owner: owner, State: s}
}
