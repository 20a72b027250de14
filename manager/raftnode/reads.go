package raftnode

import (
	"crypto/rand"
	"encoding/binary"

	"go.etcd.io/raft/v3"
)

// maxReads is how many questions for the commit index may be on their way. Those who come meanwhile share the next one.
const maxReads = 2

// reads are those who wait until the state is as new as the group's was when they asked.
type reads struct {
	salt    [16]byte // makes questions of this run different from all others
	next    uint64
	waiting []chan error            // for the next question
	asked   map[string]question     // by the question's context
	applies map[uint64][]chan error // for an index to be applied
}

type question struct {
	at      uint64 // tick
	waiters []chan error
}

func newReads(id uint64) reads {
	r := reads{asked: map[string]question{}, applies: map[uint64][]chan error{}}
	binary.LittleEndian.PutUint64(r.salt[:], id)
	rand.Read(r.salt[8:])
	return r
}

func (r *reads) add() chan error {
	done := make(chan error, 1)
	r.waiting = append(r.waiting, done)
	return done
}

// read asks for the commit index on behalf of all who wait. A leader that has not applied its first entry yet waits: raft
// itself answers too early in a group of one.
func (c *core) read() {
	r := &c.reads
	if len(r.waiting) == 0 || c.lead == 0 || len(r.asked) >= maxReads || c.leading && !c.current() {
		return
	}
	r.next++
	ctx := binary.LittleEndian.AppendUint64(r.salt[:len(r.salt):len(r.salt)], r.next)
	r.asked[string(ctx)] = question{at: c.ticks, waiters: r.waiting}
	r.waiting = nil
	c.raw.ReadIndex(ctx)
}

// answer takes the commit index that the leader gave.
func (r *reads) answer(rs raft.ReadState, applied uint64) {
	q, ok := r.asked[string(rs.RequestCtx)]
	if !ok {
		return
	}
	delete(r.asked, string(rs.RequestCtx))
	r.applies[rs.Index] = append(r.applies[rs.Index], q.waiters...)
	r.appliedTo(applied)
}

// appliedTo lets go who waited for an index up to this.
func (r *reads) appliedTo(applied uint64) {
	for index, waiters := range r.applies {
		if index > applied {
			continue
		}
		for _, w := range waiters {
			w <- nil
		}
		delete(r.applies, index)
	}
}

// again asks once more: the leader is another.
func (r *reads) again() {
	for ctx, q := range r.asked {
		r.waiting = append(r.waiting, q.waiters...)
		delete(r.asked, ctx)
	}
}

// expire asks once more what has no answer for half an election timeout: the message may be lost.
func (r *reads) expire(now, election uint64) {
	for ctx, q := range r.asked {
		if now-q.at > election/2 {
			r.waiting = append(r.waiting, q.waiters...)
			delete(r.asked, ctx)
		}
	}
}

func (r *reads) fail(err error) {
	r.again()
	for _, waiters := range r.applies {
		r.waiting = append(r.waiting, waiters...)
	}
	clear(r.applies)
	for _, w := range r.waiting {
		w <- err
	}
	r.waiting = nil
}
