package raftnode

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"
)

// core is the node without goroutines and without I/O: a value that is stepped. What it wants done comes out of ready.
type core struct {
	cfg       *Config
	raw       *raft.RawNode
	storage   *storage
	members   members
	conf      *pb.ConfState
	hints     map[uint64]Peer   // what transports and the configuration say of members
	heard     map[uint64]uint64 // by member: the tick at which it was last heard of
	ticks     uint64
	term      uint64
	lead      uint64
	led       uint64 // the tick at which it last spoke as the leader
	leading   bool
	applied   uint64
	appliedAt uint64 // the term of the newest applied entry
	bytes     uint64 // of entries applied since the last snapshot
	removed   bool
	full      bool // the disk takes no more entries
	proposals proposals
	reads     reads
	audits    audits
}

// output is work for others. The three may go on at once; each kind must be done in order.
type output struct {
	msgs    []*pb.Message // to other members
	appends []*pb.Message // to the log
	applies []*pb.Message // to the state machine
}

func (o output) empty() bool { return len(o.msgs)+len(o.appends)+len(o.applies) == 0 }

func newCore(cfg *Config, s *storage, m members) (*core, error) {
	c := &core{
		cfg: cfg, storage: s, members: m, conf: s.snap.Conf,
		hints: map[uint64]Peer{}, heard: map[uint64]uint64{},
		applied: s.snap.Index, appliedAt: s.snap.Term,
		proposals: newProposals(), reads: newReads(cfg.ID),
		removed: m.removed[cfg.ID],
		audits:  newAudits(cfg.StateMachine, s.hard.GetCommit()),
	}
	for _, p := range cfg.Peers {
		c.hints[p.ID] = p
	}
	raw, err := raft.NewRawNode(&raft.Config{
		ID:                       cfg.ID,
		ElectionTick:             cfg.ElectionTicks,
		HeartbeatTick:            cfg.HeartbeatTicks,
		Storage:                  s,
		Applied:                  s.snap.Index,
		AsyncStorageWrites:       true,
		MaxSizePerMsg:            1 << 20,
		MaxCommittedSizePerReady: 16 << 20,
		// What may be on its way fits into a segment of the log, so that a full disk is known in time.
		MaxUncommittedEntriesSize: 8 << 20,
		MaxInflightMsgs:           256,
		MaxInflightBytes:          8 << 20,
		CheckQuorum:               true,
		PreVote:                   true,
		StepDownOnRemoval:         true,
		Logger:                    raftLogger{cfg.Logger},
	})
	c.raw = raw
	return c, err
}

// tick lets one interval pass.
func (c *core) tick() {
	c.ticks++
	c.raw.Tick()
	c.proposals.expire(c.ticks, uint64(c.cfg.ElectionTicks))
	c.reads.expire(c.ticks, uint64(c.cfg.ElectionTicks))
	if c.leading {
		c.promote()
		c.audit()
	}
	if c.leading && c.full && c.ticks%uint64(c.cfg.ElectionTicks) == 0 {
		c.handOver()
	}
}

// handOver gives the lead to the voter that has most of the log: this node takes no entries.
func (c *core) handOver() {
	var best, match uint64
	c.raw.WithProgress(func(id uint64, typ raft.ProgressType, pr tracker.Progress) {
		if id != c.cfg.ID && typ == raft.ProgressTypePeer && c.active(id) && pr.Match > match {
			best, match = id, pr.Match
		}
	})
	if best != 0 {
		c.raw.TransferLeader(best)
	}
}

// ready returns what there is to do; empty when nothing.
func (c *core) ready() output {
	c.follow()
	c.propose()
	c.read()
	var out output
	if !c.raw.HasReady() {
		return out
	}
	rd := c.raw.Ready()
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			out.appends = append(out.appends, m)
		case raft.LocalApplyThread:
			out.applies = append(out.applies, m)
		default:
			out.msgs = append(out.msgs, m)
		}
	}
	for _, rs := range rd.ReadStates {
		c.reads.answer(rs, c.applied)
	}
	return out
}

// follow notes who leads. With another leader, everything that waits for an answer is asked again.
func (c *core) follow() {
	st := c.raw.BasicStatus()
	lead, term, leading := st.Lead, st.HardState.GetTerm(), st.RaftState == raft.StateLeader
	if lead == c.lead && term == c.term && leading == c.leading {
		return
	}
	c.lead, c.term, c.leading = lead, term, leading
	c.proposals.again()
	c.reads.again()
}

// current reports whether the node leads and has applied everything that was committed before its term.
func (c *core) current() bool { return c.leading && c.appliedAt == c.term }

var errMessage = errors.New("raftnode: malformed message")

// step takes a message from another member.
func (c *core) step(m *pb.Message) error {
	if err := c.check(m); err != nil {
		return err
	}
	if m.GetType() != pb.MsgTransferLeader {
		c.heard[m.GetFrom()] = c.ticks
	}
	switch {
	case m.GetType() == pb.MsgReadIndex && c.leading && !c.current():
		return nil // the asker asks again
	case m.GetType() == pb.MsgTimeoutNow && c.full:
		return nil // who takes no entries should not lead
	case m.GetType() == pb.MsgProp && c.full, m.GetType() == pb.MsgApp && len(m.GetEntries()) > 0 && c.full:
		return nil // what is left of the disk is for votes
	}
	c.ledBy(m)
	err := c.raw.Step(m)
	if errors.Is(err, raft.ErrProposalDropped) || errors.Is(err, raft.ErrStepPeerNotFound) {
		return nil
	}
	return err
}

// check refuses what raft would panic on.
func (c *core) check(m *pb.Message) error {
	bad := func(why string) error {
		return fmt.Errorf("%w: %s from %x: %s", errMessage, m.GetType(), m.GetFrom(), why)
	}
	switch {
	case m == nil:
		return errMessage
	case raft.IsLocalMsg(m.GetType()) || m.GetType() == pb.MsgForgetLeader || m.GetType() > pb.MsgForgetLeader:
		return bad("a message of this type does not travel")
	case m.GetFrom() == 0 || m.GetFrom() == c.cfg.ID && m.GetType() != pb.MsgTransferLeader || raft.IsLocalMsgTarget(m.GetFrom()):
		return bad("no such sender")
	case m.GetTo() != c.cfg.ID:
		return bad(fmt.Sprintf("it is for %x", m.GetTo()))
	}
	switch m.GetType() {
	case pb.MsgProp:
		if len(m.GetEntries()) == 0 {
			return bad("no entries")
		}
		for _, e := range m.GetEntries() {
			if e.GetType() == pb.EntryNormal {
				continue
			}
			if _, _, err := decodeConfEntry(e); err != nil {
				return bad(err.Error())
			}
		}
	case pb.MsgReadIndex, pb.MsgReadIndexResp:
		if len(m.GetEntries()) != 1 {
			return bad("no request")
		}
	case pb.MsgHeartbeatResp:
		if n := len(m.GetContext()); n != 0 && n != 8 {
			return bad("its context has a wrong length")
		}
	case pb.MsgApp:
		for i, e := range m.GetEntries() {
			if e.GetIndex() != m.GetIndex()+1+uint64(i) || e.GetTerm() > m.GetTerm() {
				return bad("its entries do not follow on each other")
			}
		}
	case pb.MsgSnap:
		meta := m.GetSnapshot().GetMetadata()
		if meta.GetIndex() == 0 || meta.GetTerm() == 0 || len(meta.GetConfState().GetVoters()) == 0 {
			return bad("no snapshot")
		}
	}
	return nil
}

// decodeConfEntry returns the change in an entry of a type that is not normal.
func decodeConfEntry(e *pb.Entry) (*pb.ConfChange, change, error) {
	if e.GetType() != pb.EntryConfChange {
		return nil, change{}, fmt.Errorf("unknown type of entry %d", e.GetType())
	}
	cc := &pb.ConfChange{}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		return nil, change{}, err
	}
	ch, err := decodeChange(cc)
	return cc, ch, err
}

// active reports whether a member was heard of within an election timeout.
func (c *core) active(id uint64) bool {
	heard, ok := c.heard[id]
	return id == c.cfg.ID || ok && c.ticks-heard <= uint64(c.cfg.ElectionTicks)
}

// peer returns what is known of a member: from the log, or from elsewhere.
func (c *core) peer(id uint64) (Peer, bool) {
	if m, ok := c.members.byID[id]; ok && m.Addr != "" {
		return m.Peer, true
	}
	p, ok := c.hints[id]
	return p, ok
}
