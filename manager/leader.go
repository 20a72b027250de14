package manager

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/swarmnet/swarmnet/manager/planner"
	"github.com/swarmnet/swarmnet/manager/raftnode"
	"github.com/swarmnet/swarmnet/manager/state"
)

const (
	// planRetry is the pause after a plan that could not be proposed.
	planRetry = 500 * time.Millisecond
	// planBatch bounds the commands of one entry of the log: a spec has 128 KiB at most, a message of the group 16 MiB.
	planBatch = 100
)

// followLeadership runs one term after the other: what a leader does ends with its leadership, before the next begins.
func (m *Manager) followLeadership(ctx context.Context, node *raftnode.Node) error {
	end := func() error { return nil }
	defer func() { end() }()
	for {
		select {
		case <-ctx.Done():
			return end()
		case change := <-node.Leadership():
			if err := end(); err != nil {
				return err
			}
			end = func() error { return nil }
			if change.IsLeader {
				end = m.beginTerm(ctx, change.Term)
			}
		}
	}
}

// beginTerm starts what a leader does and returns what ends it.
func (m *Manager) beginTerm(ctx context.Context, term uint64) (end func() error) {
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	m.log.Info("this manager leads", "term", term)
	led := time.Now()
	g.Go(func() error { return m.plan(ctx, led) })
	g.Go(func() error { return m.watchMembers(ctx) })
	return func() error {
		cancel()
		err := g.Wait()
		m.log.Info("this manager leads no more", "term", term)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
}

// plan has the planners look at the state whenever it has changed or something has become due, and proposes what they
// want. A plan is made from what came of the one before. led is when the term began.
func (m *Manager) plan(ctx context.Context, led time.Time) error {
	for ctx.Err() == nil {
		changed := m.Changed()
		view, now := m.View(), time.Now()
		if _, ok := view.Cluster(); !ok {
			wait(ctx, changed, time.Second)
			continue
		}
		plan := planner.Run(view, now, led)
		if len(plan.Commands) > 0 {
			progress, err := m.proposePlan(ctx, plan.Commands)
			if err != nil && ctx.Err() == nil {
				m.log.Warn("a plan could not be proposed", "error", err)
			}
			if err == nil && progress {
				continue
			}
			// Nothing of it was accepted: the same plan again would fare the same until something changes.
			wait(ctx, changed, planRetry)
			continue
		}
		pause := time.Minute
		if !plan.Next.IsZero() {
			pause = max(time.Until(plan.Next), time.Millisecond)
		}
		wait(ctx, changed, pause)
	}
	return nil
}

// proposePlan reports whether something of the plan has changed the state.
func (m *Manager) proposePlan(ctx context.Context, cmds []state.Command) (progress bool, err error) {
	for len(cmds) > 0 {
		batch := cmds[:min(len(cmds), planBatch)]
		cmds = cmds[len(batch):]
		results, err := m.Propose(ctx, "planner", batch...)
		if err != nil {
			return progress, err
		}
		for i, r := range results {
			progress = progress || r.Changed
			if r.Err != nil {
				m.log.Warn("a planned command was rejected", "command", batch[i], "reason", r.Err)
			}
		}
	}
	return progress, nil
}

// wait returns when the channel is closed, the time has passed or ctx has ended.
func wait(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-t.C:
	}
}
