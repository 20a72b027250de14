package dispatcher

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// Agents acknowledge the sets that they have in force. A node is sent a set only when something has changed for it, so the acknowledgement of
// the last one stands for every revision since then, too. What the planners wait for (a task out of all balancers, a new one in all of them) is
// a revision, so one number a node answers for all tasks: the cost is one small command a node for a burst of changes, however many tasks
// they are about. Nothing is written where nothing waits.

// acknowledge notes how far the node is, if somebody may be waiting for that.
func (ss *session) acknowledge() {
	if ack, waited := ss.feed.Acknowledge(ss.view()); waited {
		ss.server.acks.add(ack)
	}
}

// acks gathers the acknowledgements of all sessions and proposes them, all that have come meanwhile as one batch.
type acks struct {
	backend Backend
	gather  time.Duration
	wake    chan struct{}

	mu      sync.Mutex
	pending map[swarmnet.NodeID]state.Acknowledge
}

func newAcks(cfg Config) *acks {
	return &acks{backend: cfg.Backend, gather: cfg.Coalesce, wake: make(chan struct{}, 1), pending: map[swarmnet.NodeID]state.Acknowledge{}}
}

func (a *acks) add(c state.Acknowledge) {
	a.mu.Lock()
	if was, ok := a.pending[c.Node]; !ok || was.Epoch != c.Epoch || was.Revision < c.Revision {
		a.pending[c.Node] = c
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *acks) take() []state.Command {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []state.Command
	for _, c := range a.pending {
		out = append(out, c)
	}
	clear(a.pending)
	slices.SortFunc(out, func(x, y state.Command) int {
		return cmp.Compare(x.(state.Acknowledge).Node, y.(state.Acknowledge).Node)
	})
	return out
}

// run proposes until ctx ends. What cannot be proposed now is proposed again, unless its node has said more by then.
func (a *acks) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		wait(ctx, a.gather)
		cmds := a.take()
		if len(cmds) == 0 {
			continue
		}
		if a.propose(ctx, cmds) != nil {
			wait(ctx, 200*time.Millisecond)
			for _, c := range cmds {
				a.again(c.(state.Acknowledge))
			}
		}
	}
}

// again adds what could not be proposed, unless there is something newer.
func (a *acks) again(c state.Acknowledge) {
	a.mu.Lock()
	_, newer := a.pending[c.Node]
	a.mu.Unlock()
	if !newer {
		a.add(c)
	}
}

func (a *acks) propose(ctx context.Context, cmds []state.Command) error {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	_, err := a.backend.Propose(ctx, "dispatcher", cmds...)
	return err
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
