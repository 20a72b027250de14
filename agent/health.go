package agent

import (
	"context"
	"net/netip"
	"time"

	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/task"

	"github.com/swarmnet/swarmnet"
)

// health is what the checks of a task have found.
type health struct {
	verdict task.Health
	err     error // of the last one that failed
}

// check sees to it that the health checks go on while, and only while, the workload runs and should.
func (r *runner) check(ctx context.Context, want desired.Task, w executor.Status, out task.Output) {
	run := want.Spec.Health != nil && w.Phase == executor.Running && out.Action != task.Stop && !w.Stopping
	switch {
	case run && r.checks == nil:
		ctx, r.checks = context.WithCancel(ctx)
		go r.checkUntil(ctx, withDefaults(*want.Spec.Health), probeOf(want), w.StartedAt)
	case !run && r.checks != nil:
		r.checks()
		r.checks = nil
	}
}

func withDefaults(h swarmnet.HealthCheck) swarmnet.HealthCheck {
	if h.Interval == 0 {
		h.Interval = 5 * time.Second
	}
	if h.Timeout == 0 {
		h.Timeout = 3 * time.Second
	}
	if h.Retries == 0 {
		h.Retries = 3
	}
	return h
}

// probeOf says how a task is checked: a TCP check goes to its address on the network of its default route, as its clients do.
func probeOf(t desired.Task) executor.Probe {
	h := withDefaults(*t.Spec.Health)
	p := executor.Probe{Command: h.Command, Timeout: h.Timeout}
	if h.TCPPort == 0 {
		return p
	}
	addr := netip.MustParseAddr("127.0.0.1")
	for _, ep := range t.Endpoints {
		if len(ep.Addrs) > 0 && (ep.DefaultRoute || addr.IsLoopback()) {
			addr = ep.Addrs[0].Addr()
		}
	}
	p.Command, p.Addr = nil, netip.AddrPortFrom(addr, h.TCPPort)
	return p
}

// checkUntil checks until ctx ends. Before the first success it looks often, so that a task is ready as soon as it can be.
func (r *runner) checkUntil(ctx context.Context, h swarmnet.HealthCheck, p executor.Probe, started time.Time) {
	failures, wait := uint32(0), time.Duration(0)
	healthy := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := r.a.parts.executor.Probe(ctx, r.id, p)
		if ctx.Err() != nil {
			return
		}
		wait = h.Interval
		switch {
		case err == nil:
			failures, healthy = 0, true
			r.judge(health{verdict: task.Healthy})
			continue
		case !healthy && time.Since(started) < max(h.StartPeriod, h.Interval):
			wait = min(h.Interval, 100*time.Millisecond)
			continue
		}
		if failures++; failures >= h.Retries {
			r.judge(health{verdict: task.Unhealthy, err: err})
			return
		}
	}
}

func (r *runner) judge(h health) {
	r.mu.Lock()
	news := r.health != h
	r.health = h
	r.mu.Unlock()
	if news {
		r.poke()
	}
}
