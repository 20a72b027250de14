package raftnode

import "errors"

// Status returns this node's view of the group.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.core
	st := c.raw.Status()
	out := Status{
		ID: c.cfg.ID, Leader: c.lead, IsLeader: c.leading, Term: st.HardState.GetTerm(),
		Commit: st.HardState.GetCommit(), Applied: c.applied, Removed: c.removed, DiskFull: c.full,
	}
	if errors.Is(n.stopped, ErrQuarantined) {
		out.Quarantined = n.stopped.Error()
	}
	if p, ok := c.peer(c.lead); ok {
		out.LeaderAddr = p.Addr
	}
	if c.lead == c.cfg.ID {
		out.LeaderAddr = c.cfg.Addr
	}
	for _, m := range c.members.sorted() {
		out.Members = append(out.Members, Member{Peer: m.Peer, Voter: m.voter, Active: c.active(m.ID), Match: st.Progress[m.ID].Match})
	}
	return out
}

func (n *Node) isRemoved() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.removed
}

// Leadership tells of changes of the leader. It is for one reader; who reads late gets the newest only.
func (n *Node) Leadership() <-chan LeaderChange { return n.changes }

// announce tells, if there is something to tell. The caller holds mu.
func (n *Node) announce() {
	c := n.core
	c.follow()
	now := LeaderChange{Term: c.term, IsLeader: c.current(), Leader: c.lead}
	if n.stopped != nil {
		now.IsLeader, now.Leader = false, 0
	}
	if now == n.leadership {
		return
	}
	n.leadership = now
	close(n.moved)
	n.moved = make(chan struct{})
	select {
	case <-n.changes:
	default:
	}
	n.changes <- now
}
