package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/overlay"
)

// life is that of one daemon: it can end before or after any change that its agent makes, and from then on the agent changes nothing.
type life struct {
	left atomic.Int64 // moments until it ends; negative: it does not
	dead atomic.Bool
	end  context.CancelFunc
}

var errDead = errors.New("the daemon is dead")

// moment is one at which the daemon may end.
func (l *life) moment() error {
	if l.left.Load() >= 0 && l.left.Add(-1) < 0 {
		l.dead.Store(true)
		l.end()
	}
	if l.dead.Load() {
		return errDead
	}
	return nil
}

func (l *life) change(f func() error) error {
	if err := l.moment(); err != nil {
		return err
	}
	err := f()
	if dead := l.moment(); dead != nil {
		return dead
	}
	return err
}

// mortal has parts work only as long as a life lasts.
func mortal(p parts, l *life) parts {
	p.fabric, p.balancer = mortalFabric{p.fabric, l}, mortalBalancer{p.balancer, l}
	p.sandboxes, p.executor = mortalSandboxes{p.sandboxes, l}, mortalExecutor{p.executor, l}
	return p
}

type mortalFabric struct {
	fabric
	l *life
}

func (m mortalFabric) Reconcile(ctx context.Context, d overlay.Desired) (remade bool, err error) {
	err = m.l.change(func() (err error) { remade, err = m.fabric.Reconcile(ctx, d); return err })
	return remade, err
}

type mortalBalancer struct {
	balancer
	l *life
}

func (m mortalBalancer) Mesh(ctx context.Context, d ingress.Mesh) error {
	return m.l.change(func() error { return m.balancer.Mesh(ctx, d) })
}

type mortalSandboxes struct {
	sandboxes
	l *life
}

func (m mortalSandboxes) Ensure(ctx context.Context, s desired.Sandbox) (given map[swarmnet.NetworkID]driver.Given, err error) {
	err = m.l.change(func() (err error) {
		given, err = m.sandboxes.Ensure(ctx, s)
		return err
	})
	return given, err
}

func (m mortalSandboxes) Delete(ctx context.Context, name string) error {
	return m.l.change(func() error { return m.sandboxes.Delete(ctx, name) })
}

type mortalExecutor struct {
	executor.Executor
	l *life
}

func (m mortalExecutor) Start(ctx context.Context, s executor.Spec) error {
	return m.l.change(func() error { return m.Executor.Start(ctx, s) })
}

func (m mortalExecutor) Stop(id swarmnet.TaskID, signal string, grace time.Duration) error {
	return m.l.change(func() error { return m.Executor.Stop(id, signal, grace) })
}

func (m mortalExecutor) Remove(ctx context.Context, id swarmnet.TaskID) error {
	return m.l.change(func() error { return m.Executor.Remove(ctx, id) })
}

func (m mortalExecutor) Close() {
	if c, ok := m.Executor.(interface{ Close() }); ok {
		c.Close()
	}
}
