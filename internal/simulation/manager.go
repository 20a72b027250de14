package simulation

import (
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/session"
	"github.com/swarmnet/swarmnet/manager/dispatcher"
	"github.com/swarmnet/swarmnet/manager/state"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// manager is a manager's part of a node: what it has of the log, and the sessions that it serves.
type manager struct {
	*node
	view     *state.State
	index    int                         // of view in the log
	due      time.Duration               // when the newest entry under way is learned
	sessions map[swarmnet.NodeID]*served // one that is being opened or closed has a place here, too
	flushing bool
}

// served is one session as the manager has it.
type served struct {
	feed     dispatcher.Feed
	stream   *stream
	pending  []state.Command // reports to be proposed
	taken    uint64
	inFlight bool
}

func newManager(n *node) *manager {
	m := &manager{node: n, sessions: map[swarmnet.NodeID]*served{}}
	n.w.every(closeGoneEvery, m.closeGone)
	return m
}

// learn takes the log in up to an entry.
func (m *manager) learn(index int) {
	if index <= m.index {
		return
	}
	m.index, m.view = index, m.w.group.log[index].s
	if m.w.group.leader == m.node {
		m.w.group.plan()
	}
	if m.flushing {
		return
	}
	m.flushing = true
	m.w.after(coalesceFor, m.guard(func() {
		m.flushing = false
		for _, n := range m.w.nodes {
			if ss := m.sessions[n.id]; ss != nil && ss.feed.Node != "" {
				m.sendDelta(ss)
			}
		}
	}))
}

// open is what an agent's Hello leads to: the session is put into the state, then the set follows.
func (m *manager) open(s *stream, desc swarmnet.NodeDescription, epoch uint64, welcome func(epoch uint64)) {
	n, ok := m.view.Node(s.agent.id)
	old := m.sessions[s.agent.id]
	if !ok || epoch != 0 && n.Epoch != epoch || old != nil && old.stream == nil {
		s.close(s.managerEnd)
		return
	}
	ss := &served{stream: s}
	m.sessions[s.agent.id] = ss
	s.managerEnd.closed = m.guard(func() { m.left(ss) })
	if old != nil {
		m.end(old)
	}
	cmd := state.OpenSession{Node: s.agent.id, Description: desc, Manager: m.id, NewEpoch: epoch == 0}
	m.w.group.propose(m.node, []state.Command{cmd}, func(r []state.Result, ok bool) {
		if !ok || r[0].Err != nil || !s.managerEnd.open {
			s.close(s.managerEnd)
			return
		}
		ss.feed = dispatcher.Feed{Manager: m.id, Node: s.agent.id, Epoch: r[0].Epoch}
		s.tell(func() { welcome(ss.feed.Epoch) })
		if ss.feed.Check(m.view) != nil {
			m.end(ss)
			return
		}
		m.sendComplete(ss)
	})
}

func (m *manager) end(ss *served) {
	ss.stream.close(ss.stream.managerEnd)
}

// left is when a session's stream has ended.
func (m *manager) left(ss *served) {
	if id := ss.stream.agent.id; m.sessions[id] == ss {
		delete(m.sessions, id)
		m.closeGone()
	}
}

// closeGone proposes the end of the sessions that the state says this manager holds and that it does not hold.
func (m *manager) closeGone() {
	if m.daemon == nil {
		return
	}
	for n := range m.view.Nodes() {
		if n.Status.State != swarmnet.NodeReady || n.Status.Manager != m.id || m.sessions[n.ID] != nil {
			continue
		}
		stand := &served{} // for the session, so that a new one begins after its end
		m.sessions[n.ID] = stand
		cmd := state.CloseSession{Node: n.ID, Epoch: n.Epoch, Manager: m.id}
		m.w.group.propose(m.node, []state.Command{cmd}, func([]state.Result, bool) {
			if m.sessions[n.ID] == stand {
				delete(m.sessions, n.ID)
			}
		})
	}
}

// overWire is what becomes of a value on its way: nothing may hang on what the other side goes on using.
func overWire[T, P any](v T, to func(T) P, from func(P) (T, error)) T {
	out, err := from(to(v))
	if err != nil {
		panic(err)
	}
	return out
}

func (m *manager) sendComplete(ss *served) {
	set := overWire(ss.feed.Complete(m.view), wire.AssignmentSetToProto, wire.AssignmentSetFromProto)
	a := ss.stream.agent
	ss.stream.tell(a.guard(func() { a.daemon.complete(ss.stream, set) }))
}

func (m *manager) sendDelta(ss *served) {
	if ss.feed.Check(m.view) != nil {
		m.end(ss)
		return
	}
	d, news := ss.feed.Delta(m.view)
	if !news {
		m.acknowledge(ss)
		return
	}
	d = overWire(d, wire.DeltaToProto, wire.DeltaFromProto)
	a := ss.stream.agent
	ss.stream.tell(a.guard(func() { a.daemon.delta(ss.stream, d) }))
}

// applied is what an agent says that it has in force.
func (m *manager) applied(ss *served, revision uint64) {
	ss.feed.Applied(revision)
	m.acknowledge(ss)
}

func (m *manager) acknowledge(ss *served) {
	if ack, waited := ss.feed.Acknowledge(m.view); waited {
		m.w.group.propose(m.node, []state.Command{ack}, func(_ []state.Result, ok bool) {
			if !ok && m.sessions[ss.feed.Node] == ss {
				m.acknowledge(ss)
			}
		})
	}
}

// report takes a batch of task statuses; it is proposed until it is in or the session has ended.
func (m *manager) report(ss *served, updates []session.Update) {
	for _, u := range updates {
		ss.pending = append(ss.pending, state.UpdateTaskStatus{Task: u.Task, Status: u.Status, Node: ss.feed.Node, Epoch: ss.feed.Epoch})
	}
	ss.taken++
	m.commitReports(ss)
}

func (m *manager) commitReports(ss *served) {
	if ss.inFlight || len(ss.pending) == 0 {
		return
	}
	ss.inFlight = true
	cmds, count := ss.pending, ss.taken
	ss.pending = nil
	m.w.group.propose(m.node, cmds, func(_ []state.Result, ok bool) {
		ss.inFlight = false
		if m.sessions[ss.feed.Node] != ss {
			return
		}
		if ok {
			a := ss.stream.agent
			ss.stream.tell(a.guard(func() { a.daemon.committed(ss.stream, count) }))
		} else {
			ss.pending = append(cmds, ss.pending...)
		}
		m.commitReports(ss)
	})
}
