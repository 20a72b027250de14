package member

import (
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// SetEndpoint publishes what this node says of one of its endpoints.
func (m *Member) SetEndpoint(n swarmnet.NetworkID, ep swarmnet.EndpointID, state gossip.EndpointState) {
	key, value := gossip.EndpointKey(n, ep), gossip.EncodeEndpoint(state)
	m.own(func(s *gossip.Speaker) error { return s.Put(key, value) }, func() { m.early[key] = value })
}

// DeleteEndpoint withdraws what this node says of an endpoint.
func (m *Member) DeleteEndpoint(n swarmnet.NetworkID, ep swarmnet.EndpointID) {
	key := gossip.EndpointKey(n, ep)
	m.own(func(s *gossip.Speaker) error { s.Delete(key); return nil }, func() { delete(m.early, key) })
}

// own changes this node's rows: in the table, or in what the table will start with.
func (m *Member) own(change func(*gossip.Speaker) error, early func()) {
	m.mu.Lock()
	if m.speaker == nil {
		early()
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	m.speak(func(s *gossip.Speaker) []gossip.Out {
		if err := change(s); err != nil {
			m.log.Error("gossip cannot publish a row", "err", err)
			return nil
		}
		return s.Publish()
	})
}

// View returns the tables and the membership as they are now. It is a snapshot: nobody changes it.
func (m *Member) View() gossip.View {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view == nil {
		v := gossip.View{Nodes: m.liveness(), Endpoints: map[swarmnet.EndpointID]gossip.EndpointRow{}}
		if m.speaker != nil {
			v = m.speaker.View(v.Nodes)
		}
		m.view = &v
	}
	return *m.view
}

// Changed gets a value after each change of what View returns; changes that nobody has waited for are one.
func (m *Member) Changed() <-chan struct{} { return m.changed }

// liveness is what is known of the nodes that the managers name. One that has not been met within a while is as good as dead: a daemon that
// starts on a node which is cut off has never seen the others.
func (m *Member) liveness() map[swarmnet.NodeID]gossip.Liveness {
	out := map[swarmnet.NodeID]gossip.Liveness{m.cfg.NodeID: gossip.Alive}
	for id := range m.peers {
		n := m.seen[id]
		switch {
		case n != nil && n.alive:
			out[id] = gossip.Alive
		case n != nil || m.list != nil && time.Since(m.named[id]) >= strangerFor:
			out[id] = gossip.Dead
		}
	}
	return out
}
