package agent

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/task"
	"github.com/swarmnet/swarmnet/driver"
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
	// settledAt is when the last pass over the sandbox began, if it changed nothing, else when it ended; in nanoseconds.
	settledAt atomic.Int64

	mu      sync.Mutex // of what others set
	want    desired.Task
	told    uint64 // the revision in which the managers said what is wanted now
	env     []string
	have    bool // want means something
	fabric  bool // the fabric has the task's networks
	dropped bool
	health  health
	inForce func() (bool, error) // whether the sandbox's network is as it was last wanted, or was refused by its driver
	changes uint64               // of what is wanted in the sandbox's network,
	handed  uint64               // and how many of them the network's loop has
	applied func() bool          // whether what the loop has is in force there; nil: nothing is kept
	keeper  *network             // net, for others to look at

	// What follows is the goroutine's own.
	net        *network
	rows       map[swarmnet.EndpointID]row // published
	reported   swarmnet.TaskStatus
	attached   bool // the resolver has the sandbox's sockets
	released   bool
	checks     context.CancelFunc // ends the health checks; nil: none go on
	starts     int
	startErr   error
	failures   int                  // of steps, in a row
	sandboxRun uint64               // of a sandbox, that what is above is about
	networks   []swarmnet.NetworkID // that the resolver knows the task on
	internal   bool
	draining   time.Time // when the node itself began to drain the task; zero: it does not
	leads      time.Time // when it was told to stop while its own balancers might lead to the task; zero: they do not
}

type row struct {
	network swarmnet.NetworkID
	state   gossip.EndpointState
}

func newRunner(a *Agent, id swarmnet.TaskID) *runner {
	return &runner{a: a, id: id, wake: make(chan struct{}, 1), rows: map[swarmnet.EndpointID]row{}}
}

// update says what the managers want of the task. Nothing new is looked at with look only.
func (r *runner) update(t desired.Task, revision uint64, fabric bool, env []string, look bool) {
	r.mu.Lock()
	same := r.have && !r.dropped && r.fabric == fabric && reflect.DeepEqual(r.want, t)
	if !reflect.DeepEqual(r.want.Sandbox, t.Sandbox) {
		r.inForce = nil
	}
	if !r.have || !reflect.DeepEqual(r.want.Sandbox, t.Sandbox) || !reflect.DeepEqual(r.want.VIPs, t.VIPs) {
		r.changes++
	}
	if !r.have || r.want.Desired != t.Desired || r.want.Status.State != t.Status.State {
		r.told = revision
	}
	r.want, r.fabric, r.env, r.have, r.dropped = t, fabric, env, true, false
	r.mu.Unlock()
	if look || !same {
		r.poke()
	}
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

// changed says that something changed in the sandbox; what came before the last pass settled, the pass did itself or saw.
func (r *runner) changed(at time.Time) {
	if at.UnixNano() > r.settledAt.Load() {
		r.refresh()
	}
}

// kept is what keeps the sandbox's network; nil: nothing does, and due says that it should. gone says that nobody wants the task any more.
func (r *runner) kept() (n *network, due, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keeper, r.have && r.want.Stack.Own() && r.want.Wanted(), r.dropped
}

// label is what the sandbox is called as a part of the node's network.
func (r *runner) label() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.have {
		return swarmnet.PartSandbox(swarmnet.ShortID(r.id))
	}
	name, ok := strings.CutSuffix(r.want.Name(), string(r.id))
	if ok { // a task's
		name += swarmnet.ShortID(r.id)
	}
	return swarmnet.PartSandbox(name)
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

// report tells the managers what they do not know yet.
func (r *runner) report(want desired.Task, st swarmnet.TaskStatus) error {
	was := r.reported
	same := st.State == was.State && st.Err == was.Err && st.Message == was.Message
	if same || st.State < want.Status.State || st.State == want.Status.State && was == (swarmnet.TaskStatus{}) {
		return nil
	}
	if st.At.IsZero() {
		st.At = time.Now()
	}
	if want.Standalone() {
		if err := r.a.reportOwn(r.id, want.SpecVersion, st); err != nil {
			return err
		}
	}
	if !r.a.standalone() { // of the node's own sandboxes those want to know that see their names
		r.a.session.Report(r.id, st)
	}
	r.reported = st
	return nil
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
	for i, ep := range want.Endpoints {
		if want.Ready && i < len(want.Sandbox.Interfaces) && want.Sandbox.Interfaces[i].VNI.Local() {
			continue // nobody else knows its network
		}
		if is := (row{ep.Network, state}); r.rows[ep.ID] != is {
			r.rows[ep.ID] = is
			r.a.parts.gossip.SetEndpoint(ep.Network, ep.ID, state)
		}
	}
}

// handOver notes that the network's loop has a change of what is wanted, and how to tell whether it is in force.
func (r *runner) handOver(change uint64, applied func() bool) {
	r.mu.Lock()
	news := r.handed != change
	r.handed, r.applied = change, applied
	r.mu.Unlock()
	if news {
		r.a.acknowledge()
	}
}

// balances reports whether the balancing in the sandbox, if there is any, is as it was last wanted.
func (r *runner) balances() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped || r.handed == r.changes && (r.applied == nil || r.applied())
}

func (r *runner) keepNetwork(ctx context.Context, want desired.Task, change uint64) {
	if r.net == nil {
		r.net = newNetwork(ctx, r.a, r.id, r.label(), &r.settledAt, r.poke)
	}
	if r.stale.Swap(false) {
		r.net.refresh()
	}
	loop := r.net.loop
	revision := loop.Set(netWant{want.Sandbox, want.VIPs})
	r.mu.Lock()
	r.keeper = r.net
	r.inForce = func() (bool, error) {
		st := loop.Status()
		return st.Applied >= revision, refusal(st.Err)
	}
	r.mu.Unlock()
	held := r.a.parts.executor.Status(r.id).Phase != executor.Absent
	r.handOver(change, func() bool {
		st := loop.Status() // nothing runs in a sandbox that was never made
		return st.Applied >= revision || st.Applied == 0 && st.Failures > 0 && !held
	})
}

// refusal is the part of an error that another attempt does not mend, or nil.
func refusal(err error) error {
	var r *driver.Refusal
	if errors.As(err, &r) {
		return r
	}
	return nil
}

// attach gives the resolver the sockets that the workload's holder has open.
func (r *runner) attach(want desired.Task, w executor.Status) {
	held := w.Phase == executor.Starting || w.Phase == executor.Running
	networks, internal := place(want)
	switch {
	case !want.Stack.Own() || !held && !want.Stack.Lent:
		return
	case !r.attached:
		socks, err := r.sockets(held)
		if err == nil {
			err = r.a.parts.resolver.Attach(want, socks)
		}
		if err != nil {
			r.a.cfg.Logger.Warn("the resolver does not serve a task", "task", swarmnet.ShortID(r.id), "err", err)
		}
	case want.Ready && (internal != r.internal || !slices.Equal(networks, r.networks)):
		r.a.parts.resolver.Reconfigure(want)
	case !want.Ready:
		return
	}
	r.attached, r.networks, r.internal = true, networks, internal
}

// sockets are the holder's; when that is gone and others use the sandbox, new ones.
func (r *runner) sockets(held bool) (*executor.Sockets, error) {
	if held {
		return r.a.parts.executor.Sockets(r.id)
	}
	return r.a.parts.sandboxes.Resolver(string(r.id))
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

// release takes away everything of an ended task but its record and output.
func (r *runner) release(ctx context.Context, want desired.Task) error {
	if r.released {
		return nil
	}
	r.detach()
	r.net.stop()
	r.net = nil
	r.mu.Lock()
	r.applied, r.keeper = nil, nil
	r.mu.Unlock()
	if want.Stack.Own() {
		if err := r.a.parts.sandboxes.Delete(ctx, string(r.id)); err != nil {
			return err
		}
		if err := r.a.detached(r.id); err != nil {
			return err
		}
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

func (r *runner) endChecks() {
	if r.checks != nil {
		r.checks()
		r.checks = nil
	}
}

func (r *runner) detach() {
	r.endChecks()
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
