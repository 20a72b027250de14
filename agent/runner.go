package agent

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/task"
	"github.com/swarmnet/swarmnet/gossip"
)

const (
	defaultGrace = 10 * time.Second
	retryAfter   = 200 * time.Millisecond // doubling, after a step of a runner failed
	retryMost    = 5 * time.Second
)

// runner carries out task.Decide for one task, in one goroutine.
type runner struct {
	a    *Agent
	id   swarmnet.TaskID
	wake chan struct{}
	// stale says that what the sandbox hangs on has changed.
	stale atomic.Bool

	mu      sync.Mutex // of what others set
	want    desired.Task
	env     []string
	have    bool // want means something
	fabric  bool // the fabric has the task's networks
	dropped bool
	health  health

	// What follows is the goroutine's own.
	net      *network
	rows     map[swarmnet.EndpointID]row // published
	reported swarmnet.TaskStatus
	attached bool // the resolver has the sandbox's sockets
	released bool
	checks   context.CancelFunc // ends the health checks; nil: none go on
	starts   int
	startErr error
	failures int // of steps, in a row
}

type row struct {
	network swarmnet.NetworkID
	state   gossip.EndpointState
}

func newRunner(a *Agent, id swarmnet.TaskID) *runner {
	return &runner{a: a, id: id, wake: make(chan struct{}, 1), rows: map[swarmnet.EndpointID]row{}}
}

// update says what the managers want of the task.
func (r *runner) update(t desired.Task, fabric bool, env []string) {
	r.mu.Lock()
	r.want, r.fabric, r.env, r.have, r.dropped = t, fabric, env, true, false
	r.mu.Unlock()
	r.poke()
}

// drop says that nobody wants anything of the task to be left.
func (r *runner) drop() {
	r.mu.Lock()
	r.dropped = true
	r.mu.Unlock()
	r.poke()
}

// refresh has the sandbox looked at again, now.
func (r *runner) refresh() {
	r.stale.Store(true)
	r.poke()
}

func (r *runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run goes on until ctx ends (false; nothing is touched) or nothing of the task is left (true).
func (r *runner) run(ctx context.Context) bool {
	defer r.letGo()
	for {
		again, err := r.step(ctx)
		if errors.Is(err, errDropped) {
			return true
		}
		var timer <-chan time.Time
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			r.failures++
			r.a.cfg.Logger.Warn("task: trying again", "task", swarmnet.ShortID(r.id), "err", err)
			timer = time.After(min(retryMost, retryAfter<<min(r.failures-1, 8)))
		case again:
			r.failures = 0
			continue
		default:
			r.failures = 0
		}
		select {
		case <-ctx.Done():
			return false
		case <-r.wake:
		case <-timer:
		}
	}
}

var errDropped = errors.New("nothing is left")

// step decides once and does what was decided. again says that there is more to do at once.
func (r *runner) step(ctx context.Context) (again bool, err error) {
	r.mu.Lock()
	want, env, have, fabric, dropped, checked := r.want, r.env, r.have, r.fabric, r.dropped, r.health
	r.mu.Unlock()
	switch {
	case dropped:
		return r.takeAway(ctx, want)
	case !have:
		return false, nil // what is wanted is about to be said
	}
	in := task.Input{
		Desired: want.Desired, Told: want.Status.State, Workload: r.a.parts.executor.Status(r.id),
		Starts: r.starts, StartErr: r.startErr,
		Checked: want.Spec.Health != nil, Health: checked.verdict, HealthErr: checked.err,
	}
	in.Settling = r.settling(want, in.Workload)
	if r.net != nil {
		in.Network, in.NetworkFor, in.NetworkErr = r.net.state()
	}
	out := task.Decide(in)
	r.report(want, out.Status)
	if out.Sandbox && want.Ready && fabric {
		r.keepNetwork(ctx, want)
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
		return false, r.release(ctx, want)
	}
	return false, nil
}

// report tells the managers what they do not know yet.
func (r *runner) report(want desired.Task, st swarmnet.TaskStatus) {
	was := r.reported
	same := st.State == was.State && st.Err == was.Err && st.Message == was.Message
	if same || st.State < want.Status.State || st.State == want.Status.State && was == (swarmnet.TaskStatus{}) {
		return
	}
	r.reported = st
	if st.At.IsZero() {
		st.At = time.Now()
	}
	r.a.session.Report(r.id, st)
}

// publish has gossip say of every endpoint what it should; EndpointUnknown withdraws.
func (r *runner) publish(want desired.Task, state gossip.EndpointState) {
	if state == gossip.EndpointUnknown {
		for ep, was := range r.rows {
			r.a.parts.gossip.DeleteEndpoint(was.network, ep)
			delete(r.rows, ep)
		}
		return
	}
	for _, ep := range want.Endpoints {
		if is := (row{ep.Network, state}); r.rows[ep.ID] != is {
			r.rows[ep.ID] = is
			r.a.parts.gossip.SetEndpoint(ep.Network, ep.ID, state)
		}
	}
}

func (r *runner) keepNetwork(ctx context.Context, want desired.Task) {
	if r.net == nil {
		r.net = newNetwork(ctx, r.a, r.id, r.poke)
	}
	if r.stale.Swap(false) {
		r.net.refresh()
	}
	r.net.loop.Set(netWant{want.Sandbox, want.VIPs})
}

// attach gives the resolver the sockets that the workload's holder has open.
func (r *runner) attach(want desired.Task, w executor.Status) {
	if r.attached || w.Phase != executor.Starting && w.Phase != executor.Running {
		return
	}
	socks, err := r.a.parts.executor.Sockets(r.id)
	if err == nil {
		err = r.a.parts.resolver.Attach(want, socks)
	}
	if err != nil {
		r.a.cfg.Logger.Warn("the resolver does not serve a task", "task", swarmnet.ShortID(r.id), "err", err)
	}
	r.attached = true
}

func (r *runner) start(ctx context.Context, want desired.Task, env []string) error {
	release, err := slot(ctx, r.a.starts)
	if err != nil {
		return err
	}
	defer release()
	resolvConf, hosts := r.a.parts.resolver.Files(want)
	err = r.a.parts.executor.Start(ctx, executor.Spec{
		ID: r.id, NetnsPath: r.a.parts.sandboxes.Path(want.Sandbox.Name),
		Command: want.Spec.Command, Env: env, Dir: want.Spec.Dir, Hostname: hostname(want.Task),
		ResolvConf: resolvConf, Hosts: hosts, DNS: dnsAddr,
	})
	if r.a.parts.executor.Status(r.id).Phase != executor.Absent || ctx.Err() != nil {
		return nil // // what became of it is in its status
	}
	r.starts, r.startErr = r.starts+1, err
	return err
}

// stop is called once gossip has been told that the endpoints drain. (Waiting until every node has heard belongs here.)
func (r *runner) stop(want desired.Task) error {
	grace := want.Spec.StopGracePeriod
	if grace == 0 {
		grace = defaultGrace
	}
	return r.a.parts.executor.Stop(r.id, want.Spec.StopSignal, grace)
}

// release takes away everything of an ended task but its record and output.
func (r *runner) release(ctx context.Context, want desired.Task) error {
	if r.released {
		return nil
	}
	r.detach()
	r.publish(want, gossip.EndpointUnknown)
	r.net.stop()
	r.net = nil
	if err := r.a.parts.sandboxes.Delete(ctx, string(r.id)); err != nil {
		return err
	}
	r.released = true
	return nil
}

// takeAway leaves nothing.
func (r *runner) takeAway(ctx context.Context, want desired.Task) (bool, error) {
	r.publish(want, gossip.EndpointUnknown)
	if err := r.a.parts.executor.Remove(ctx, r.id); err != nil {
		return false, err
	}
	r.released = false
	if err := r.release(ctx, want); err != nil {
		return false, err
	}
	return false, errDropped
}

func (r *runner) detach() {
	if r.checks != nil {
		r.checks()
		r.checks = nil
	}
	if r.attached {
		r.a.parts.resolver.Detach(r.id)
		r.attached = false
	}
}

// letGo ends what the runner started, and leaves the task alone.
func (r *runner) letGo() {
	if r.checks != nil {
		r.checks()
	}
	r.net.stop()
}
