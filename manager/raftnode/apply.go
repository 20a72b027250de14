package raftnode

import (
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/snap"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// applyJob is work for the goroutine that feeds the state machine.
type applyJob struct {
	msg      *pb.Message // MsgStorageApply
	snapshot bool        // a member needs a newer snapshot than there is
}

// stepApply applies everything that is committed and not applied, and takes a snapshot when one is due.
func (n *Node) stepApply() (bool, error) {
	if n.applies.empty() {
		return false, nil
	}
	n.applying.Lock()
	defer n.applying.Unlock()
	return true, n.applyWaiting()
}

// applyWaiting does it. The caller holds applying.
func (n *Node) applyWaiting() error {
	var msgs []*pb.Message
	due := false
	for _, job := range n.applies.take() {
		due = due || job.snapshot
		if job.msg != nil {
			msgs = append(msgs, job.msg)
		}
	}
	fed, err := n.feed(msgs)
	if err != nil {
		return err
	}
	var wrong string
	err = n.with(func(c *core) error {
		err := c.applyDone(msgs, fed)
		due = due || c.snapshotDue()
		wrong = c.audits.wrong
		return err
	})
	if err == nil && wrong != "" {
		return n.quarantine(wrong)
	}
	if err == nil && due {
		err = n.takeImage()
	}
	return err
}

// fed is what was given to the state machine, and what it answered.
type fed struct {
	entries []Entry
	results []any
	hashes  map[uint64]uint64 // of the state, by the index of a check
}

// feed gives the state machine all entries in order, in as few calls as there are checks between.
func (n *Node) feed(msgs []*pb.Message) (out fed, err error) {
	begin := 0
	flush := func() error {
		batch := out.entries[begin:]
		if len(batch) == 0 {
			return nil
		}
		begin = len(out.entries)
		results, err := n.cfg.StateMachine.Apply(batch)
		if err != nil {
			return fmt.Errorf("raftnode: apply entries %d to %d: %w", batch[0].Index, batch[len(batch)-1].Index, err)
		}
		if len(results) != len(batch) {
			return fmt.Errorf("raftnode: apply: %d results for %d entries", len(results), len(batch))
		}
		out.results = append(out.results, results...)
		return nil
	}
	hasher, _ := n.cfg.StateMachine.(Hasher)
	for _, m := range msgs {
		for _, e := range m.GetEntries() {
			if e.GetType() != pb.EntryNormal || len(e.GetData()) == 0 || isReport(e) {
				continue // a change of members, the first entry of a term, or nothing for the state
			}
			if isCheck(e) {
				if err := flush(); err != nil {
					return out, err
				}
				if hasher != nil {
					if out.hashes == nil {
						out.hashes = map[uint64]uint64{}
					}
					out.hashes[e.GetIndex()] = hasher.Hash()
				}
				continue
			}
			one, ok := decodeEntry(e)
			if !ok {
				return out, fmt.Errorf("raftnode: apply entry %d: unknown form", e.GetIndex())
			}
			out.entries = append(out.entries, one)
		}
	}
	return out, flush()
}

// imageJob is a snapshot to be written.
type imageJob struct {
	meta  snap.Meta
	image io.WriterTo
}

// takeImage takes an image of the state and has it written, unless one is being written. The caller holds applying.
func (n *Node) takeImage() error {
	if n.imaging {
		return nil
	}
	var meta snap.Meta
	err := n.with(func(c *core) (err error) {
		meta, err = c.meta()
		return err
	})
	if err != nil {
		return err
	}
	if meta.Index == n.storage.snapIndex() {
		return nil
	}
	image, err := n.cfg.StateMachine.Snapshot()
	if err != nil {
		return fmt.Errorf("raftnode: take a snapshot at %d: %w", meta.Index, err)
	}
	n.imaging = true
	n.images.push(imageJob{meta, image})
	return nil
}

// stepSnapshot writes a snapshot.
func (n *Node) stepSnapshot() (bool, error) {
	jobs := n.images.take()
	for _, job := range jobs {
		err := n.writeImage(job)
		n.applying.Lock()
		n.imaging = false
		n.applying.Unlock()
		if errors.Is(err, vfs.ErrNoSpace) {
			n.cfg.Logger.Error("raft snapshot was not written", "err", err)
			continue // the log is whole; the next one may have room
		}
		if err != nil {
			return false, fmt.Errorf("raftnode: %w", err)
		}
		n.with(func(c *core) error { c.bytes = 0; return nil })
		n.appends.push(appendJob{took: &job.meta})
	}
	return len(jobs) > 0, nil
}

func (n *Node) writeImage(job imageJob) error {
	w, err := n.snaps.Create(job.meta)
	if err != nil {
		return err
	}
	if _, err := job.image.WriteTo(w); err != nil {
		w.Abort()
		return fmt.Errorf("write the snapshot at %d: %w", job.meta.Index, err)
	}
	return w.Commit()
}

func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
