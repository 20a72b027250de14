package agent

import (
	"context"

	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/gossip"
)

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
