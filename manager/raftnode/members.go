package raftnode

import (
	"fmt"
	"maps"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	swarmnetv1 "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// members is the table of members: the same on every node at the same index, as it is made by the log alone.
type members struct {
	byID    map[uint64]member
	removed map[uint64]bool
}

type member struct {
	Peer
	voter bool
}

func newMembers() members {
	return members{byID: map[uint64]member{}, removed: map[uint64]bool{}}
}

// change is the context of a raft configuration change.
type change struct {
	id   [16]byte
	peer Peer
}

func (c change) encode() ([]byte, error) {
	return proto.Marshal(&swarmnetv1.RaftMemberChange{
		Id:     c.id[:],
		Member: &swarmnetv1.RaftMember{RaftId: c.peer.ID, NodeId: c.peer.NodeID, Addr: c.peer.Addr},
	})
}

func decodeChange(cc *pb.ConfChange) (change, error) {
	var m swarmnetv1.RaftMemberChange
	if err := proto.Unmarshal(cc.GetContext(), &m); err != nil {
		return change{}, err
	}
	c := change{peer: Peer{ID: cc.GetNodeId(), NodeID: m.GetMember().GetNodeId(), Addr: m.GetMember().GetAddr()}}
	copy(c.id[:], m.GetId())
	return c, nil
}

// apply makes a committed change. False and no error: it was made before (proposals are repeated). An error: it is refused,
// on every node alike. In both cases raft must not hear of it.
func (m members) apply(typ pb.ConfChangeType, p Peer) (bool, error) {
	have, ok := m.byID[p.ID]
	switch {
	case typ == pb.ConfChangeRemoveNode:
		if !ok {
			return false, nil
		}
		if have.voter && m.voters() == 1 {
			return false, fmt.Errorf("%w: %s is the last voter", ErrChange, have.NodeID)
		}
		delete(m.byID, p.ID)
		m.removed[p.ID] = true
		return true, nil
	case m.removed[p.ID]:
		return false, fmt.Errorf("%w: the number %d was a removed member's; join with a new one", ErrChange, p.ID)
	case typ == pb.ConfChangeAddLearnerNode:
		if ok && have.Peer == p {
			return false, nil
		}
		if ok {
			return false, fmt.Errorf("%w: the number %d is %s's", ErrChange, p.ID, have.NodeID)
		}
		m.byID[p.ID] = member{Peer: p}
		return true, nil
	case typ == pb.ConfChangeAddNode:
		if ok && have.voter {
			return false, nil
		}
		if !ok && len(m.byID) > 0 {
			return false, fmt.Errorf("%w: %d is no member", ErrChange, p.ID)
		}
		if !ok { // the first member of a new group
			have.Peer = p
		}
		m.byID[p.ID] = member{Peer: have.Peer, voter: true}
		return true, nil
	case typ == pb.ConfChangeUpdateNode:
		if !ok {
			return false, fmt.Errorf("%w: %d is no member", ErrChange, p.ID)
		}
		m.byID[p.ID] = member{Peer: p, voter: have.voter}
		return true, nil
	}
	return false, fmt.Errorf("%w: unknown kind %d", ErrChange, typ)
}

func (m members) voters() int {
	n := 0
	for _, one := range m.byID {
		if one.voter {
			n++
		}
	}
	return n
}

// sorted returns the members by number.
func (m members) sorted() []member {
	return slices.SortedFunc(maps.Values(m.byID), func(a, b member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
}

func (m members) encode() ([]byte, error) {
	var out swarmnetv1.RaftMembers
	for _, one := range m.sorted() {
		out.Members = append(out.Members, &swarmnetv1.RaftMember{RaftId: one.ID, NodeId: one.NodeID, Addr: one.Addr, Voter: one.voter})
	}
	out.Removed = slices.Sorted(maps.Keys(m.removed))
	return proto.MarshalOptions{Deterministic: true}.Marshal(&out)
}

func decodeMembers(b []byte) (members, error) {
	m := newMembers()
	var in swarmnetv1.RaftMembers
	if err := proto.Unmarshal(b, &in); err != nil {
		return m, fmt.Errorf("the table of members: %w", err)
	}
	for _, one := range in.GetMembers() {
		m.byID[one.GetRaftId()] = member{Peer{one.GetRaftId(), one.GetNodeId(), one.GetAddr()}, one.GetVoter()}
	}
	for _, id := range in.GetRemoved() {
		m.removed[id] = true
	}
	return m, nil
}
