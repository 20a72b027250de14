package raftnode

import (
	"context"
	"fmt"
	"io"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/snap"
)

// sendSnapshot hands a message of type MsgSnap to the transport, and tells raft how it went.
func (n *Node) sendSnapshot(to Peer, m *pb.Message) {
	meta := m.GetSnapshot().GetMetadata()
	index, term := meta.GetIndex(), meta.GetTerm()
	n.cfg.Logger.Info("raft snapshot goes to a member", "member", fmt.Sprintf("%x", to.ID), "index", index)
	open := func() (io.ReadCloser, error) { return n.snaps.Read(index, term) }
	n.cfg.Transport.SendSnapshot(to, m, open, func(err error) {
		status := raft.SnapshotFinish
		if err != nil {
			status = raft.SnapshotFailure
			n.cfg.Logger.Info("raft snapshot did not arrive", "member", fmt.Sprintf("%x", to.ID), "err", err)
		}
		_ = n.with(func(c *core) error { c.raw.ReportSnapshot(to.ID, status); return nil })
	})
}

// ReceiveSnapshot stores an image from the leader, sealed with this node's key, and then tells raft of it. It returns
// when the image is durable.
func (n *Node) ReceiveSnapshot(ctx context.Context, m *pb.Message, image io.Reader) error {
	n.receiving.Lock()
	defer n.receiving.Unlock()
	var stale bool
	err := n.with(func(c *core) error {
		stale = m.GetSnapshot().GetMetadata().GetIndex() <= c.raw.BasicStatus().HardState.GetCommit()
		return c.check(m)
	})
	if err != nil {
		return err
	}
	if m.GetType() != pb.MsgSnap {
		return fmt.Errorf("%w: %s comes without an image", errMessage, m.GetType())
	}
	if !stale {
		if err := n.store(ctx, m.GetSnapshot(), image); err != nil {
			return err
		}
	}
	return n.with(func(c *core) error { return c.step(m) })
}

func (n *Node) store(ctx context.Context, s *pb.Snapshot, image io.Reader) error {
	if _, err := decodeMembers(s.GetData()); err != nil {
		return fmt.Errorf("raftnode: receive a snapshot: %w", err)
	}
	meta := s.GetMetadata()
	w, err := n.snaps.Create(snap.Meta{Index: meta.GetIndex(), Term: meta.GetTerm(), Conf: meta.GetConfState(), Members: s.GetData()})
	if err != nil {
		return fmt.Errorf("raftnode: receive a snapshot: %w", err)
	}
	if _, err = io.Copy(w, image); err == nil {
		err = ctx.Err()
	}
	if err != nil {
		w.Abort()
		return fmt.Errorf("raftnode: receive a snapshot: %w", err)
	}
	if err := w.Commit(); err != nil {
		return fmt.Errorf("raftnode: receive a snapshot: %w", err)
	}
	return nil
}
