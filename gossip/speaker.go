package gossip

import (
	"math/rand/v2"
	"slices"

	"github.com/swarmnet/swarmnet"
)

// Figures of the spread.
const (
	// smallCluster is up to how many peers an owner sends its fresh rows to all of them.
	smallCluster = 16
	// fanout is to how many random peers news go otherwise, and heads at every tick.
	fanout = 4
	// pullPatience is after how many ticks a pull that brought nothing may be repeated.
	pullPatience = 3
	// maxMessage is about how many octets of batches one message carries.
	maxMessage = 256 << 10
)

// Out is a message to be sent.
type Out struct {
	To  swarmnet.NodeID
	Msg Message
}

// Speaker decides what a member tells whom: news at once, heads of what is new for a few ticks after, pulls of what is
// missing, and repair by digest. Any message may be lost. Like the table it is stepped: whoever runs it calls Tick every 200 ms
// unless it is Quiet, Repair every 5 s, Greet when a peer appears, and sends what each call returns.
type Speaker struct {
	*Table
	rnd    *rand.Rand
	peers  []swarmnet.NodeID // reachable, in order
	tick   uint64
	hot    []hot
	relay  []*Signed // accepted since the last tick
	pulled map[swarmnet.NodeID]uint64
}

// hot is an owner whose head rose lately.
type hot struct {
	owner swarmnet.NodeID
	ticks int // to go
}

// NewSpeaker returns the speaker of a table. rnd chooses peers.
func NewSpeaker(t *Table, rnd *rand.Rand) *Speaker {
	return &Speaker{Table: t, rnd: rnd, pulled: map[swarmnet.NodeID]uint64{}}
}

// SetPeers says which other members can be reached.
func (s *Speaker) SetPeers(peers []swarmnet.NodeID) {
	s.peers = slices.Clone(peers)
	slices.Sort(s.peers)
	s.peers = slices.DeleteFunc(slices.Compact(s.peers), func(p swarmnet.NodeID) bool { return p == s.opt.Self })
}

// Publish flushes the own rows and tells what is new of them.
func (s *Speaker) Publish() []Out {
	b := s.Flush()
	if b == nil {
		return nil
	}
	s.heat(s.opt.Self)
	to := s.peers
	if len(to) > smallCluster {
		to = s.some(fanout)
	}
	return s.toAll(to, Message{Batches: []*Signed{b}})
}

// Tick passes on what is new: in large clusters the batches themselves, always the heads, so that one who missed them pulls.
func (s *Speaker) Tick() []Out {
	s.tick++
	if len(s.hot) == 0 {
		return nil
	}
	var m Message
	for i := range s.hot {
		s.hot[i].ticks--
		m.Heads = append(m.Heads, OwnerHead{Owner: s.hot[i].owner, Head: s.Head(s.hot[i].owner)})
	}
	s.hot = slices.DeleteFunc(s.hot, func(h hot) bool { return h.ticks <= 0 })
	if len(s.peers) > smallCluster {
		m.Batches = s.relay
	}
	s.relay = nil
	return s.toAll(s.some(fanout), m)
}

// Quiet reports whether a Tick would say nothing and change nothing: it may be left out until something else was called.
func (s *Speaker) Quiet() bool {
	if len(s.hot) > 0 || len(s.relay) > 0 {
		return false
	}
	for _, at := range s.pulled { // patience is counted in ticks
		if s.tick-at < pullPatience {
			return false
		}
	}
	return true
}

// heat has the owner's head told for some ticks: more the larger the cluster is.
func (s *Speaker) heat(owner swarmnet.NodeID) {
	ticks := 2
	for n := len(s.peers); n > smallCluster; n /= 4 {
		ticks++
	}
	for i := range s.hot {
		if s.hot[i].owner == owner {
			s.hot[i].ticks = ticks
			return
		}
	}
	s.hot = append(s.hot, hot{owner: owner, ticks: ticks})
}

// Repair compares digests with a random peer.
func (s *Speaker) Repair() []Out { return s.toAll(s.some(1), Message{Root: s.root()}) }

// Greet compares digests with a peer that has just appeared.
func (s *Speaker) Greet(peer swarmnet.NodeID) []Out {
	return s.toAll([]swarmnet.NodeID{peer}, Message{Root: s.root()})
}

// root is never 0, which says nothing in a message.
func (s *Speaker) root() uint64 { return s.digest.Root() | 1 }

// some returns up to n random peers.
func (s *Speaker) some(n int) []swarmnet.NodeID {
	if n >= len(s.peers) {
		return s.peers
	}
	out := make([]swarmnet.NodeID, 0, n)
	for len(out) < n {
		if p := s.peers[s.rnd.IntN(len(s.peers))]; !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// toAll sends one message to several, cut where its batches are too large for one.
func (s *Speaker) toAll(to []swarmnet.NodeID, m Message) []Out {
	m.From = s.opt.Self
	var out []Out
	for _, part := range split(m) {
		for _, p := range to {
			out = append(out, Out{To: p, Msg: part})
		}
	}
	return out
}

func split(m Message) []Message {
	var parts []Message
	size, first := 0, 0
	for i, b := range m.Batches {
		if size += len(b.Payload); size > maxMessage && i > first {
			parts = append(parts, Message{From: m.From, Batches: m.Batches[first:i]})
			size, first = len(b.Payload), i
		}
	}
	m.Batches = m.Batches[first:] // the rest of the message goes with the last batches
	return append(parts, m)
}
