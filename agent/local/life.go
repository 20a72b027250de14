package local

import (
	"time"

	"github.com/swarmnet/swarmnet"
)

const (
	// firstDelay is the pause before the first restart, doubling up to mostDelay, unless the policy names one.
	firstDelay = 100 * time.Millisecond
	mostDelay  = time.Minute
	// wellAfter is how long a process must have run for its end not to count as one more failure in a row.
	wellAfter = 10 * time.Second
)

// Start asks for a sandbox's process to run. One that is active already is left as it is.
func (s State) Start(ref string, env Env) (State, Sandbox, error) {
	sb, err := s.Sandbox(ref)
	if err != nil {
		return s, sb, err
	}
	switch {
	case sb.Removing:
		return s, sb, refuse(Refused, "sandbox %s is being removed", sb.Spec.Name)
	case sb.Active() && (sb.Wanted || sb.Again):
		return s, sb, nil
	case sb.Active():
		return s, sb, refuse(Refused, "sandbox %s is being stopped: try again in a moment", sb.Spec.Name)
	}
	if sb.Spec.Mode == swarmnet.ModeShared {
		owner, ok := s.Sandboxes[sb.Spec.SharedWith]
		switch {
		case !ok:
			return s, sb, refuse(Refused, "sandbox %s shares the network stack of a sandbox that is gone: make it anew", sb.Spec.Name)
		case owner.State != swarmnet.SandboxRunning:
			return s, sb, refuse(Refused, "sandbox %s shares the network stack of %s, which does not run: start that first", sb.Spec.Name, owner.Spec.Name)
		}
	}
	if err := s.publishable(sb); err != nil {
		return s, sb, err
	}
	if sb.Ports, err = s.ports(sb, env); err != nil {
		return s, sb, err
	}
	sb.Wanted, sb.Run, sb.Restarts, sb.Failures, sb.NotBefore = true, sb.Run+1, 0, 0, time.Time{}
	sb.StopSignal, sb.StopGrace, sb.Again, sb.Last = "", -1, false, false
	sb.State, sb.Started, sb.Finished = swarmnet.SandboxCreated, time.Time{}, time.Time{}
	sb.Status = swarmnet.TaskStatus{State: swarmnet.TaskAssigned, At: env.Now}
	sb.Meta.UpdatedAt = env.Now
	return s.withSandbox(sb), sb, nil
}

// Drain notes that a sandbox that runs is about to be stopped: it takes no new connections of the service that it has joined. Its end ends that.
func (s State) Drain(id swarmnet.TaskID) State {
	sb, ok := s.Sandboxes[id]
	if !ok || sb.Draining || sb.State != swarmnet.SandboxRunning {
		return s
	}
	sb.Draining = true
	return s.withSandbox(sb)
}

// Stop asks for a sandbox's process to end: signal, and a kill when grace is over. An empty signal and a negative grace are the sandbox's
// own. One that does not run is left as it is.
func (s State) Stop(ref, signal string, grace time.Duration) (State, Sandbox, error) {
	sb, err := s.Sandbox(ref)
	if err != nil || !sb.Active() {
		return s, sb, err
	}
	sb.Wanted, sb.StopSignal, sb.StopGrace, sb.Again = false, signal, grace, false
	return s.withSandbox(sb), sb, nil
}

// Restart asks for a sandbox's process to end, as Stop does, and to run again. One that is not active is started.
func (s State) Restart(ref, signal string, grace time.Duration, env Env) (State, Sandbox, error) {
	sb, err := s.Sandbox(ref)
	switch {
	case err != nil:
		return s, sb, err
	case !sb.Active():
		return s.Start(ref, env)
	case sb.Removing:
		return s, sb, refuse(Refused, "sandbox %s is being removed", sb.Spec.Name)
	}
	sb.Wanted, sb.StopSignal, sb.StopGrace, sb.Again = false, signal, grace, true
	return s.withSandbox(sb), sb, nil
}

// Kill notes that a sandbox's process, which must run, is sent a signal that is to be its end: the restart policy does not start it again.
func (s State) Kill(ref string, final bool) (State, Sandbox, error) {
	sb, err := s.Sandbox(ref)
	switch {
	case err != nil:
		return s, sb, err
	case sb.State != swarmnet.SandboxRunning:
		return s, sb, refuse(Refused, "sandbox %s does not run", sb.Spec.Name)
	case !final || sb.Last:
		return s, sb, nil
	}
	sb.Last = true
	return s.withSandbox(sb), sb, nil
}

// StartWithDaemon starts the sandboxes that were stopped and whose policy says that they are started whenever the daemon is. One that an earlier
// daemon had drained, and was about to stop when it ended, is stopped.
func (s State) StartWithDaemon(env Env) (State, []error) {
	var errs []error
	for _, sb := range s.SortedSandboxes() {
		if sb.Draining && sb.Wanted {
			sb.Wanted, sb.StopSignal, sb.StopGrace, sb.Again = false, "", -1, false
			s = s.withSandbox(sb)
			continue
		}
		if !sb.Spec.StartWithDaemon || sb.Active() || sb.Run == 0 || sb.Removing {
			continue
		}
		next, _, err := s.Start(string(sb.ID), env)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s = next
	}
	return s, errs
}

// Report takes in what became of a sandbox's process. Reports about an earlier run, and those that say less than is known, change nothing.
func (s State) Report(id swarmnet.TaskID, run uint64, st swarmnet.TaskStatus, now time.Time) State {
	sb, ok := s.Sandboxes[id]
	if !ok || run != sb.Run || st.State < sb.Status.State || sb.Status.State.Terminal() {
		return s
	}
	if st.At.IsZero() {
		st.At = now
	}
	if st.State == swarmnet.TaskFailed && st.ExitCode == 0 {
		st.ExitCode = 128 + 9 // its end was seen by nobody: a power cut, or a SIGKILL
	}
	switch {
	case st.State == swarmnet.TaskRunning:
		if sb.State != swarmnet.SandboxRunning {
			sb.State, sb.Started = swarmnet.SandboxRunning, st.At
		}
		sb.Status = st
	case st.State.Terminal():
		sb = ended(sb, st, now)
	default:
		st.ExitCode = sb.Status.ExitCode // of the run before
		sb.Status = st
	}
	return s.withSandbox(sb)
}

func ended(sb Sandbox, st swarmnet.TaskStatus, now time.Time) Sandbox {
	sb.Finished, sb.Draining = st.At, false
	if sb.Started.IsZero() && st.State != swarmnet.TaskRejected {
		sb.Started = st.At // it was faster than any look at it
	}
	if !sb.Started.IsZero() && sb.Finished.Sub(sb.Started) >= wellAfter && sb.State == swarmnet.SandboxRunning {
		sb.Failures = 0
	}
	if sb.Again && !sb.Removing {
		sb.Run, sb.Wanted, sb.Again, sb.Last, sb.Failures, sb.NotBefore = sb.Run+1, true, false, false, 0, time.Time{}
		sb.StopSignal, sb.StopGrace, sb.State = "", -1, swarmnet.SandboxRestarting
		sb.Status = swarmnet.TaskStatus{State: swarmnet.TaskAssigned, At: st.At, Message: "restarting", ExitCode: st.ExitCode}
		return sb
	}
	if !restarts(sb, st) {
		sb.Status, sb.State, sb.Ports = st, swarmnet.SandboxExited, nil
		if sb.Spec.AutoRemove {
			sb.Removing, sb.Wanted = true, false
		}
		return sb
	}
	delay := sb.Spec.Task.Restart.Delay
	if delay == 0 {
		delay = min(mostDelay, firstDelay<<min(sb.Failures, 16))
	}
	sb.Run, sb.Restarts, sb.Failures = sb.Run+1, sb.Restarts+1, sb.Failures+1
	sb.State, sb.NotBefore = swarmnet.SandboxRestarting, now.Add(delay)
	sb.Status = swarmnet.TaskStatus{State: swarmnet.TaskAssigned, At: st.At, Message: "restarting", Err: st.Err, ExitCode: st.ExitCode}
	return sb
}

// restarts says whether the policy wants a process that ended to run again. One that never ran tells its maker so instead.
func restarts(sb Sandbox, st swarmnet.TaskStatus) bool {
	p := sb.Spec.Task.Restart
	switch {
	case !sb.Wanted, sb.Last, sb.Started.IsZero():
		return false
	case p.Condition == swarmnet.RestartNone, p.Condition == swarmnet.RestartOnFailure && st.State == swarmnet.TaskComplete:
		return false
	}
	return p.MaxAttempts == 0 || sb.Failures < p.MaxAttempts
}

// NextDue is when the next restart is due that is not yet; the zero time: none.
func (s State) NextDue(now time.Time) time.Time {
	var next time.Time
	for _, sb := range s.Sandboxes {
		if at := sb.NotBefore; at.After(now) && sb.State == swarmnet.SandboxRestarting && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}
