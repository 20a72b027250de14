package orchestrator

import (
	"fmt"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// rollout is how far the change to the spec in force may go now.
type rollout struct {
	order  swarmnet.UpdateOrder
	budget int  // slots that may be replaced now
	stale  bool // some slot is left with an old task
	busy   bool // some new task is not yet what it should be
	failed int  // slots in which a new task failed
	last   string
	slots  int
}

func (r *rollout) take() bool {
	r.stale = true
	if r.budget <= 0 {
		return false
	}
	r.budget--
	return true
}

func (s *service) updating() bool {
	return s.Update.State == swarmnet.UpdateRunning || s.Update.State == swarmnet.UpdateRollingBack
}

func (s *service) updateConfig() swarmnet.UpdateConfig {
	if s.Update.State == swarmnet.UpdateRollingBack || s.Update.State == swarmnet.UpdateRollbackPaused {
		return s.Spec.Rollback
	}
	return s.Spec.Update
}

// rollout looks at where the roll-out stands.
func (s *service) rollout(slots []*slot) *rollout {
	cfg := s.updateConfig()
	r := &rollout{order: cfg.Order, slots: len(slots)}
	if len(state.HostPorts(s.Ports)) > 0 {
		r.order = swarmnet.StopFirst // no node can have the old task's ports and the new one's at once
	}
	if s.Update.State == swarmnet.UpdatePaused || s.Update.State == swarmnet.UpdateRollbackPaused || s.Allocated != s.SpecVersion {
		r.stale = true
		return r
	}
	r.budget = len(slots)
	if cfg.Parallelism > 0 {
		r.budget = int(cfg.Parallelism)
	}
	if !s.updating() {
		return r
	}
	for _, sl := range slots {
		if sl.frozen {
			r.stale = r.stale || slices.ContainsFunc(sl.current(), func(t swarmnet.Task) bool { return !s.isClean(t) })
			continue
		}
		failed, settling := s.progress(sl, cfg, r)
		if failed {
			r.failed++
		}
		if settling && cfg.Parallelism > 0 {
			r.budget--
		}
	}
	if s.tooManyFailed(r, cfg) && cfg.FailureAction != swarmnet.FailureContinue {
		r.budget = 0
	}
	return r
}

// progress looks at one slot: whether a task of the roll-out failed in it, and whether its newest one still counts
// against the parallelism, because it does not run yet or has not run for the delay.
func (s *service) progress(sl *slot, cfg swarmnet.UpdateConfig, r *rollout) (failed, settling bool) {
	for _, t := range sl.tasks {
		if t.SpecVersion != s.SpecVersion {
			continue
		}
		if st := t.Status.State; st == swarmnet.TaskFailed || st == swarmnet.TaskRejected {
			failed, r.last = true, t.Name()
		}
	}
	if failed && cfg.FailureAction == swarmnet.FailureContinue {
		return failed, false // it has had its turn: restarts go on, and hold nothing up
	}
	current := sl.current()
	if len(current) == 0 {
		r.busy = true
		return failed, false
	}
	t := current[len(current)-1]
	if !s.isClean(t) {
		return failed, false
	}
	rolled := !t.Meta.CreatedAt.Before(s.Update.Started) && t.SpecVersion == s.SpecVersion
	switch {
	case t.Status.State == swarmnet.TaskRunning && t.Desired == swarmnet.DesireRunning:
		settling = rolled && (!s.serves(t) || !s.reached(t.Meta.UpdatedAt.Add(cfg.Delay)))
		r.busy = r.busy || rolled && !s.reached(t.Meta.UpdatedAt.Add(cfg.Monitor))
	case t.Status.State == swarmnet.TaskComplete:
	default:
		settling = rolled
		r.busy = true
	}
	return failed, settling
}

func (s *service) tooManyFailed(r *rollout, cfg swarmnet.UpdateConfig) bool {
	return r.failed > 0 && r.slots > 0 && float64(r.failed)/float64(r.slots) > cfg.MaxFailureRatio
}

// finish says what became of the roll-out.
func (s *service) finish(r *rollout) {
	if !s.updating() || s.Allocated != s.SpecVersion {
		return
	}
	cfg := s.updateConfig()
	back := s.Update.State == swarmnet.UpdateRollingBack
	status := s.Update
	switch {
	case s.tooManyFailed(r, cfg) && cfg.FailureAction == swarmnet.FailureRollback && !back && s.Previous != nil:
		s.d.Do(state.RollbackService{ID: s.ID, Message: fmt.Sprintf("rolled back: task %s of the update failed", r.last)})
		return
	case s.tooManyFailed(r, cfg) && cfg.FailureAction != swarmnet.FailureContinue:
		status.State, status.Message = swarmnet.UpdatePaused, fmt.Sprintf("update paused: task %s failed", r.last)
		if back {
			status.State, status.Message = swarmnet.UpdateRollbackPaused, fmt.Sprintf("rollback paused: task %s failed", r.last)
		}
	case r.stale || r.busy:
		return
	default:
		status.State, status.Message, status.Completed = swarmnet.UpdateCompleted, "update completed", s.now
		if back {
			status.State, status.Message = swarmnet.UpdateRolledBack, "rollback completed"
		}
	}
	s.d.Do(state.SetUpdateStatus{ID: s.ID, Version: s.SpecVersion, Status: status})
}

// trim forgets old ended tasks: of every slot the newest few stay, for people to look at and for counting attempts.
func (s *service) trim(slots []*slot) {
	limit := max(s.planner.spec.TaskHistory, s.Spec.Task.Restart.MaxAttempts+1)
	if s.Spec.Task.Restart.MaxAttempts == 0 {
		limit = s.planner.spec.TaskHistory
	}
	for _, sl := range slots {
		ended := slices.DeleteFunc(slices.Clone(sl.tasks), func(t swarmnet.Task) bool {
			return !t.Status.State.Terminal() || t.Desired <= swarmnet.DesireRunning
		})
		surplus := len(ended) - int(limit)
		for i, t := range ended {
			if i < surplus || t.Desired == swarmnet.DesireRemove {
				s.d.Do(state.RemoveTask{ID: t.ID})
			}
		}
	}
}
