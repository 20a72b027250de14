package agent

import (
	"context"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/agent/task"
)

// leadLook is how often it is looked whether they are.
const leadLook = 10 * time.Millisecond

// spreadFor is how long gossip takes at most, by its own measure, until every node that can be reached has heard of a row.
const spreadFor = time.Second

// leadFor bounds how long a node waits for its own balancers: something else may keep them from being brought into force.
const leadFor = 5 * time.Second

// leading reports whether the node's own balancers may still lead to a task that it is told to stop. The managers have waited for those of every
// node that has a session; this one may have been away meanwhile, and hears of the draining and the end at once.
func (r *runner) leading(want desired.Task, told uint64, w executor.Status) bool {
	stops := want.Desired >= swarmnet.DesireShutdown || want.Status.State.Terminal()
	if want.Standalone() || !stops || w.Phase != executor.Running || w.Stopping || len(want.Endpoints) == 0 && !want.Status.State.Terminal() {
		r.leads = time.Time{}
		return false
	}
	if r.a.inForce.Load() >= told {
		return false
	}
	if r.leads.IsZero() {
		r.leads = time.Now()
	}
	left := time.Until(r.leads.Add(leadFor))
	if left > 0 {
		time.AfterFunc(min(left, leadLook), r.poke)
	}
	return left > 0
}

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

// Drain takes one of the node's sandboxes out of the service that it has joined, for new connections on every node, and returns when it may be
// stopped: when all nodes have acknowledged that, or, with no manager in reach, when gossip has had its time to tell. It lasts until the
// sandbox's next run.
func (a *Agent) Drain(ctx context.Context, id swarmnet.TaskID) {
	if a.standalone() || a.cfg.Local == nil || a.Assigned().Tasks[id].Member == "" || a.cfg.Local.Read().Sandboxes[id].State != swarmnet.SandboxRunning {
		return
	}
	if _, err := a.cfg.Local.Step(func(s local.State) (local.State, error) { return s.Drain(id), nil }); err != nil {
		a.cfg.Logger.Warn("that a sandbox drains cannot be noted", "sandbox", swarmnet.ShortID(id), "err", err)
	}
	silent, err := a.session.Drain(ctx, id)
	switch {
	case err != nil:
		a.cfg.Logger.Warn("no manager acknowledges that a sandbox drains: the nodes hear of it by gossip", "sandbox", swarmnet.ShortID(id), "err", err)
		select {
		case <-time.After(spreadFor):
		case <-ctx.Done():
		}
	case len(silent) > 0:
		a.cfg.Logger.Warn("a sandbox is stopped without being drained everywhere", "sandbox", swarmnet.ShortID(id), "no answer from", strings.Join(silent, ", "))
	}
}
