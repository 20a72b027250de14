package simulation

import (
	"cmp"
	"crypto/ed25519"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// Figures of the membership, as package gossip/member has them.
const (
	deadFirst, deadLast     = 2500 * time.Millisecond, 4 * time.Second
	rejoinFirst, rejoinLast = 100 * time.Millisecond, 2300 * time.Millisecond
	strangerFor             = 5 * time.Second
	tickPeriod              = 200 * time.Millisecond
	repairPeriod            = 5 * time.Second
	maxPacket               = 1200 // octets; more goes by TCP
)

// gossiper is a daemon's part in the gossip.
type gossiper struct {
	d       *daemon
	speaker *gossip.Speaker // nil until the cluster is known
	started uint64
	peers   map[swarmnet.NodeID]bool          // whom the managers name
	named   map[swarmnet.NodeID]time.Duration // since when
	seen    map[swarmnet.NodeID]bool          // alive, or dead
	early   map[gossip.RowKey][]byte
	shown   uint64
}

func newGossiper(d *daemon) *gossiper {
	return &gossiper{d: d, started: uint64(d.w.now) + 1, peers: map[swarmnet.NodeID]bool{}, named: map[swarmnet.NodeID]time.Duration{}, seen: map[swarmnet.NodeID]bool{}, early: map[gossip.RowKey][]byte{}}
}

func (g *gossiper) begin() {
	g.d.periodic(tickPeriod, func() { g.speak((*gossip.Speaker).Tick) })
	g.d.periodic(repairPeriod, func() { g.speak((*gossip.Speaker).Repair) })
}

// checksum stands in for a signature.
func checksum(message []byte) []byte {
	h := fnv.New64a()
	h.Write(message)
	return h.Sum(nil)
}

func verify(_ ed25519.PublicKey, message, sig []byte) bool {
	return string(checksum(message)) == string(sig)
}

// configure puts in force what the set says of the gossip.
func (g *gossiper) configure() {
	d := g.d
	epoch := d.epoch
	if epoch == 0 {
		epoch = d.set.Nodes[d.id].Epoch
	}
	if g.speaker == nil {
		g.speaker = gossip.NewSpeaker(gossip.NewTable(gossip.Options{Cluster: d.set.Cluster.ID, Self: d.id, Sign: checksum, Verify: verify}), d.w.rnd)
		for _, k := range slices.SortedFunc(maps.Keys(g.early), func(a, b gossip.RowKey) int {
			return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Name, b.Name))
		}) {
			if err := g.speaker.Put(k, g.early[k]); err != nil {
				panic(err)
			}
		}
	}
	keys, peers := map[swarmnet.NodeID]ed25519.PublicKey{}, map[swarmnet.NodeID]bool{}
	for id, n := range d.set.Nodes {
		if n.Description.GossipAddr.IsValid() || id == d.id {
			keys[id] = n.Description.GossipPubKey
		}
		if id != d.id && n.Description.GossipAddr.IsValid() {
			peers[id] = true
			if _, known := g.named[id]; !known {
				g.named[id] = d.w.now
				d.w.after(strangerFor, d.guard(d.changed))
			}
		}
	}
	keys[d.id] = []byte(d.id)
	if !maps.Equal(peers, g.peers) {
		g.peers = peers
		g.speaker.SetOwners(keys)
		g.reachable()
		d.w.memberships()
	}
	g.speaker.Restart(gossip.Version{Epoch: epoch, Start: g.started})
	g.send(g.speaker.Publish())
	g.shown = g.speaker.Generation()
}

// reachable tells the speaker who is a member.
func (g *gossiper) reachable() {
	if g.speaker == nil {
		return
	}
	var ids []swarmnet.NodeID
	for _, id := range sorted(g.seen) {
		if g.seen[id] && g.peers[id] {
			ids = append(ids, id)
		}
	}
	g.speaker.SetPeers(ids)
}

// note takes in what the membership says of another node.
func (g *gossiper) note(id swarmnet.NodeID, alive bool) {
	was, known := g.seen[id]
	if known && was == alive || !known && !alive {
		return
	}
	g.seen[id] = alive
	g.reachable()
	if alive && g.speaker != nil {
		g.send(g.speaker.Greet(id))
	}
	g.d.changed()
}

func (g *gossiper) view() gossip.View {
	nodes := map[swarmnet.NodeID]gossip.Liveness{g.d.id: gossip.Alive}
	for id := range g.peers {
		alive, seen := g.seen[id]
		switch {
		case alive:
			nodes[id] = gossip.Alive
		case seen || g.d.w.now-g.named[id] >= strangerFor:
			nodes[id] = gossip.Dead
		}
	}
	return g.speaker.View(nodes)
}

func (g *gossiper) put(n swarmnet.NetworkID, ep swarmnet.EndpointID, state gossip.EndpointState) {
	k, v := gossip.EndpointKey(n, ep), gossip.EncodeEndpoint(state)
	if g.speaker == nil {
		g.early[k] = v
		return
	}
	g.speak(func(s *gossip.Speaker) []gossip.Out {
		if err := s.Put(k, v); err != nil {
			panic(err)
		}
		return s.Publish()
	})
}

func (g *gossiper) remove(n swarmnet.NetworkID, ep swarmnet.EndpointID) {
	k := gossip.EndpointKey(n, ep)
	delete(g.early, k)
	g.speak(func(s *gossip.Speaker) []gossip.Out { s.Delete(k); return s.Publish() })
}

// speak steps the speaker and sends what it says.
func (g *gossiper) speak(step func(*gossip.Speaker) []gossip.Out) {
	if g.speaker == nil {
		return
	}
	g.send(step(g.speaker))
	if now := g.speaker.Generation(); now != g.shown {
		g.shown = now
		g.d.changed()
	}
}

func (g *gossiper) send(outs []gossip.Out) {
	w := g.d.w
	for _, o := range outs {
		to := w.byID[o.To]
		if !g.seen[o.To] || !w.talks(g.d.node, to) {
			continue
		}
		size := 0
		for _, b := range o.Msg.Batches {
			size += len(b.Payload)
		}
		if size < maxPacket && w.rnd.Float64() < w.loss {
			continue
		}
		from := g.d.node
		w.after(w.between(0, latency), to.guard(func() {
			if w.reaches(from, to) && to.daemon.gossip.speaker != nil {
				to.daemon.gossip.handle(o.Msg)
			}
		}))
	}
}

func (g *gossiper) handle(m gossip.Message) {
	g.speak(func(s *gossip.Speaker) []gossip.Out {
		outs, err := s.Handle(m)
		_ = err // a batch of one whom the managers have not named yet: repair brings it
		return outs
	})
}

// memberships has every pair of daemons notice, a while later, whether they reach each other.
func (w *World) memberships() {
	for i, a := range w.nodes {
		for _, b := range w.nodes[:i] {
			if a.daemon != nil || b.daemon != nil {
				w.membership(a, b)
			}
		}
	}
}

func (w *World) membership(a, b *node) {
	now := w.talks(a, b)
	says := func(of, about *node) bool { return of.daemon == nil || of.daemon.gossip.seen[about.id] == now }
	if says(a, b) && says(b, a) {
		return
	}
	d := w.between(deadFirst, deadLast)
	if now {
		d = w.between(rejoinFirst, rejoinLast)
	}
	lives := [2]int{a.life, b.life}
	w.after(d, func() {
		if w.talks(a, b) != now || lives != [2]int{a.life, b.life} {
			return
		}
		for _, pair := range [][2]*node{{a, b}, {b, a}} {
			of, about := pair[0], pair[1]
			if of.daemon != nil && (!now || of.daemon.gossip.peers[about.id] && about.daemon.gossip.peers[of.id]) {
				of.daemon.gossip.note(about.id, now)
			}
		}
	})
}

func sorted[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
