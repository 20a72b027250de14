package local

import (
	"maps"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// What the managers assigned stays as it is, so that what has become of the node's own sandboxes on their networks shows.
func TestMergeChangesNothingThatItIsGiven(t *testing.T) {
	cluster := swarmnet.EmptyAssignmentSet()
	cluster.Self = "n1"
	cluster.Endpoints["e1"] = swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{ID: "e1", Task: "box", Node: "n1", Network: "span"}}
	before := maps.Clone(cluster.Endpoints)
	task := func(state swarmnet.TaskState) Fragment {
		return Fragment{Tasks: map[swarmnet.TaskID]swarmnet.Task{"box": {ID: "box", ServiceName: "box", Status: swarmnet.TaskStatus{State: state}}},
			Endpoints: map[swarmnet.EndpointID]swarmnet.PeerEndpoint{"e2": {Endpoint: swarmnet.Endpoint{ID: "e2", Task: "box", Network: "mine"}}}}
	}
	running, over := Merge(cluster, task(swarmnet.TaskRunning)), Merge(cluster, task(swarmnet.TaskShutdown))
	if !maps.EqualFunc(cluster.Endpoints, before, swarmnet.PeerEndpoint.Equal) {
		t.Errorf("the endpoints of the cluster were %v, are %v", before, cluster.Endpoints)
	}
	for what, c := range map[string]struct {
		set  swarmnet.AssignmentSet
		want swarmnet.TaskState
	}{"running": {running, swarmnet.TaskRunning}, "over": {over, swarmnet.TaskShutdown}} {
		if got := c.set.Endpoints["e1"].State; got != c.want || len(c.set.Endpoints) != 2 {
			t.Errorf("%s: %v", what, c.set.Endpoints)
		}
	}
}
