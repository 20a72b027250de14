package gossip

import (
	"errors"

	"github.com/swarmnet/swarmnet"
)

// Handle takes a message in and returns what is to be sent because of it. The error says what was wrong with parts of it;
// the rest has been taken in.
func (s *Speaker) Handle(m Message) ([]Out, error) {
	var reply Message
	err := s.takeBatches(m, &reply)
	s.compareHeads(m, &reply)
	for _, p := range m.Pulls {
		reply.Batches = append(reply.Batches, s.Since(p.Owner, p.Head)...)
	}
	if m.Root != 0 && m.Root != s.root() {
		d := s.digest
		reply.Buckets = d.Buckets[:]
	}
	if len(m.Buckets) > 0 {
		reply.Complete = s.digest.differ(m.Buckets)
		reply.Heads = append(reply.Heads, s.Heads(reply.Complete)...)
	}
	var out []Out
	if !reply.empty() && m.From != s.opt.Self {
		out = s.toAll([]swarmnet.NodeID{m.From}, reply)
	}
	return append(out, s.Publish()...), err
}

func (m *Message) empty() bool {
	return len(m.Batches)+len(m.Heads)+len(m.Pulls)+len(m.Buckets) == 0 && m.Root == 0 && m.Complete == 0
}

func (s *Speaker) takeBatches(m Message, reply *Message) error {
	var errs []error
	for _, b := range m.Batches {
		result, err := s.Receive(b)
		switch {
		case err != nil:
			errs = append(errs, err)
		case result == Applied:
			delete(s.pulled, b.Batch.Owner)
			s.heat(b.Batch.Owner)
			if len(s.peers) > smallCluster {
				s.relay = append(s.relay, b)
			}
		case result == Gap:
			s.pull(b.Batch.Owner, reply)
		}
	}
	return errors.Join(errs...)
}

// compareHeads pulls where the sender is ahead and sends where it is behind.
func (s *Speaker) compareHeads(m Message, reply *Message) {
	var named map[swarmnet.NodeID]bool
	if m.Complete != 0 {
		named = make(map[swarmnet.NodeID]bool, len(m.Heads))
	}
	for _, h := range m.Heads {
		if named != nil {
			named[h.Owner] = true
		}
		switch h.Head.Compare(s.Head(h.Owner)) {
		case 1:
			if s.Knows(h.Owner) {
				s.pull(h.Owner, reply)
			}
		case -1:
			reply.Batches = append(reply.Batches, s.Since(h.Owner, h.Head)...)
		}
	}
	if m.Complete == 0 {
		return
	}
	// The sender may not know these owners at all: it pulls them if it does.
	for _, h := range s.Heads(m.Complete) {
		if !named[h.Owner] {
			reply.Heads = append(reply.Heads, h)
		}
	}
}

// pull asks for what is missing of an owner, unless that has been asked a moment ago.
func (s *Speaker) pull(owner swarmnet.NodeID, reply *Message) {
	if at, ok := s.pulled[owner]; ok && s.tick-at < pullPatience {
		return
	}
	s.pulled[owner] = s.tick
	reply.Pulls = append(reply.Pulls, OwnerHead{Owner: owner, Head: s.Head(owner)})
}
