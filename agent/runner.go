package agent

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
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
