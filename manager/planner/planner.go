// Package planner runs the planners one after the other over one view until they have nothing more to say, so that one
// entry of the log takes a service from its creation to placed tasks. It is pure.
package planner

import (
	"time"

	"github.com/swarmnet/swarmnet/manager/allocator"
	"github.com/swarmnet/swarmnet/manager/orchestrator"
	"github.com/swarmnet/swarmnet/manager/scheduler"
	"github.com/swarmnet/swarmnet/manager/state"
)

// rounds bounds the passes over one view. What is left then is planned from the next view.
const rounds = 16

// Result is what there is to do now, and when to look again though nothing changes.
type Result struct {
	Commands []state.Command
	Next     time.Time // zero: not by itself
	// Settled is false when the rounds did not suffice: plan again at once.
	Settled bool
}

// Run plans from a view. The same view and times give the same result. led is since when the leader that plans has been it: before that there may
// have been nobody for long whom a node could have opened a session with, so no absence counts from earlier. Zero: all that the state says counts.
func Run(s *state.State, now, led time.Time) Result {
	d := state.NewDraft(s, now)
	for range rounds {
		before := len(d.Commands())
		next := earlier(orchestrator.Run(d, led), allocator.Run(d))
		scheduler.Run(d)
		if len(d.Commands()) == before {
			return Result{Commands: d.Commands(), Next: next, Settled: true}
		}
	}
	return Result{Commands: d.Commands()}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Plan returns what there is to do now.
func Plan(s *state.State, now time.Time) []state.Command { return Run(s, now, time.Time{}).Commands }
