package agent

import (
	"time"

	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/task"
)

// spreadFor is how long gossip takes at most, by its own measure, until every node that can be reached has heard of a row.
const spreadFor = time.Second

// spread reports whether the other nodes have had the time to hear that a task drains which the node itself gives up. Nobody acknowledges
// that: the managers may be away.
func (r *runner) spread(want desired.Task, in task.Input) bool {
	if !task.GivesUp(in) || in.Workload.Phase != executor.Running || len(want.Endpoints) == 0 {
		r.draining = time.Time{}
		return true
	}
	if r.draining.IsZero() {
		r.draining = time.Now()
	}
	left := time.Until(r.draining.Add(spreadFor))
	if left > 0 {
		time.AfterFunc(left, r.poke)
	}
	return left <= 0
}
