package raftnode

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/snap"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
	"github.com/swarmnet/swarmnet/manager/raftnode/wal"
)

// appendJob is work for the goroutine that writes the log. One of its fields is set.
type appendJob struct {
	msg     *pb.Message // MsgStorageAppend
	took    *snap.Meta  // a snapshot was stored
	reserve bool        // the disk was full: see whether it still is
}

// groupBytes is how much goes into one write of the log at most, beside the message that goes over it.
const groupBytes = 4 << 20

// stepLog writes everything that waits: as many messages as there are share one sync. What answers them goes out when
// they are durable.
func (n *Node) stepLog() (bool, error) {
	jobs := n.appends.take()
	if len(jobs) == 0 {
		return false, n.wal.Mark()
	}
	for len(jobs) > 0 {
		switch job := jobs[0]; {
		case job.reserve:
			n.wal.Reserve()
			jobs = jobs[1:]
		case job.took != nil:
			err := n.tookSnapshot(*job.took)
			if errors.Is(err, vfs.ErrNoSpace) {
				n.appends.pushFront(jobs)
				return false, n.setFull(true)
			}
			if err != nil {
				return false, err
			}
			jobs = jobs[1:]
		default:
			k, err := n.appendGroup(jobs)
			if errors.Is(err, vfs.ErrNoSpace) {
				// Nothing was written: it waits for room, unanswered. The others of the group go on meanwhile.
				n.appends.pushFront(jobs)
				return false, n.setFull(true)
			}
			if err != nil {
				return false, err
			}
			jobs = jobs[k:]
		}
		if err := n.setFull(n.wal.Full()); err != nil {
			return false, err
		}
	}
	return true, nil
}

// appendGroup writes the messages at the head of jobs as one batch and returns how many those were.
func (n *Node) appendGroup(jobs []appendJob) (int, error) {
	var b wal.Batch
	var msgs []*pb.Message
	size, sync := 0, false
	for _, job := range jobs {
		m := job.msg
		if m == nil || size > groupBytes || len(msgs) > 0 && !raft.IsEmptySnap(m.GetSnapshot()) {
			break
		}
		msgs = append(msgs, m)
		size += collect(&b, m)
		// Without an answer to give, raft does not need it durable.
		sync = sync || len(m.GetResponses()) > 0
		if b.Install != nil {
			break
		}
	}
	if b.Hard != nil || b.Install != nil || len(b.Entries) > 0 {
		if err := n.wal.Append(b, sync); err != nil {
			return 0, fmt.Errorf("raftnode: %w", err)
		}
	}
	for _, m := range msgs {
		if err := n.appended(m); err != nil {
			return 0, err
		}
	}
	return len(msgs), nil
}

// collect adds what a message wants durable to a batch.
func collect(b *wal.Batch, m *pb.Message) (size int) {
	if s := m.GetSnapshot(); !raft.IsEmptySnap(s) {
		b.Install = &wal.Pointer{Index: s.GetMetadata().GetIndex(), Term: s.GetMetadata().GetTerm()}
	}
	b.Entries = append(b.Entries, m.GetEntries()...)
	if m.Term != nil {
		b.Hard = &wal.HardState{Term: m.GetTerm(), Vote: m.GetVote(), Commit: m.GetCommit()}
	}
	for _, e := range m.GetEntries() {
		size += len(e.GetData()) + 16
	}
	return size
}

// appended makes a durable message visible, and sends what answers it.
func (n *Node) appended(m *pb.Message) error {
	if s := m.GetSnapshot(); !raft.IsEmptySnap(s) {
		if err := n.install(s); err != nil {
			return err
		}
	}
	if err := n.storage.append(m.GetEntries()); err != nil {
		return fmt.Errorf("raftnode: %w", err)
	}
	return n.deliver(m.GetResponses())
}

// deliver sends the answers that waited for the log: to raft itself, and to others.
func (n *Node) deliver(responses []*pb.Message) error {
	type parcel struct {
		to  Peer
		msg *pb.Message
	}
	var out []parcel
	err := n.with(func(c *core) error {
		for _, r := range responses {
			if r.GetTo() == c.cfg.ID {
				// A leader that removed itself is no peer of its own any more.
				if err := c.raw.Step(r); err != nil && !errors.Is(err, raft.ErrStepPeerNotFound) {
					return err
				}
			} else if to, ok := c.peer(r.GetTo()); ok {
				out = append(out, parcel{to, r})
			}
		}
		return nil
	})
	for _, p := range out {
		n.send(p.to, []*pb.Message{p.msg})
	}
	return err
}

// install replaces the state by a snapshot that came from the leader and is on the disk. What was committed before is
// applied first: the state machine sees entries and images in order.
func (n *Node) install(s *pb.Snapshot) error {
	n.applying.Lock()
	defer n.applying.Unlock()
	if err := n.applyWaiting(); err != nil {
		return err
	}
	p := wal.Pointer{Index: s.GetMetadata().GetIndex(), Term: s.GetMetadata().GetTerm()}
	meta, err := n.restore(p)
	if err != nil {
		return fmt.Errorf("raftnode: %w", err)
	}
	n.storage.install(meta)
	n.cfg.Logger.Info("raft state replaced by the leader's snapshot", "index", p.Index)
	if err := n.with(func(c *core) error { return c.restored(meta) }); err != nil {
		return err
	}
	if err := n.snaps.Keep(p.Index); err != nil {
		return fmt.Errorf("raftnode: %w", err)
	}
	return n.compact(p.Index)
}

// tookSnapshot makes a stored snapshot one that the log counts on, and drops what the older of the two kept covers.
func (n *Node) tookSnapshot(m snap.Meta) error {
	if p := n.wal.Pointers(); len(p) > 0 && p[len(p)-1].Index >= m.Index {
		return nil // the leader's came meanwhile and is newer
	}
	err := n.wal.Append(wal.Batch{Snapshot: &wal.Pointer{Index: m.Index, Term: m.Term}}, true)
	if err != nil {
		return fmt.Errorf("raftnode: %w", err)
	}
	var keep []uint64
	for _, p := range n.wal.Pointers() {
		keep = append(keep, p.Index)
	}
	older := uint64(0)
	if len(keep) > 1 {
		older = keep[0]
	}
	n.storage.took(m, older)
	if err := n.snaps.Keep(keep...); err != nil {
		return fmt.Errorf("raftnode: %w", err)
	}
	return n.compact(older)
}

func (n *Node) setFull(full bool) error {
	return n.look(func(c *core) error {
		if full != c.full {
			c.full = full
			c.cfg.Logger.Warn("raft disk", "full", full)
		}
		return nil
	})
}

func (n *Node) fullDisk() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.full
}

func (n *Node) compact(index uint64) error {
	if err := n.wal.Compact(index); err != nil {
		return fmt.Errorf("raftnode: %w", err)
	}
	return nil
}
