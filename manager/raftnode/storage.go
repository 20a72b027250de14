package raftnode

import (
	"fmt"
	"slices"
	"sync"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet/manager/raftnode/snap"
	"github.com/swarmnet/swarmnet/manager/raftnode/wal"
)

// storage is raft's view of what is durable: the entries since the older snapshot, kept in memory too, and which snapshot
// is the newest. Written by the goroutine that writes the log, read by the one that steps raft.
type storage struct {
	mu      sync.Mutex
	hard    *pb.HardState
	base    wal.Pointer // the entry before the first
	entries []*pb.Entry
	snap    snap.Meta
	// confIndex is the newest applied change of members: a snapshot from before it would not name its receiver.
	confIndex uint64
	// wanted is set when raft needs a newer snapshot than there is.
	wanted bool
}

// newStorage takes over what the log has. meta is that of the snapshot which the state was restored from.
func newStorage(rec *wal.Recovered, meta snap.Meta) *storage {
	s := &storage{snap: meta, base: wal.Pointer{Index: meta.Index, Term: meta.Term}, confIndex: 0}
	s.entries = rec.Entries
	for _, p := range rec.Snapshots {
		if p.Index < s.base.Index && len(rec.Entries) > 0 && rec.Entries[0].GetIndex() <= p.Index+1 {
			s.base = p
			break
		}
	}
	if len(s.entries) > 0 {
		first := s.entries[0].GetIndex()
		s.entries = s.entries[min(uint64(len(s.entries)), s.base.Index+1-first):]
	}
	if h := rec.Hard; h != (wal.HardState{}) || meta.Index > 0 {
		commit := max(h.Commit, meta.Index)
		term := max(h.Term, meta.Term)
		s.hard = &pb.HardState{Term: &term, Vote: &h.Vote, Commit: &commit}
	}
	return s
}

func (s *storage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return s.hard, pb.EnsureConfState(s.snap.Conf), nil
}

func (s *storage) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lo <= s.base.Index {
		return nil, raft.ErrCompacted
	}
	if hi > s.last()+1 {
		return nil, raft.ErrUnavailable
	}
	es := s.entries[lo-s.base.Index-1 : hi-s.base.Index-1]
	size := uint64(0)
	for i, e := range es {
		if size += uint64(proto.Size(e)); size > maxSize && i > 0 {
			es = es[:i]
			break
		}
	}
	return slices.Clip(es), nil
}

func (s *storage) Term(i uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case i < s.base.Index:
		return 0, raft.ErrCompacted
	case i == s.base.Index:
		return s.base.Term, nil
	case i > s.last():
		return 0, raft.ErrUnavailable
	}
	return s.entries[i-s.base.Index-1].GetTerm(), nil
}

func (s *storage) last() uint64 { return s.base.Index + uint64(len(s.entries)) }

func (s *storage) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last(), nil
}

func (s *storage) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base.Index + 1, nil
}

// Snapshot returns the newest snapshot without its image, which travels apart. Its data is the table of members.
func (s *storage) Snapshot() (*pb.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snap.Index == 0 || s.snap.Index < s.confIndex || s.snap.Index < s.base.Index {
		s.wanted = true
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	index, term := s.snap.Index, s.snap.Term
	return &pb.Snapshot{
		Data:     s.snap.Members,
		Metadata: &pb.SnapshotMetadata{Index: &index, Term: &term, ConfState: s.snap.Conf},
	}, nil
}

// append adds durable entries, which replace those with the same and higher indexes.
func (s *storage) append(es []*pb.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(es) > 0 && es[0].GetIndex() <= s.base.Index {
		es = es[1:]
	}
	if len(es) == 0 {
		return nil
	}
	at := es[0].GetIndex() - s.base.Index - 1
	if at > uint64(len(s.entries)) {
		return fmt.Errorf("entry %d comes after entry %d", es[0].GetIndex(), s.last())
	}
	if at < uint64(len(s.entries)) {
		s.entries = s.entries[:at:at] // a copy: what was handed out must not be written over
	}
	s.entries = append(s.entries, es...)
	return nil
}

// install replaces everything by a snapshot from the leader.
func (s *storage) install(m snap.Meta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snap, s.entries = m, nil
	s.base = wal.Pointer{Index: m.Index, Term: m.Term}
}

// took notes a snapshot of this node's own, and drops the entries up to the older of those kept.
func (s *storage) took(m snap.Meta, older uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snap = m
	if older <= s.base.Index {
		return
	}
	n := older - s.base.Index
	term := s.entries[n-1].GetTerm()
	s.entries = slices.Clone(s.entries[n:])
	s.base = wal.Pointer{Index: older, Term: term}
}

// wants reports, once, whether raft asked for a newer snapshot.
func (s *storage) wants() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wanted
	s.wanted = false
	return w
}

func (s *storage) setConfIndex(i uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confIndex = i
}

func (s *storage) snapIndex() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snap.Index
}
