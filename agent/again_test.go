package agent

import (
	"errors"
	"testing"

	"github.com/swarmnet/swarmnet/agent/reconcile"
)

// What a loop got done, or could not do, is planned with; that it found everything in force is not.
func TestPlanAgain(t *testing.T) {
	a := &Agent{wake: make(chan struct{}, 1)}
	done := a.planAgain()
	broken := errors.New("broken")
	for i, c := range []struct {
		st    reconcile.Status
		plans bool
	}{
		{reconcile.Status{Wanted: 1, Applied: 1}, true},
		{reconcile.Status{Wanted: 1, Applied: 1}, false},
		{reconcile.Status{Wanted: 2, Applied: 1}, false},
		{reconcile.Status{Wanted: 2, Applied: 2}, true},
		{reconcile.Status{Wanted: 2, Applied: 2, Failures: 1, Err: broken}, true},
		{reconcile.Status{Wanted: 2, Applied: 2, Failures: 2, Err: broken}, true},
		{reconcile.Status{Wanted: 2, Applied: 2}, true},
		{reconcile.Status{Wanted: 2, Applied: 2}, false},
	} {
		done(c.st)
		select {
		case <-a.wake:
			if !c.plans {
				t.Errorf("step %d: %+v has it plan", i, c.st)
			}
		default:
			if c.plans {
				t.Errorf("step %d: %+v has it not plan", i, c.st)
			}
		}
	}
}
