package agent

import (
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
)

func TestOrphans(t *testing.T) {
	set := swarmnet.EmptyAssignmentSet()
	set.Self = "n1"
	for id, ep := range map[swarmnet.EndpointID]swarmnet.Endpoint{
		"left": {Task: "gone", Node: "n1"}, "used": {Task: "there", Node: "n1"},
		"task's": {Task: "t1", Node: "n1", Service: "web"}, "task's own": {Task: "t2", Node: "n1"}, "theirs": {Task: "x", Node: "n2"},
	} {
		set.Endpoints[id] = swarmnet.PeerEndpoint{Endpoint: ep}
	}
	set.Tasks["t2"] = swarmnet.Task{ID: "t2", Node: "n1", Service: "web"} // a person put it on a network that its service is not on
	used := func(id swarmnet.TaskID, _ swarmnet.NetworkID) bool { return id == "there" }
	o, t0 := orphans{}, time.Unix(0, 0)
	if got := o.due(set, used, t0); len(got) != 0 {
		t.Errorf("at once: %v", got)
	}
	if got := o.due(set, used, t0.Add(orphanAfter)); len(got) != 1 || got[0].Task != "gone" {
		t.Errorf("after a while: %v", got)
	}
	if got := o.due(set, used, t0.Add(orphanAfter+time.Second)); len(got) != 0 {
		t.Errorf("again at once: %v", got)
	}
	delete(set.Endpoints, "left")
	if o.due(set, used, t0); len(o) != 0 {
		t.Errorf("remembered: %v", o)
	}
}
