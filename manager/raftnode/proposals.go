package raftnode

import (
	"cmp"
	"crypto/rand"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

const (
	entryVersion = 1
	entryHead    = 1 + 16 // the version, the proposal's id
	// What goes to raft as one message.
	batchEntries = 1024
	batchBytes   = 512 << 10
)

// proposal is an entry that one waits for.
type proposal struct {
	id    [16]byte
	typ   pb.EntryType
	data  []byte // of the entry
	seq   uint64 // order of arrival
	sent  uint64 // the tick; meaningful when queued is false
	queue bool   // it is to be sent
	done  chan result
}

type result struct {
	value any
	err   error
}

// proposals are those that have no answer yet.
type proposals struct {
	pending map[[16]byte]*proposal
	unsent  []*proposal
	bytes   int64
	seq     uint64
}

func newProposals() proposals { return proposals{pending: map[[16]byte]*proposal{}} }

func newProposal(data []byte) *proposal {
	p := &proposal{typ: pb.EntryNormal, done: make(chan result, 1)}
	rand.Read(p.id[:])
	p.data = append(append(append(make([]byte, 0, entryHead+len(data)), entryVersion), p.id[:]...), data...)
	return p
}

// decodeEntry returns the proposal in a normal entry.
func decodeEntry(e *pb.Entry) (Entry, bool) {
	b := e.GetData()
	if len(b) < entryHead || b[0] != entryVersion {
		return Entry{}, false
	}
	out := Entry{Index: e.GetIndex(), Term: e.GetTerm(), Data: b[entryHead:]}
	copy(out.ID[:], b[1:])
	return out, true
}

func (ps *proposals) add(p *proposal) {
	ps.seq++
	p.seq = ps.seq
	ps.pending[p.id] = p
	ps.bytes += int64(len(p.data))
	ps.enqueue(p)
}

func (ps *proposals) enqueue(p *proposal) {
	if !p.queue {
		p.queue = true
		ps.unsent = append(ps.unsent, p)
	}
}

// finish answers a proposal, if it is one of this node's.
func (ps *proposals) finish(id [16]byte, r result) {
	if p := ps.pending[id]; p != nil {
		ps.drop(p)
		p.done <- r
	}
}

// drop forgets a proposal: it was answered, or nobody waits any more.
func (ps *proposals) drop(p *proposal) {
	if ps.pending[p.id] == p {
		delete(ps.pending, p.id)
		ps.bytes -= int64(len(p.data))
	}
}

// again queues all that were sent, in the order in which they came: their leader may have lost them.
func (ps *proposals) again() {
	ps.unsent = nil
	for _, p := range ps.pending {
		p.queue = false
		ps.enqueue(p)
	}
	slices.SortFunc(ps.unsent, func(a, b *proposal) int { return cmp.Compare(a.seq, b.seq) })
}

// expire queues those without an answer for long: the message to the leader may be lost. A change of members, of which a
// leader refuses all but one at a time without a word, is tried again sooner.
func (ps *proposals) expire(now, election uint64) {
	for _, p := range ps.pending {
		wait := 2 * election
		if p.typ != pb.EntryNormal {
			wait = max(1, election/5)
		}
		if !p.queue && now-p.sent >= wait {
			ps.enqueue(p)
		}
	}
}

// fail answers all.
func (ps *proposals) fail(err error) {
	for _, p := range ps.pending {
		ps.finish(p.id, result{err: err})
	}
	ps.unsent = nil
}

// batch takes the next proposals that go as one message.
func (ps *proposals) batch() []*proposal {
	var out []*proposal
	size := 0
	for len(ps.unsent) > 0 {
		p := ps.unsent[0]
		alone := p.typ != pb.EntryNormal
		if ps.pending[p.id] == p {
			if len(out) > 0 && (alone || len(out) == batchEntries || size+len(p.data) > batchBytes) {
				break
			}
			out = append(out, p)
			size += len(p.data)
		}
		p.queue = false
		ps.unsent = ps.unsent[1:]
		if alone && len(out) > 0 {
			break
		}
	}
	return out
}

// propose gives raft what waits, if there is a leader to take it.
func (c *core) propose() {
	for c.lead != 0 && len(c.proposals.unsent) > 0 {
		batch := c.proposals.batch()
		if len(batch) == 0 {
			return
		}
		id := c.cfg.ID
		m := &pb.Message{Type: pb.MsgProp.Enum(), From: &id}
		for _, p := range batch {
			m.Entries = append(m.Entries, &pb.Entry{Type: p.typ.Enum(), Data: p.data})
			p.sent = c.ticks
		}
		if err := c.raw.Step(m); err != nil {
			// Dropped: the leader has too much that is not committed, or is handing over. They go to the front again.
			for _, p := range batch {
				p.queue = true
			}
			c.proposals.unsent = append(batch, c.proposals.unsent...)
			return
		}
	}
}
