package gossip

import (
	"math/bits"
	"slices"

	"github.com/swarmnet/swarmnet"
)

// buckets is into how many parts a digest splits the owners.
const buckets = 64

// Digest sums up which heads a table holds, so that two tables find where they differ without listing all. A bucket is
// the exclusive or of its owners' hashes, hence kept up to date in constant time. The hash is not a cryptographic one:
// a collision costs one round of repair, and only members take part.
type Digest struct {
	Buckets [buckets]uint64
}

// Root is 0 only for the digest of an empty table.
func (d *Digest) Root() uint64 {
	var r uint64
	for i, b := range d.Buckets {
		if b != 0 {
			r ^= mix(b + uint64(i))
		}
	}
	return r
}

// differ returns the set of buckets, one a bit, in which d and other differ.
func (d *Digest) differ(other []uint64) uint64 {
	var set uint64
	for i := range d.Buckets {
		if i < len(other) && d.Buckets[i] != other[i] {
			set |= 1 << i
		}
	}
	return set
}

func (d *Digest) replace(owner uint64, old, now Head) {
	d.Buckets[owner%buckets] ^= headHash(owner, old) ^ headHash(owner, now)
}

func ownerHash(id swarmnet.NodeID) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := 0; i < len(id); i++ {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return mix(h)
}

func headHash(owner uint64, h Head) uint64 {
	if h == (Head{}) {
		return 0
	}
	return mix(mix(mix(owner^h.Version.Epoch)^bits.RotateLeft64(h.Version.Start, 17)) ^ h.Seq)
}

// mix is the finaliser of splitmix64: every bit of x reaches every bit of the result.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Digest returns the digest of what the table holds.
func (t *Table) Digest() Digest { return t.digest }

// Heads returns the heads of all owners in the given buckets (one a bit), by owner.
func (t *Table) Heads(set uint64) []OwnerHead {
	var out []OwnerHead
	for id, c := range t.chains {
		if c.head != (Head{}) && set&(1<<(c.hash%buckets)) != 0 {
			out = append(out, OwnerHead{Owner: id, Head: c.head})
		}
	}
	slices.SortFunc(out, func(a, b OwnerHead) int { return compareID(a.Owner, b.Owner) })
	return out
}

func compareID(a, b swarmnet.NodeID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
