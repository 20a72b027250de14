package state

import (
	"github.com/swarmnet/swarmnet"
)

// item is a stored object with the digest of its encoding, which is part of the state's hash.
type item[T any] struct {
	v   T
	sum uint64
}

// State is everything that the managers agree on. It is immutable and safe for concurrent readers.
type State struct {
	revision   uint64
	nextRaftID uint64
	hash       uint64 // the sum of the digests of all that is stored

	cluster   *item[swarmnet.Cluster]
	nodes     table[*item[swarmnet.Node]]
	networks  table[*item[swarmnet.Network]]
	services  table[*item[swarmnet.Service]]
	tasks     table[*item[swarmnet.Task]]
	endpoints table[*item[swarmnet.Endpoint]]

	freed   table[freed]  // network, address: what was held once
	entries table[*entry] // by entry id: what came of the last entries
	oldest  table[string] // by sequence: the ids of entries
	lastSeq uint64        // of entries

	// What follows from the above.
	index [indexes]table[string]
	queue table[struct{}] // network, due, address: freed in the order of reuse
	pools table[pool]     // network, family
}

// New returns the state before the first command: no cluster, nothing.
func New() *State { return &State{nextRaftID: 1} }

// Revision counts the commands that changed something.
func (s *State) Revision() uint64 { return s.revision }

// Hash is the same for equal states, and only by a chance of 2^-64 for different ones. It costs nothing.
func (s *State) Hash() uint64 {
	return s.hash + digest("revision", be64(s.revision)) + digest("raft", be64(s.nextRaftID)) + digest("sequence", be64(s.lastSeq))
}

// copy returns a State that may be written to; s stays as it is.
func (s *State) copy() *State {
	c := *s
	c.share()
	return &c
}

func (s *State) share() {
	s.nodes.share()
	s.networks.share()
	s.services.share()
	s.tasks.share()
	s.endpoints.share()
	s.freed.share()
	s.entries.share()
	s.oldest.share()
	s.queue.share()
	s.pools.share()
	for i := range s.index {
		s.index[i].share()
	}
}
