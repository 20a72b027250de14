package agent

import (
	"context"
	"errors"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/task"
)

var (
	errDropped   = errors.New("nothing is left")
	errOwnerDown = errors.New("the sandbox whose network stack it shares has stopped: start that first")
)

// step decides once and does what was decided. again says that there is more to do at once.
func (r *runner) step(ctx context.Context) (again bool, err error) {
	r.mu.Lock()
	want, told, env, have, fabric, dropped, checked, change := r.want, r.told, r.env, r.have, r.fabric, r.dropped, r.health, r.changes
	r.mu.Unlock()
	switch {
	case dropped:
		return r.takeAway(ctx, want)
	case !have:
		return false, nil // what is wanted is about to be said
	}
	in := task.Input{
		Desired: want.Desired, Told: want.Status.State, Workload: r.workload(want),
		Starts: r.starts, StartErr: r.startErr,
		Checked: want.Spec.Health != nil, Health: checked.verdict, HealthErr: checked.err,
	}
	in.Settling = r.settling(want, in.Workload)
	in.Spread = r.spread(want, in)
	in.Leading = r.leading(want, told, in.Workload)
	if r.net != nil {
		in.Network, in.NetworkFor, in.NetworkErr = r.net.state()
		in.Network = in.Network && !want.Stack.Awaits
		in.NetworkRefused = refusal(in.NetworkErr) != nil
	}
	if !want.Stack.Own() {
		in.Network = want.Ready
		if want.Stack.OwnerDown {
			in.NetworkErr, in.NetworkFor = errOwnerDown, task.RejectAfter
		}
	}
	out := task.Decide(in)
	if err := r.report(want, out.Status); err != nil {
		return false, err
	}
	if (out.Sandbox || want.Stack.Lent) && want.Stack.Own() {
		if want.Ready && fabric {
			r.keepNetwork(ctx, want, change)
		}
	} else {
		r.handOver(change, nil) // there is no sandbox to balance in
	}
	r.attach(want, in.Workload)
	r.publish(want, out.Row)
	r.check(ctx, want, in.Workload, out)
	switch out.Action {
	case task.Start:
		return true, r.start(ctx, want, env)
	case task.Stop:
		return false, r.stop(want)
	case task.Release:
		switch {
		case want.Standalone() && !want.Status.State.Terminal() && !want.Stack.Lent:
			return false, nil // whether it goes on, in another run or for others who use its stack, is about to be said
		case want.Stack.Lent:
			r.endChecks()
			return false, nil
		}
		return false, r.release(ctx, want)
	}
	return false, nil
}

// workload is what is observed of the workload. That an earlier run of a sandbox has ended says nothing of the one that is wanted.
func (r *runner) workload(want desired.Task) executor.Status {
	w := r.a.parts.executor.Status(r.id)
	if !want.Standalone() {
		return w
	}
	if r.sandboxRun != want.SpecVersion {
		r.sandboxRun, r.starts, r.startErr, r.reported, r.released = want.SpecVersion, 0, nil, swarmnet.TaskStatus{}, false
		r.judge(health{})
	}
	if w.Phase >= executor.Ended && w.Run != want.SpecVersion {
		return executor.Status{ID: r.id}
	}
	return w
}

func (r *runner) start(ctx context.Context, want desired.Task, env []string) error {
	release, err := slot(ctx, r.a.starts)
	if err != nil {
		return err
	}
	defer release()
	r.detach() // a stack that others went on using has sockets of ours where the new holder wants its own
	spec := executor.Spec{ID: r.id, Command: want.Spec.Command, Env: env, Dir: want.Spec.Dir, User: want.Spec.User, Stdin: want.Spec.Stdin, TTY: want.Spec.TTY}
	if want.Standalone() {
		spec.Run = want.SpecVersion
	}
	like := want
	if want.Stack.Mode == swarmnet.ModeShared {
		like = r.a.wanted(want.Stack.Owner)
	}
	spec.ResolvConf, spec.Hosts = r.a.parts.resolver.Files(like)
	spec.Hostname = hostname(like.Task)
	switch {
	case want.Stack.Own():
		spec.NetnsPath, spec.DNS = r.a.parts.sandboxes.Path(want.Sandbox.Name), dnsAddr
	case want.Stack.Mode == swarmnet.ModeShared:
		spec.NetnsPath = r.a.parts.sandboxes.Path(want.Sandbox.Name)
	case want.Spec.Hostname == "":
		spec.Hostname = r.a.cfg.Hostname
	}
	err = r.a.parts.executor.Start(ctx, spec)
	if st := r.a.parts.executor.Status(r.id); st.Phase != executor.Absent && st.Run == spec.Run || ctx.Err() != nil {
		return nil // what became of it is in its status
	}
	r.starts, r.startErr = r.starts+1, err
	return err
}

// stop is called once no node sends the workload new connections any more: when the managers want it stopped, they have waited until every
// node had acknowledged that; when the node itself does, gossip has had its time to tell.
func (r *runner) stop(want desired.Task) error {
	grace := want.Spec.StopGracePeriod
	if grace == 0 {
		grace = defaultGrace
	}
	return r.a.parts.executor.Stop(r.id, want.Spec.StopSignal, grace)
}
