package state

import (
	"iter"
	"strings"

	"github.com/tidwall/btree"
)

// table is an ordered map that is copied on write: copying the struct copies the table, as long as nobody writes to an
// original that is shared. own says that this copy has made its tree its own and may write to it in place.
type table[V any] struct {
	m   *btree.Map[string, V]
	own bool
}

func (t *table[V]) get(k string) (V, bool) {
	if t.m == nil {
		var zero V
		return zero, false
	}
	return t.m.Get(k)
}

func (t *table[V]) has(k string) bool {
	_, ok := t.get(k)
	return ok
}

func (t *table[V]) len() int {
	if t.m == nil {
		return 0
	}
	return t.m.Len()
}

func (t *table[V]) set(k string, v V) {
	t.fork()
	t.m.Set(k, v)
}

func (t *table[V]) delete(k string) {
	if t.has(k) {
		t.fork()
		t.m.Delete(k)
	}
}

func (t *table[V]) fork() {
	switch {
	case t.own:
		return
	case t.m == nil:
		t.m = btree.NewMap[string, V](16)
	default:
		// IsoCopy writes to the map that it copies; others may be reading that one, so it gets a copy to write to.
		m := *t.m
		t.m = m.IsoCopy()
	}
	t.own = true
}

// share makes the next write fork again: the table is about to be seen by others.
func (t *table[V]) share() { t.own = false }

// from walks the keys from k upwards. The table must not be written to meanwhile.
func (t *table[V]) from(k string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if t.m != nil {
			t.m.Ascend(k, yield)
		}
	}
}

// prefix walks the keys that begin with p.
func (t *table[V]) prefix(p string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for k, v := range t.from(p) {
			if !strings.HasPrefix(k, p) || !yield(k, v) {
				return
			}
		}
	}
}

func (t *table[V]) all() iter.Seq2[string, V] { return t.from("") }
