package raftnode

import (
	"fmt"

	"go.etcd.io/raft/v3/tracker"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet/manager/raftnode/snap"
)

// applyDone takes what the state machine answered to the entries of messages to it, and makes their changes of members.
func (c *core) applyDone(msgs []*pb.Message, fed fed) error {
	for _, m := range msgs {
		for _, e := range m.GetEntries() {
			c.applied, c.appliedAt = e.GetIndex(), e.GetTerm()
			c.bytes += uint64(len(e.GetData()))
			if e.GetType() == pb.EntryNormal {
				c.applyAudit(e, fed.hashes)
				continue
			}
			if err := c.applyChange(e); err != nil {
				return err
			}
		}
		for _, r := range m.GetResponses() {
			if err := c.raw.Step(r); err != nil {
				return err
			}
		}
	}
	for i, e := range fed.entries {
		c.proposals.finish(e.ID, result{value: fed.results[i]})
	}
	c.reads.appliedTo(c.applied)
	c.campaignAlone()
	return nil
}

// campaignAlone spares a group of one the wait for others to speak up.
func (c *core) campaignAlone() {
	if m := c.members.byID[c.cfg.ID]; !m.voter || c.members.voters() != 1 {
		return
	}
	st := c.raw.BasicStatus()
	if st.Lead == 0 && st.RaftState == raft.StateFollower && c.applied == st.HardState.GetCommit() {
		_ = c.raw.Campaign() // without success the election timeout does the same
	}
}

// applyChange makes one change of members.
func (c *core) applyChange(e *pb.Entry) error {
	cc, ch, err := decodeConfEntry(e)
	if err != nil {
		return fmt.Errorf("apply entry %d: %w", e.GetIndex(), err)
	}
	changed, err := c.members.apply(cc.GetType(), ch.peer)
	if changed {
		c.conf = c.raw.ApplyConfChange(cc)
		c.storage.setConfIndex(e.GetIndex())
		c.cfg.Logger.Info("raft members changed", "change", cc.GetType().String(), "member", fmt.Sprintf("%x", cc.GetNodeId()), "node", ch.peer.NodeID, "addr", ch.peer.Addr)
		if ch.peer.ID == c.cfg.ID {
			c.removed = cc.GetType() == pb.ConfChangeRemoveNode
		}
	}
	c.proposals.finish(ch.id, result{err: err})
	return nil
}

// restored takes over a snapshot that the state machine was restored from.
func (c *core) restored(m snap.Meta) error {
	table, err := decodeMembers(m.Members)
	if err != nil {
		return err
	}
	c.members, c.conf = table, m.Conf
	c.removed = table.removed[c.cfg.ID]
	c.applied, c.appliedAt, c.bytes = m.Index, m.Term, 0
	c.storage.setConfIndex(m.Index)
	c.reads.appliedTo(c.applied)
	return nil
}

// snapshotDue reports whether it is time for a snapshot.
func (c *core) snapshotDue() bool {
	return c.applied > c.storage.snapIndex() && (c.applied-c.storage.snapIndex() >= c.cfg.SnapshotEvery || c.bytes >= c.cfg.SnapshotBytes)
}

// meta describes a snapshot of the state as it is now.
func (c *core) meta() (snap.Meta, error) {
	table, err := c.members.encode()
	return snap.Meta{Index: c.applied, Term: c.appliedAt, Conf: proto.Clone(pb.EnsureConfState(c.conf)).(*pb.ConfState), Members: table}, err
}

// newChange returns the proposal of a change of members.
func newChange(typ pb.ConfChangeType, p Peer) (*proposal, error) {
	out := newProposal(nil)
	ctx, err := change{id: out.id, peer: p}.encode()
	if err != nil {
		return nil, err
	}
	out.typ = pb.EntryConfChange
	out.data, err = proto.Marshal(&pb.ConfChange{Type: typ.Enum(), NodeId: &p.ID, Context: ctx})
	return out, err
}

// caughtUp is by how many entries a learner may be behind to become a voter.
const caughtUp = 128

// promote proposes a vote for the first learner that has caught up. One change at a time: raft takes no more.
func (c *core) promote() {
	for _, p := range c.proposals.pending {
		if p.typ != pb.EntryNormal {
			return
		}
	}
	var ready uint64
	commit := c.raw.BasicStatus().HardState.GetCommit()
	c.raw.WithProgress(func(id uint64, typ raft.ProgressType, pr tracker.Progress) {
		if typ == raft.ProgressTypeLearner && pr.State == tracker.StateReplicate && pr.RecentActive &&
			pr.Match+caughtUp >= commit && (ready == 0 || id < ready) {
			ready = id
		}
	})
	m, ok := c.members.byID[ready]
	if ready == 0 || !ok {
		return
	}
	if p, err := newChange(pb.ConfChangeAddNode, m.Peer); err == nil {
		c.proposals.add(p)
	}
}
