package raftnode

import (
	"context"
	"fmt"
	"time"
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
		case <-timer.C:
		}
		var next time.Time
		n.keepUp()
		err := n.with(func(c *core) error {
			n.rest = c.restful()
			next = n.beat.Add(time.Duration(n.rest) * n.cfg.TickInterval)
			return nil
		})
		if err != nil {
			return err
		}
		timer.Reset(time.Until(next))
		// A removed node goes on for a moment: it acknowledges its removal.
		if n.isRemoved() {
			if left--; left == 0 {
				return fmt.Errorf("raftnode: %w", ErrRemoved)
			}
		}
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

// restful is how many ticks may pass before anything can be due: as many as there are between two heartbeats, while a leader sends them, or has lately
// been heard of, and nobody waits for an answer.
func (c *core) restful() int {
	heard, known := c.heard[c.lead]
	calm := c.leading || known && c.ticks-heard+uint64(c.cfg.HeartbeatTicks) < uint64(c.cfg.ElectionTicks)
	if !calm || c.removed || c.proposals.wait() || c.reads.wait() {
		return 1
	}
	return c.cfg.HeartbeatTicks
}

func (p *proposals) wait() bool { return len(p.pending)+len(p.unsent) > 0 }

func (r *reads) wait() bool { return len(r.waiting)+len(r.asked)+len(r.applies) > 0 }
