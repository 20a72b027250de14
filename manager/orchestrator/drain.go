package orchestrator

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

const (
	drainFor = state.DrainFor
	awayFor  = state.AwayFor
)

// counts reports whether a node's balancers may lead anywhere and its agent may say so: it has a session, or had one a moment ago.
func (p *planner) counts(n swarmnet.Node) bool {
	switch n.Status.State {
	case swarmnet.NodeReady:
		return true
	case swarmnet.NodeDisconnected:
		return !p.reached(p.away(n).Add(awayFor))
	}
	return false
}

// acknowledged is the revision that every node which counts has in force. It is looked up once a plan: planning does not change it.
func (p *planner) acknowledged() uint64 {
	if p.applied == nil {
		least := uint64(math.MaxUint64)
		for n := range p.d.View().Nodes() {
			if p.counts(n) {
				least = min(least, n.Applied)
			}
		}
		p.applied = &least
	}
	return *p.applied
}

// serves reports whether every node has a running task in its balancers, as far as it can be waited for.
func (p *planner) serves(t swarmnet.Task) bool {
	if t.Status.State != swarmnet.TaskRunning {
		return false
	}
	return !p.balanced(t) || t.Balanced <= p.acknowledged() || p.reached(t.BalancedAt.Add(drainFor))
}

// balanced reports whether balancers or names may lead to a task.
func (p *planner) balanced(t swarmnet.Task) bool {
	for range p.d.View().EndpointsByTask(t.ID) {
		return true
	}
	return false
}

// end brings a task a step closer to a desired state in which it stops: no workload gets its stop signal before every node has taken it out of
// its balancers. One that cannot be in any stops at once.
func (p *planner) end(t swarmnet.Task, desired swarmnet.DesiredState) {
	inBalancers := t.Status.State >= swarmnet.TaskAssigned && !t.Status.State.Terminal() && p.balanced(t)
	cmd := state.SetDesired{Task: t.ID, Desired: desired}
	switch {
	case !inBalancers || t.Desired == swarmnet.DesireReady || t.Desired >= swarmnet.DesireShutdown:
	case t.Desired < swarmnet.DesireDraining:
		p.d.Do(state.SetDesired{Task: t.ID, Desired: swarmnet.DesireDraining})
		if t, ok := p.d.View().Task(t.ID); ok && p.acknowledged() == math.MaxUint64 { // nobody is there to be waited for
			p.end(t, desired)
		}
		return
	case t.Balanced <= p.acknowledged():
	case p.reached(t.BalancedAt.Add(drainFor)):
		cmd.Note = p.unheard(t)
	default:
		return
	}
	p.d.Do(cmd)
}

// unheard says that a task was stopped though some nodes may still send it connections.
func (p *planner) unheard(t swarmnet.Task) string {
	var names []string
	for n := range p.d.View().Nodes() {
		if p.counts(n) && n.Applied < t.Balanced {
			names = append(names, n.Name())
		}
	}
	slices.Sort(names)
	if more := len(names) - 3; more > 0 {
		names = append(names[:3], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("stopped without being drained everywhere: no answer from %s within %s", strings.Join(names, ", "), drainFor)
}

// endDrained tells the tasks to stop that have been drained.
func (s *service) endDrained(slots []*slot) {
	for _, sl := range slots {
		for _, t := range sl.tasks {
			if t, ok := s.d.View().Task(t.ID); ok && t.Desired == swarmnet.DesireDraining {
				s.end(t, swarmnet.DesireShutdown)
			}
		}
	}
}
