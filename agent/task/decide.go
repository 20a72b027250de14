// Package task is the life of a task on its node, as one pure decision: given what the managers want, what they were told, and what
// can be observed, what is to be told and done next. It remembers nothing, so a daemon that starts again goes on where the last one was.
package task

import (
	"fmt"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/gossip"
)

const (
	// RejectAfter is how long a sandbox may fail to come up before another node should try.
	RejectAfter = 30 * time.Second
	// maxStarts is how many times a start is tried that fails for a reason of this node's own.
	maxStarts = 3
)

// Health is what the checks say of a running workload.
type Health uint8

const (
	HealthUnknown Health = iota // no check has succeeded yet
	Healthy
	Unhealthy // too many in a row failed
)

// Input is everything that a decision depends on.
type Input struct {
	Desired swarmnet.DesiredState
	// Told is what the managers know of the task.
	Told swarmnet.TaskState
	// Network says that the sandbox is there; NetworkErr why not, for NetworkFor already.
	Network    bool
	NetworkErr error
	NetworkFor time.Duration
	// NetworkRefused says that another attempt would end like the last.
	NetworkRefused bool
	Workload       executor.Status
	// Starts counts the failed attempts to start it; StartErr is the last one's reason.
	Starts   int
	StartErr error
	// Checked says that the task has a health check, Health what that says; HealthErr is the last failure.
	Checked   bool
	Health    Health
	HealthErr error
	// Settling says that the workload has just started and does not listen yet.
	Settling bool
	// Spread says that the other nodes have had the time to hear that the node itself gives the task up.
	Spread bool
	// Leading says that this node's own balancers may still send the task new connections.
	Leading bool
}

// GivesUp reports whether it is the node itself that wants a task stopped, whose managers want it to run.
func GivesUp(in Input) bool {
	return in.Health == Unhealthy && in.Desired < swarmnet.DesireShutdown && !in.Told.Terminal()
}

// Action is what is to be done next.
type Action uint8

const (
	Wait    Action = iota
	Start          // the workload
	Stop           // the workload: signal, grace, kill
	Release        // everything of the task but its record and output
)

func (a Action) String() string { return [...]string{"wait", "start", "stop", "release"}[a] }

// Output is a decision.
type Output struct {
	// Status is what the managers should know; its state may be less than Told, then there is nothing to tell.
	Status swarmnet.TaskStatus
	// Row is what gossip should say of the task's endpoints; EndpointUnknown: nothing.
	Row gossip.EndpointState
	// Sandbox says that the network namespace must be there.
	Sandbox bool
	Action  Action
}

func (o Output) String() string {
	s := fmt.Sprintf("%s state=%s row=%s sandbox=%t", o.Action, o.Status.State, [...]string{"none", "up", "ready", "draining"}[o.Row], o.Sandbox)
	if o.Status.Err != "" {
		s += fmt.Sprintf(" err=%q", o.Status.Err)
	}
	return s
}

// Decide says what comes next.
func Decide(in Input) Output {
	switch in.Workload.Phase {
	case executor.Absent:
		return decideAbsent(in)
	case executor.Ended, executor.Lost:
		return Output{Status: ending(in), Row: over(in), Action: Release}
	}
	return decideHeld(in)
}

// over is what gossip says of a task that has ended. Without a row the managers' word would count, who have it running until they hear of its
// end: they may be away.
func over(in Input) gossip.EndpointState {
	if in.Told.Terminal() {
		return gossip.EndpointUnknown
	}
	return gossip.EndpointDraining
}

// decideAbsent is about a task whose workload was not started, or of which nothing is left.
func decideAbsent(in Input) Output {
	released := func(state swarmnet.TaskState, msg, err string) Output {
		return Output{Status: swarmnet.TaskStatus{State: state, Message: msg, Err: err}, Action: Release}
	}
	preparing := Output{Status: swarmnet.TaskStatus{State: swarmnet.TaskPreparing, Message: "preparing its sandbox"}, Sandbox: true}
	switch {
	case in.Told.Terminal():
		return released(in.Told, "", "")
	case in.Desired >= swarmnet.DesireDraining:
		return released(swarmnet.TaskShutdown, "stopped", "")
	case in.Told >= swarmnet.TaskRunning:
		out := released(swarmnet.TaskFailed, "gone", "node restarted")
		out.Row = over(in)
		return out
	case in.Starts >= maxStarts:
		return released(swarmnet.TaskRejected, "cannot be started", in.StartErr.Error())
	case !in.Network && in.NetworkErr != nil && (in.NetworkRefused || in.NetworkFor >= RejectAfter):
		return released(swarmnet.TaskRejected, "its sandbox cannot be made", in.NetworkErr.Error())
	case !in.Network:
		if in.NetworkErr != nil {
			preparing.Status.Err = in.NetworkErr.Error()
		}
		return preparing
	case in.Desired == swarmnet.DesireReady:
		preparing.Status.Message = "ready to start"
		return preparing
	}
	return Output{
		Status: swarmnet.TaskStatus{State: swarmnet.TaskStarting, Message: "starting"},
		Row:    gossip.EndpointUp, Sandbox: true, Action: Start,
	}
}

// decideHeld is about a task whose workload runs or is about to.
func decideHeld(in Input) Output {
	out := Output{Sandbox: true, Row: gossip.EndpointUp}
	out.Status = swarmnet.TaskStatus{State: swarmnet.TaskStarting, Message: "starting", PID: in.Workload.PID}
	// What was healthy when an earlier daemon looked stays so until a check says otherwise.
	trusted := in.Told == swarmnet.TaskRunning && in.Health == HealthUnknown
	ready := in.Workload.Phase == executor.Running && !in.Settling && (!in.Checked || in.Health == Healthy || trusted)
	if ready || in.Told == swarmnet.TaskRunning {
		out.Status.State, out.Status.Message = swarmnet.TaskRunning, "running"
	}
	if in.Checked && in.Health == HealthUnknown && in.HealthErr != nil && !ready {
		out.Status.Err = "not healthy yet: " + in.HealthErr.Error()
	}
	switch {
	case in.Desired >= swarmnet.DesireShutdown, in.Told.Terminal(), in.Health == Unhealthy:
		out.Row = gossip.EndpointDraining
		if !in.Workload.Stopping && !in.Leading && (in.Spread || !GivesUp(in)) {
			out.Action = Stop
		}
	case in.Desired == swarmnet.DesireDraining, in.Workload.Stopping:
		out.Row = gossip.EndpointDraining
	case ready:
		out.Row = gossip.EndpointReady
	}
	return out
}

// ending says how a workload ended.
func ending(in Input) swarmnet.TaskStatus {
	w := in.Workload
	s := swarmnet.TaskStatus{At: w.EndedAt, ExitCode: w.ExitCode}
	switch {
	case in.Health == Unhealthy && in.HealthErr != nil:
		s.State, s.Message, s.Err = swarmnet.TaskFailed, "unhealthy", "unhealthy: "+in.HealthErr.Error()
	case w.Phase == executor.Lost && in.Desired >= swarmnet.DesireShutdown:
		s.State, s.Message = swarmnet.TaskShutdown, "stopped"
	case w.Phase == executor.Lost:
		s.State, s.Message, s.Err = swarmnet.TaskFailed, "gone", w.Err
	case w.Stopping || in.Desired >= swarmnet.DesireShutdown:
		s.State, s.Message = swarmnet.TaskShutdown, "stopped"
	case w.StartedAt.IsZero() && w.Err != "":
		s.State, s.Message, s.Err = swarmnet.TaskRejected, "cannot be started", w.Err
	case w.Err != "":
		s.State, s.Message, s.Err = swarmnet.TaskFailed, "failed", w.Err
	case w.ExitCode == 0:
		s.State, s.Message = swarmnet.TaskComplete, "finished"
	default:
		s.State, s.Message, s.Err = swarmnet.TaskFailed, "failed", fmt.Sprintf("exit status %d", w.ExitCode)
	}
	return s
}
