package raftnode

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// MaxProposal is the size of a proposal in bytes at most: one fits into a message of gRPC.
const MaxProposal = 3 << 20

// Propose has data committed and returns what the state machine of this node made of it. Any member takes proposals, many
// at a time. While there is no leader, or when one is lost, it is proposed again with the same id until ctx ends. When ctx
// ends first, the proposal may still be committed later; the error is then ctx's, and ErrNoQuorum too when no leader is known.
func (n *Node) Propose(ctx context.Context, data []byte) (any, error) {
	if len(data) > MaxProposal {
		return nil, fmt.Errorf("raftnode: propose: %w: %d bytes of at most %d", ErrTooLarge, len(data), MaxProposal)
	}
	p := newProposal(data)
	if err := n.submit(p); err != nil {
		return nil, err
	}
	return n.await(ctx, p, "propose")
}

// submit hands a proposal to the core, if it may come.
func (n *Node) submit(p *proposal) error {
	return n.with(func(c *core) error {
		switch {
		case c.removed:
			return fmt.Errorf("raftnode: propose: %w", ErrRemoved)
		case c.full:
			return fmt.Errorf("raftnode: propose: %w", ErrDiskFull)
		case len(c.proposals.pending) > 0 && c.proposals.bytes+int64(len(p.data)) > c.cfg.MaxInflightBytes:
			return fmt.Errorf("raftnode: propose: %w", ErrOverloaded)
		}
		c.proposals.add(p)
		return nil
	})
}

// await waits for the answer to a proposal.
func (n *Node) await(ctx context.Context, p *proposal, verb string) (any, error) {
	select {
	case r := <-p.done:
		if r.err != nil {
			return nil, fmt.Errorf("raftnode: %s: %w", verb, r.err)
		}
		return r.value, nil
	case <-ctx.Done():
	}
	_ = n.with(func(c *core) error { c.proposals.drop(p); return nil })
	return nil, n.gaveUp(ctx, verb)
}

// gaveUp says why an answer did not come in time.
func (n *Node) gaveUp(ctx context.Context, verb string) error {
	n.mu.Lock()
	lead := n.core.lead
	n.mu.Unlock()
	if lead == 0 {
		return fmt.Errorf("raftnode: %s: %w: %w", verb, ErrNoQuorum, ctx.Err())
	}
	return fmt.Errorf("raftnode: %s: no answer from the group: %w", verb, ctx.Err())
}

// Linearize returns when the state of this node is at least as new as the group's was at the time of the call.
func (n *Node) Linearize(ctx context.Context) error {
	var done chan error
	if err := n.with(func(c *core) error { done = c.reads.add(); return nil }); err != nil {
		return fmt.Errorf("raftnode: linearize: %w", err)
	}
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("raftnode: linearize: %w", err)
		}
		return nil
	case <-ctx.Done():
		return n.gaveUp(ctx, "linearize")
	}
}

// AddLearner makes a node a member without a vote. The leader makes it a voter when it has caught up.
func (n *Node) AddLearner(ctx context.Context, p Peer) error {
	return n.change(ctx, pb.ConfChangeAddLearnerNode, p, "add a learner")
}

// Promote makes a learner a voter.
func (n *Node) Promote(ctx context.Context, id uint64) error {
	return n.change(ctx, pb.ConfChangeAddNode, Peer{ID: id}, "promote")
}

// Update changes a member's address.
func (n *Node) Update(ctx context.Context, p Peer) error {
	return n.change(ctx, pb.ConfChangeUpdateNode, p, "update a member")
}

// Remove ends a membership; removing who is no member succeeds. A leader that removes itself hands over first.
func (n *Node) Remove(ctx context.Context, id uint64) error {
	if st := n.Status(); st.IsLeader && id == st.ID {
		for _, m := range st.Members {
			if m.Voter && m.Active && m.ID != id {
				if err := n.TransferLeadership(ctx, m.ID); err != nil {
					return err
				}
				break
			}
		}
	}
	return n.change(ctx, pb.ConfChangeRemoveNode, Peer{ID: id}, "remove a member")
}

// change proposes a change of members and waits until it is made here.
func (n *Node) change(ctx context.Context, typ pb.ConfChangeType, p Peer, verb string) error {
	if p.ID == 0 {
		return fmt.Errorf("raftnode: %s: %w: no number was given", verb, ErrChange)
	}
	prop, err := newChange(typ, p)
	if err != nil {
		return fmt.Errorf("raftnode: %s: %w", verb, err)
	}
	if err := n.submit(prop); err != nil {
		return err
	}
	_, err = n.await(ctx, prop, verb)
	return err
}

// TransferLeadership returns when the member leads.
func (n *Node) TransferLeadership(ctx context.Context, id uint64) error {
	again := time.NewTicker(n.cfg.TickInterval * time.Duration(n.cfg.ElectionTicks))
	defer again.Stop()
	for {
		var lead uint64
		var moved chan struct{}
		err := n.with(func(c *core) error {
			c.follow()
			lead, moved = c.lead, n.moved
			if m := c.members.byID[id]; !m.voter {
				return fmt.Errorf("%w: %x has no vote", ErrChange, id)
			}
			if lead != id && lead != 0 {
				c.raw.TransferLeader(id)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("raftnode: transfer leadership: %w", err)
		}
		if lead == id {
			return nil
		}
		select {
		case <-ctx.Done():
			return n.gaveUp(ctx, "transfer leadership")
		case <-moved:
		case <-again.C:
		}
	}
}
