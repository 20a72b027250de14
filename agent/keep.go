package agent

import (
	"context"
	"errors"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/driver"
)

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
