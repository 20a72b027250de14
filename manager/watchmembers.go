package manager

import (
	"context"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/pulse"
	"github.com/swarmnet/swarmnet/manager/raftnode"
	"github.com/swarmnet/swarmnet/manager/state"
)

const (
	// memberGrace is how long a manager may be unheard of, or a new leader may not have heard of it yet, before the sessions
	// that it holds count as lost.
	memberGrace = 1500 * time.Millisecond
	memberLook  = 500 * time.Millisecond
)

// watchMembers is the leader's care for the other managers: sessions that a dead one holds are closed, and who is a
// manager no more leaves the group.
func (m *Manager) watchMembers(ctx context.Context) error {
	look := time.NewTimer(pulse.In(memberLook))
	defer look.Stop()
	last := map[swarmnet.NodeID]time.Time{} // when a manager was last heard of, in this term
	begin := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			look.Reset(pulse.In(memberLook))
		}
		now, st, view := time.Now(), m.Raft(), m.View()
		for _, p := range st.Members {
			if p.Active {
				last[swarmnet.NodeID(p.NodeID)] = now
			}
		}
		alive := func(n swarmnet.NodeID) bool {
			heard, ok := last[n]
			if !ok {
				heard = begin
			}
			return now.Sub(heard) < memberGrace
		}
		m.closeLostSessions(ctx, view, alive)
		if id, ok := dismissed(view, st); ok {
			m.dismiss(ctx, id)
		}
	}
}

// closeLostSessions closes the sessions that managers hold which are not alive.
func (m *Manager) closeLostSessions(ctx context.Context, view *state.State, alive func(swarmnet.NodeID) bool) {
	var cmds []state.Command
	for n := range view.Nodes() {
		if n.Status.State == swarmnet.NodeReady && n.Status.Manager != "" && !alive(n.Status.Manager) {
			cmds = append(cmds, state.CloseSession{Node: n.ID, Epoch: n.Epoch, Manager: n.Status.Manager})
		}
	}
	if len(cmds) == 0 {
		return
	}
	if _, err := m.Propose(ctx, "leader", cmds...); err != nil && ctx.Err() == nil {
		m.log.Warn("cannot close lost sessions yet", "error", err)
	}
}

// dismissed returns one member of the group whose node is to be a manager no more, if the group can do without it: more
// than half of the voters that are left must be there.
func dismissed(view *state.State, st raftnode.Status) (raftnode.Member, bool) {
	for _, p := range st.Members {
		n, ok := view.Node(swarmnet.NodeID(p.NodeID))
		if ok && n.Spec.Role == swarmnet.RoleManager && (n.RaftID == p.ID || n.RaftID == 0) {
			continue
		}
		if !p.Voter {
			return p, true
		}
		voters, active := 0, 0
		for _, other := range st.Members {
			if other.ID != p.ID && other.Voter {
				voters++
				if other.Active {
					active++
				}
			}
		}
		if voters > 0 && active > voters/2 {
			return p, true
		}
	}
	return raftnode.Member{}, false
}

// dismiss takes a member out of the group. A leader that is dismissed hands over first, and leaves the rest to the next one.
func (m *Manager) dismiss(ctx context.Context, p raftnode.Member) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	node := m.node.Load()
	st := node.Status()
	if p.ID == st.ID {
		for _, other := range st.Members {
			if other.ID != p.ID && other.Voter && other.Active {
				m.log.Info("this manager is demoted: it hands over the lead", "to", other.NodeID)
				if err := node.TransferLeadership(ctx, other.ID); err != nil && ctx.Err() == nil {
					m.log.Warn("cannot hand over the lead yet", "error", err)
				}
				return
			}
		}
		return
	}
	m.log.Info("a manager leaves the group", "node", p.NodeID)
	if err := node.Remove(ctx, p.ID); err != nil {
		m.log.Warn("cannot take a manager out of the group yet", "node", p.NodeID, "error", err)
		return
	}
	if n, ok := m.View().Node(swarmnet.NodeID(p.NodeID)); ok && n.RaftID == p.ID {
		if _, err := m.Propose(ctx, "leader", state.ClearRaftID{Node: n.ID}, state.SetNodeRole{ID: n.ID, Role: swarmnet.RoleWorker}); err != nil {
			m.log.Warn("cannot record that a manager left the group", "node", p.NodeID, "error", err)
		}
	}
}
