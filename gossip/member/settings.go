package member

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// Settings are what the managers say of the gossip.
type Settings struct {
	ClusterID swarmnet.ClusterID
	// Epoch is this node's (Node.Epoch): when it rises, the node publishes all of its rows again.
	Epoch uint64
	// Keys are those in force; the first one encrypts.
	Keys []swarmnet.GossipKey
	// Peers are the nodes that may be members: nobody else is let in, and their rows are forgotten. This node may be among them.
	Peers []PeerInfo
}

// PeerInfo is a node that may be a member.
type PeerInfo struct {
	NodeID     swarmnet.NodeID
	GossipAddr netip.AddrPort
	PubKey     []byte // Ed25519
}

// Configure puts settings in force. Nothing starts before the first ones with a cluster and a key. Settings that cannot be put in
// force are refused, and the old ones stay.
func (m *Member) Configure(s Settings) error {
	if s.ClusterID == "" || len(s.Keys) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.speaker != nil && s.ClusterID != m.set.ClusterID {
		return fmt.Errorf("gossip: this member is of cluster %s: one of cluster %s must be made anew", m.set.ClusterID, s.ClusterID)
	}
	ring, err := configureKeys(m.keyring, s.Keys)
	if err != nil {
		return err
	}
	first := m.speaker == nil
	m.keyring, m.set = ring, s
	if first {
		m.speaker = newSpeaker(m.cfg, s.ClusterID)
		for k, v := range m.early {
			if err := m.speaker.Put(k, v); err != nil {
				m.log.Error("gossip cannot publish a row", "err", err)
			}
		}
		m.early = nil
		close(m.ready)
	}
	news := m.setPeers(s.Peers)
	m.speaker.Restart(gossip.Version{Epoch: s.Epoch, Start: m.start})
	m.say(m.speaker.Publish())
	if news {
		poke(m.contact)
	}
	// The same settings once more change nothing: whoever calls for each change of the view must not wake itself.
	if g := m.speaker.Generation(); news || g != m.viewGen {
		m.viewGen = g
		m.touch()
	}
	return nil
}

// setPeers puts the list of nodes in force and reports whether it is another one. mu is held.
func (m *Member) setPeers(peers []PeerInfo) bool {
	old := m.peers
	m.peers = make(map[swarmnet.NodeID]PeerInfo, len(peers))
	keys := map[swarmnet.NodeID]ed25519.PublicKey{}
	for _, p := range peers {
		if p.NodeID != m.cfg.NodeID {
			m.peers[p.NodeID] = p
			keys[p.NodeID] = ed25519.PublicKey(p.PubKey)
			if _, known := old[p.NodeID]; !known {
				m.named[p.NodeID] = time.Now()
				time.AfterFunc(strangerFor, m.lookAgain)
			}
		}
	}
	keys[m.cfg.NodeID] = m.cfg.Key.Public().(ed25519.PublicKey)
	m.speaker.SetOwners(keys)
	m.reachable()
	return old == nil || !maps.EqualFunc(old, m.peers, func(a, b PeerInfo) bool {
		return a.GossipAddr == b.GossipAddr && bytes.Equal(a.PubKey, b.PubKey)
	})
}

// lookAgain has the view made anew: time has passed.
func (m *Member) lookAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.touch()
}

// reachable tells the speaker who can be reached. mu is held.
func (m *Member) reachable() {
	var ids []swarmnet.NodeID
	for id, n := range m.seen {
		if _, ok := m.peers[id]; ok && n.alive {
			ids = append(ids, id)
		}
	}
	m.speaker.SetPeers(ids)
}

// configureKeys makes ring hold exactly keys, the first one in use. The order of steps keeps every message readable: first all
// new ones are accepted, then one is used, then the old ones are dropped.
func configureKeys(ring *memberlist.Keyring, keys []swarmnet.GossipKey) (*memberlist.Keyring, error) {
	for _, k := range keys {
		if err := memberlist.ValidateKey(k.Key); err != nil {
			return nil, fmt.Errorf("gossip: key %d: %w", k.ID, err)
		}
	}
	if ring == nil {
		var all [][]byte
		for _, k := range keys {
			all = append(all, k.Key)
		}
		return memberlist.NewKeyring(all, keys[0].Key)
	}
	var errs []error
	for _, k := range keys {
		errs = append(errs, ring.AddKey(k.Key))
	}
	errs = append(errs, ring.UseKey(keys[0].Key))
	for _, old := range slices.Clone(ring.GetKeys()) {
		if !slices.ContainsFunc(keys, func(k swarmnet.GossipKey) bool { return bytes.Equal(k.Key, old) }) {
			errs = append(errs, ring.RemoveKey(old))
		}
	}
	return ring, errors.Join(errs...)
}
