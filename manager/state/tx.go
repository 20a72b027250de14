package state

import (
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
)

// Meta says of a command when it was proposed, by whom, and in which entry of the log.
type Meta struct {
	At    time.Time
	Actor string
	ID    [16]byte
}

// tx is a State that is being written to, with what was written. Commands check everything first and write then, so that
// there is nothing to undo.
type tx struct {
	s *State
	m Meta
	// draft leaves out the hash and the changes, which planners do not need.
	draft   bool
	begun   bool // the command under way has changed something
	result  Result
	changes []Change
	sums    map[string]func() // by object: brings its digest into the hash
	old     []indexEntry      // kept for reuse
	now     []indexEntry
}

func begin(s *State, m Meta) *tx {
	return &tx{s: s.copy(), m: m, sums: map[string]func(){}}
}

// do applies one command.
func (x *tx) do(c Command) Result {
	x.begun, x.result = false, Result{}
	r := &x.result
	switch {
	case c == nil:
		r.Err = reject(InvalidArgument, "an empty command")
	case x.s.cluster == nil && !isCreateCluster(c):
		r.Err = reject(FailedPrecondition, "there is no cluster yet: run swarmnet cluster init")
	default:
		r.Err = c.apply(x)
	}
	r.Revision, r.Changed = x.s.revision, x.begun
	return *r
}

func isCreateCluster(c Command) bool {
	_, ok := c.(CreateCluster)
	return ok
}

// commit brings the hash up to date and returns the State, which must not be written to again by this tx.
func (x *tx) commit() *State {
	for _, f := range x.sums {
		f() // sums of differences: the order does not matter
	}
	x.s.share()
	return x.s
}

// write raises the revision once a command, before its first change.
func (x *tx) write() {
	if !x.begun {
		x.begun = true
		x.s.revision++
	}
}

func (x *tx) stamp(m *swarmnet.Meta, old *swarmnet.Meta) {
	x.write()
	m.Updated, m.UpdatedAt = x.s.revision, x.m.At
	if old == nil {
		m.Created, m.CreatedAt = m.Updated, m.UpdatedAt
	} else {
		m.Created, m.CreatedAt = old.Created, old.CreatedAt
	}
}

func (x *tx) record(before, after Object) {
	if !x.draft {
		x.changes = append(x.changes, Change{Revision: x.s.revision, At: x.m.At, Actor: x.m.Actor, Before: before, After: after})
	}
}

// store is the part of putting and removing that all kinds of objects share. Either of before and after may be nil.
func store[T any](x *tx, t *table[*item[T]], kind Kind, id string, before *item[T], after *T, entries func(*State, T, emit)) {
	var it *item[T]
	if after != nil {
		it = &item[T]{v: *after}
		t.set(id, it)
	} else {
		t.delete(id)
	}
	if entries != nil {
		x.reindex(func(out emit) {
			if before != nil {
				entries(x.s, before.v, out)
			}
		}, func(out emit) {
			if it != nil {
				entries(x.s, it.v, out)
			}
		})
	}
	if x.draft {
		return
	}
	var prev, next Object
	if before != nil {
		prev = before.v
	}
	if it != nil {
		next = it.v
	}
	x.record(prev, next)
	addSum(x, t, kind, id, before)
}

// addSum takes the digest of an object as it was before this tx out of the hash, and that of what it will have become in.
func addSum[T any](x *tx, t *table[*item[T]], kind Kind, id string, before *item[T]) {
	key := string(kind) + sep + id
	if _, ok := x.sums[key]; ok {
		return
	}
	if before != nil {
		x.s.hash -= before.sum
	}
	x.sums[key] = func() {
		if it, ok := t.get(id); ok {
			it.sum = digestObject(it.v)
			x.s.hash += it.sum
		}
	}
}

type indexEntry struct {
	index      int
	key, value string
}

// reindex replaces index entries. What both sides have is left alone: an address that stays held is not freed between.
func (x *tx) reindex(before, after func(emit)) {
	old, now := x.old[:0], x.now[:0]
	before(func(i int, k, v string) { old = append(old, indexEntry{i, k, v}) })
	after(func(i int, k, v string) { now = append(now, indexEntry{i, k, v}) })
	for _, e := range old { // an object has few entries
		if !slices.Contains(now, e) && x.s.index[e.index].has(e.key) {
			x.s.index[e.index].delete(e.key)
			if e.index == byHolder {
				x.release(e.key)
			}
		}
	}
	for _, e := range now {
		if slices.Contains(old, e) {
			continue
		}
		x.s.index[e.index].set(e.key, e.value)
		if e.index == byHolder {
			x.hold(e.key)
		}
	}
	x.old, x.now = old, now
}
