package gossip

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/swarmnet/swarmnet"
)

// own is this node's side of the table: its rows, and which of their changes are not signed yet.
type own struct {
	version Version
	given   Version // by Restart; version is above it once this node has met an earlier life of its own
	seq     uint64
	rows    map[RowKey][]byte
	fresh   map[RowKey]struct{} // changed since the last Flush
	whole   bool                // the next batch carries the whole state
}

// Put sets one of this node's rows. Flush makes it known. A row that others would refuse is refused here.
func (t *Table) Put(k RowKey, value []byte) error {
	old, ok := t.own.rows[k]
	switch {
	case ok && bytes.Equal(old, value):
		return nil
	case !k.valid() || len(value) > maxValue:
		return fmt.Errorf("%w: row %.64q of network %.64q with %d octets", ErrMalformed, k.Name, k.Network, len(value))
	case !ok && len(t.own.rows) >= t.opt.Quota.Rows:
		return fmt.Errorf("row %s: %w: this node publishes %d", k.Name, ErrQuota, len(t.own.rows))
	}
	t.own.rows[k] = slices.Clone(value)
	t.own.touch(k)
	return nil
}

// Delete removes one of this node's rows. Flush makes it known.
func (t *Table) Delete(k RowKey) {
	if _, ok := t.own.rows[k]; !ok {
		return
	}
	delete(t.own.rows, k)
	t.own.touch(k)
}

func (o *own) touch(k RowKey) {
	if o.fresh == nil {
		o.fresh = map[RowKey]struct{}{}
	}
	o.fresh[k] = struct{}{}
}

// Restart begins a new life of this node's rows: the next Flush publishes all of them. An older version than the one
// in force is ignored.
func (t *Table) Restart(v Version) {
	if v.compare(t.own.version) > 0 {
		t.own.given = v
		t.own.restart(v)
	}
}

func (o *own) restart(v Version) { o.version, o.seq, o.whole = v, 0, true }

// outlive begins a life that is newer than v, which this node lived before it lost its memory. By how much it is newer depends
// on the version given to this life: another life that met v, too, and was forgotten since, must not have had the same.
func (o *own) outlive(v Version) {
	o.restart(Version{Epoch: max(v.Epoch, o.version.Epoch), Start: v.Start + 1 + mix(o.given.Start)%(1<<20)})
}

// Flush signs what has changed of this node's rows and returns it, for all others to receive; nil when nothing has, or
// before the first Restart. Once the changes kept outnumber the rows by far, it returns the whole state, so that
// everybody may forget the changes: that costs a constant factor over all changes.
func (t *Table) Flush() *Signed {
	o := &t.own
	if o.version == (Version{}) || len(o.fresh) == 0 && !o.whole {
		return nil
	}
	c := t.chains[t.opt.Self]
	if c == nil {
		c = &chain{hash: ownerHash(t.opt.Self)}
	}
	b := Batch{Owner: t.opt.Self, Version: o.version, From: o.seq}
	if o.whole || c.changes+len(o.fresh) > 2*len(o.rows)+128 {
		b.From = 0
		b.Changes = wholeState(o.rows)
		b.To = max(o.seq+uint64(max(1, len(o.fresh))), uint64(len(b.Changes)))
	} else {
		for _, k := range slices.SortedFunc(maps.Keys(o.fresh), RowKey.compare) {
			value, ok := o.rows[k]
			b.Changes = append(b.Changes, Change{Key: k, Deleted: !ok, Value: value})
		}
		b.To = b.From + uint64(len(b.Changes))
	}
	o.seq, o.fresh, o.whole = b.To, nil, false
	s := sign(t.opt.Cluster, t.opt.Sign, b)
	t.extend(t.opt.Self, c, s)
	return s
}

func wholeState(rows map[RowKey][]byte) []Change {
	out := make([]Change, 0, len(rows))
	for _, k := range slices.SortedFunc(maps.Keys(rows), RowKey.compare) {
		out = append(out, Change{Key: k, Value: rows[k]})
	}
	return out
}

// Rows returns the rows of an owner, as far as its state is held.
func (t *Table) Rows(owner swarmnet.NodeID) map[RowKey][]byte {
	out := map[RowKey][]byte{}
	if c := t.chains[owner]; c != nil {
		c.fold(out)
	}
	return out
}

func (c *chain) fold(rows map[RowKey][]byte) {
	for _, s := range c.batches {
		for _, ch := range s.Batch.Changes {
			if ch.Deleted {
				delete(rows, ch.Key)
			} else {
				rows[ch.Key] = ch.Value
			}
		}
	}
}
