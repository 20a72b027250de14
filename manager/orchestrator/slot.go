package orchestrator

import (
	"reflect"
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// reconcile plans one slot.
func (s *service) reconcile(sl *slot) {
	var best *swarmnet.Task // the newest current task of the spec in force
	var olds []swarmnet.Task
	for _, t := range sl.current() {
		if !s.isClean(t) {
			olds = append(olds, t)
			continue
		}
		if best != nil {
			olds = append(olds, *best)
		}
		best = &t
	}
	switch {
	case best != nil:
		s.keep(sl, *best)
		if len(olds) > 0 && (s.roll.order == swarmnet.StopFirst || s.isClean(olds[0]) || s.serves(*best)) {
			for _, t := range olds {
				s.stop(t)
			}
		}
	case len(olds) > 0:
		s.replaceOld(sl, olds)
	default:
		s.create(sl, s.first(sl), time.Time{})
	}
}

// first is what is wanted of a new task of a slot: it waits until the ones before have ended.
func (s *service) first(sl *slot) swarmnet.DesiredState {
	if slices.ContainsFunc(sl.tasks, s.blocks) {
		return swarmnet.DesireReady
	}
	return swarmnet.DesireRunning
}

// blocks reports whether a task keeps the next one of its slot from running. One that is still wanted does not where the
// new one goes first.
func (s *service) blocks(t swarmnet.Task) bool {
	t, ok := s.d.View().Task(t.ID) // it may have ended by what was planned so far
	return ok && !t.Status.State.Terminal() && (s.roll.order == swarmnet.StopFirst || t.Desired > swarmnet.DesireRunning)
}

// keep looks after a task of the spec in force.
func (s *service) keep(sl *slot, t swarmnet.Task) {
	switch {
	case t.Status.State.Terminal():
		if at, ok := s.restart(sl, t); ok {
			s.succeed(sl, t, at)
		}
	case s.drained(t):
		s.succeed(sl, t, time.Time{})
	case t.Desired == swarmnet.DesireReady:
		others := slices.ContainsFunc(sl.tasks, func(o swarmnet.Task) bool { return o.ID != t.ID && s.blocks(o) })
		if s.reached(t.NotBefore) && !others {
			s.d.Do(state.SetDesired{Task: t.ID, Desired: swarmnet.DesireRunning})
		}
	}
}

// succeed makes the task after t, to run not before a time.
func (s *service) succeed(sl *slot, t swarmnet.Task, notBefore time.Time) {
	s.stop(t)
	desired := s.first(sl)
	if !s.reached(notBefore) {
		desired = swarmnet.DesireReady
	} else {
		notBefore = time.Time{}
	}
	s.create(sl, desired, notBefore)
}

func (s *service) drained(t swarmnet.Task) bool {
	n, ok := s.d.View().Node(t.Node)
	return ok && t.Slot != 0 && n.Spec.Availability == swarmnet.AvailabilityDrain
}

// restart says whether and when a task that ended is followed by another.
func (s *service) restart(sl *slot, t swarmnet.Task) (time.Time, bool) {
	policy := t.Spec.Restart
	switch {
	case policy.Condition == swarmnet.RestartNone,
		policy.Condition == swarmnet.RestartOnFailure && t.Status.State == swarmnet.TaskComplete:
		return time.Time{}, false
	case t.Status.State == swarmnet.TaskOrphaned:
		return time.Time{}, true // not its fault
	}
	if policy.MaxAttempts > 0 {
		var ended uint32
		for _, o := range sl.tasks {
			switch st := o.Status.State; {
			case o.SpecVersion != t.SpecVersion || !st.Terminal():
				continue
			case st == swarmnet.TaskOrphaned || st == swarmnet.TaskShutdown:
				continue // it did not end by itself
			}
			if policy.Window == 0 || o.Meta.UpdatedAt.Add(policy.Window).After(s.now) {
				ended++
			}
		}
		if ended > policy.MaxAttempts {
			return time.Time{}, false
		}
	}
	return t.Meta.UpdatedAt.Add(policy.Delay), true
}

// replaceOld deals with a slot whose tasks are all of an older spec: what has ended and would be restarted comes back as
// the new one, what runs is replaced when the roll-out comes to it.
func (s *service) replaceOld(sl *slot, olds []swarmnet.Task) {
	last := olds[len(olds)-1]
	var at time.Time
	must := !last.Status.State.Terminal() && s.drained(last)
	if last.Status.State.Terminal() {
		at, must = s.restart(sl, last)
	}
	switch {
	case must:
		for _, t := range olds[:len(olds)-1] {
			s.stop(t)
		}
		s.succeed(sl, last, at)
	case !s.roll.take():
		s.keep(sl, last)
	case s.roll.order == swarmnet.StartFirst && last.Status.State == swarmnet.TaskRunning:
		s.create(sl, swarmnet.DesireRunning, time.Time{})
	default:
		for _, t := range olds {
			s.stop(t)
		}
		s.create(sl, s.first(sl), time.Time{})
	}
}

// cleanKey is what decides whether a task is as the spec in force says: all tasks of one version were made alike.
type cleanKey struct {
	version uint64
	held    bool // it has its endpoints and ports
}

// isClean reports whether a task need not be replaced: it was made from the spec in force, or from one that made no
// other tasks.
func (s *service) isClean(t swarmnet.Task) bool {
	if t.SpecVersion == s.SpecVersion {
		return true
	}
	k := cleanKey{t.SpecVersion, t.Status.State >= swarmnet.TaskPending && !t.Status.State.Terminal()}
	clean, ok := s.clean[k]
	if !ok {
		clean = s.alike(t, k.held)
		s.clean[k] = clean
	}
	return clean
}

func (s *service) alike(t swarmnet.Task, held bool) bool {
	if !reflect.DeepEqual(t.Spec, s.Spec.Task) || !reflect.DeepEqual(t.Networks, s.Spec.Networks) {
		return false
	}
	if !held || s.Allocated != s.SpecVersion {
		return true
	}
	if !slices.Equal(state.HostPorts(t.Ports), state.HostPorts(s.Ports)) {
		return false
	}
	onIngress := false
	for e := range s.d.View().EndpointsByTask(t.ID) {
		n, _ := s.d.View().Network(e.Network)
		onIngress = onIngress || n.Spec.Ingress
	}
	return onIngress == s.d.View().NeedsIngressEndpoint(s.Spec)
}
