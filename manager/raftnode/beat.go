package raftnode

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// tickLoop lets the intervals pass, as many at once as nothing can be due in: to wake ten times a second is most of what an idle manager does. Whatever
// comes in between is met by a core that all intervals have passed for (look).
func (n *Node) tickLoop(ctx context.Context) error {
	n.mu.Lock()
	n.beat, n.rest = time.Now(), 1
	n.mu.Unlock()
	timer := time.NewTimer(n.cfg.TickInterval)
	defer timer.Stop()
	for left := 3; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.hurry:
			timer.Reset(time.Until(n.nextTick()))
			continue
		case <-timer.C:
		}
		n.keepUp()
		if err := n.with(func(c *core) error { n.rest = c.restful(); return nil }); err != nil {
			return err
		}
		timer.Reset(time.Until(n.nextTick()))
		// A removed node goes on for a moment: it acknowledges its removal.
		if n.isRemoved() {
			if left--; left == 0 {
				return fmt.Errorf("raftnode: %w", ErrRemoved)
			}
		}
	}
}

// nextTick is when tickLoop is to wake.
func (n *Node) nextTick() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.beat.Add(time.Duration(n.rest) * n.cfg.TickInterval)
}

// wakeSooner has tickLoop wake sooner than it meant to if the core has less rest now. The caller holds mu.
func (n *Node) wakeSooner() {
	rest := n.core.restful()
	if rest >= n.rest {
		return
	}
	n.rest = rest
	select {
	case n.hurry <- struct{}{}:
	default:
	}
}

// keepUp sees to what is looked at now and then.
func (n *Node) keepUp() {
	if n.storage.wants() {
		n.applies.push(applyJob{snapshot: true})
	}
	if n.fullDisk() {
		n.appends.push(appendJob{reserve: true})
	}
}

// catchUp lets the intervals pass that are over. A process that was held up does not make up for more than it meant to sleep through: what it was sent
// meanwhile waits to be read. The caller holds mu.
func (n *Node) catchUp() {
	if n.beat.IsZero() { // nobody runs the node: tests pass the time themselves
		return
	}
	due := int(time.Since(n.beat) / n.cfg.TickInterval)
	if late := due - n.rest; late > 0 {
		n.beat, due = n.beat.Add(time.Duration(late)*n.cfg.TickInterval), n.rest
	}
	for range due {
		n.beat = n.beat.Add(n.cfg.TickInterval)
		n.core.tick()
	}
}

// restful is how many ticks may pass before anything can be due, while nobody waits for an answer: for a leader as many as there are between two
// heartbeats, for who follows one as many as it is sure not to campaign in, whether it hears of the leader meanwhile or not.
func (c *core) restful() int {
	switch {
	case c.removed || c.proposals.wait() || c.reads.wait():
		return 1
	case c.leading:
		return c.cfg.HeartbeatTicks
	case c.lead == 0:
		return 1
	}
	return max(1, c.cfg.ElectionTicks-1-int(min(c.ticks-c.led, uint64(c.cfg.ElectionTicks))))
}

// ledBy notes a message by which who leads keeps the others from campaigning.
func (c *core) ledBy(m *pb.Message) {
	switch m.GetType() {
	case pb.MsgApp, pb.MsgHeartbeat, pb.MsgSnap:
		if m.GetTerm() >= c.term {
			c.led = c.ticks
		}
	}
}

func (p *proposals) wait() bool { return len(p.pending)+len(p.unsent) > 0 }

func (r *reads) wait() bool { return len(r.waiting)+len(r.asked)+len(r.applies) > 0 }
