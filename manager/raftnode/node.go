package raftnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"golang.org/x/sync/errgroup"

	"github.com/swarmnet/swarmnet/manager/raftnode/snap"
	"github.com/swarmnet/swarmnet/manager/raftnode/wal"
)

// Node is a member of the group. Its methods are safe for concurrent use.
//
// Three goroutines do the work, so that none waits for what it need not: one steps raft and hands messages to the
// transport, one writes the log, one feeds the state machine. Each has one method that does a round of its work
// (stepRaft, stepLog, stepApply, stepSnapshot); tests call them in the order that they like.
type Node struct {
	cfg  Config
	lock io.Closer

	mu         sync.Mutex // guards core, stopped, leadership, beat, rest
	core       *core
	stopped    error
	leadership LeaderChange
	changes    chan LeaderChange
	moved      chan struct{} // closed when leadership changes
	beat       time.Time     // when the last tick was, as the clock goes; zero: nobody runs the node
	rest       int           // how many ticks tickLoop sleeps for
	hurry      chan struct{} // rest has become less

	// The log's; only the goroutine that writes it touches wal.
	wal     *wal.Log
	storage *storage
	snaps   *snap.Store

	applying  sync.Mutex // guards the state machine, and the order of what it is given
	appends   *queue[appendJob]
	applies   *queue[applyJob]
	images    *queue[imageJob]
	work      chan struct{} // raft may have something to do
	imaging   bool          // a snapshot is being written; guarded by applying
	receiving sync.Mutex    // one snapshot at a time comes in
}

// Run takes part in the group until ctx ends (then it returns nil), the node is removed from the group (ErrRemoved), or
// something fails that a node must not survive. It can't be run again.
func (n *Node) Run(ctx context.Context) error {
	defer n.close()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.cfg.Transport.Run(gctx, n) })
	g.Go(func() error { return n.tickLoop(gctx) })
	g.Go(func() error { return loop(gctx, n.work, n.stepRaft) })
	g.Go(func() error { return loop(gctx, n.appends.wake, n.stepLog) })
	g.Go(func() error { return loop(gctx, n.applies.wake, n.stepApply) })
	g.Go(func() error { return loop(gctx, n.images.wake, n.stepSnapshot) })
	// Who waits must not wait for the others to end.
	g.Go(func() error {
		<-gctx.Done()
		n.stop(ErrStopped)
		return nil
	})
	n.poke()
	err := g.Wait()
	if err == nil || ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, ErrStopped)) {
		return nil
	}
	n.cfg.Logger.Error("raft node stopped", "err", err)
	return err
}

// loop does rounds of work when woken, until there is nothing left.
func loop(ctx context.Context, wake <-chan struct{}, step func() (bool, error)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = step(); err != nil {
				return err
			}
		}
	}
}

// with changes the core, and wakes the goroutine that sees what came of it.
func (n *Node) with(f func(*core) error) error {
	defer n.poke()
	return n.look(f)
}

// look is with, for what gives raft nothing to do. raft panics when it meets what must not be: that ends the node, not the
// process.
func (n *Node) look(f func(*core) error) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped != nil {
		return n.stopped
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("raftnode: raft: %v", r)
			n.end(err)
			return
		}
		n.announce()
		n.wakeSooner()
	}()
	n.catchUp()
	return f(n.core)
}

// poke wakes the goroutine that steps raft.
func (n *Node) poke() {
	select {
	case n.work <- struct{}{}:
	default:
	}
}

// stepRaft does one round: what raft wants written and applied is queued, its messages are handed to the transport.
func (n *Node) stepRaft() (bool, error) {
	var out output
	type parcel struct {
		to   Peer
		msgs []*pb.Message
	}
	var parcels []parcel
	err := n.look(func(c *core) error {
		out = c.ready()
		for _, m := range out.msgs {
			if len(parcels) > 0 && parcels[len(parcels)-1].to.ID == m.GetTo() {
				p := &parcels[len(parcels)-1]
				p.msgs = append(p.msgs, m)
			} else if to, ok := c.peer(m.GetTo()); ok {
				parcels = append(parcels, parcel{to, []*pb.Message{m}})
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, m := range out.appends {
		n.appends.push(appendJob{msg: m})
	}
	for _, m := range out.applies {
		n.applies.push(applyJob{msg: m})
	}
	for _, p := range parcels {
		n.send(p.to, p.msgs)
	}
	return !out.empty(), nil
}

func (n *Node) send(to Peer, msgs []*pb.Message) {
	rest := msgs[:0:0]
	for _, m := range msgs {
		if m.GetType() == pb.MsgSnap {
			n.sendSnapshot(to, m)
			continue
		}
		rest = append(rest, m)
	}
	if len(rest) > 0 {
		n.cfg.Transport.Send(to, rest)
	}
}

// Step takes a message from another member.
func (n *Node) Step(m *pb.Message) error {
	if m.GetType() == pb.MsgSnap {
		return fmt.Errorf("%w: a snapshot comes with its image", errMessage)
	}
	return n.with(func(c *core) error { return c.step(m) })
}

// Learn tells where a member answers.
func (n *Node) Learn(p Peer) {
	_ = n.with(func(c *core) error {
		if p.ID != c.cfg.ID && p.Addr != "" {
			c.hints[p.ID] = p
		}
		return nil
	})
}

// Unreachable tells that messages to a member were lost.
func (n *Node) Unreachable(id uint64) {
	_ = n.with(func(c *core) error { c.raw.ReportUnreachable(id); return nil })
}

// stop has everyone who waits be told, once.
func (n *Node) stop(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped == nil {
		n.end(err)
	}
}

// end does it. The caller holds mu.
func (n *Node) end(err error) {
	n.stopped = err
	n.core.proposals.fail(err)
	n.core.reads.fail(err)
	n.announce()
}

func (n *Node) close() {
	n.stop(ErrStopped)
	if err := n.wal.Close(); err != nil {
		n.cfg.Logger.Error("raft log did not close", "err", err)
	}
	n.lock.Close()
}

// Close ends a node that was opened and is not run.
func (n *Node) Close() { n.close() }

func (n *Node) snapDir() string { return path.Join(n.cfg.Dir, "snap") }
