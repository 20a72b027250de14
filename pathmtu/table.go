package pathmtu

import (
	"net/netip"
	"time"

	"github.com/swarmnet/swarmnet"
)

const (
	// CheckEvery is how often a way is looked at.
	CheckEvery = 20 * time.Second
	// RaiseEvery is how often a way on which large packets get lost is searched anew, for it may have become a little better (RFC 8899's
	// PMTU_RAISE_TIMER). That it takes all again is seen by every check.
	RaiseEvery = 10 * time.Minute
)

// Table is what is known of the ways to the other nodes. The zero Table knows nothing.
type Table struct {
	ways map[swarmnet.NodeID]way
}

type way struct {
	vtep     netip.Addr
	size     int // 0: it was silent, always
	checked  time.Time
	searched time.Time
}

// Due are the peers whose ways are to be looked at now.
func (t *Table) Due(peers []Peer, now time.Time) []Peer {
	var out []Peer
	for _, p := range peers {
		if w, ok := t.ways[p.Node]; !ok || w.vtep != p.VTEP || now.Sub(w.checked) >= CheckEvery {
			out = append(out, p)
		}
	}
	return out
}

// Last is what arrived at a peer the last time; 0: the way is to be searched anew.
func (t *Table) Last(p Peer, now time.Time) int {
	w := t.ways[p.Node]
	if w.vtep != p.VTEP || now.Sub(w.searched) >= RaiseEvery {
		return 0
	}
	return w.size
}

// Note takes down what arrives at a peer; 0: it was silent, and what was known of it stays.
func (t *Table) Note(p Peer, size int, now time.Time) {
	w := t.ways[p.Node]
	if w.vtep != p.VTEP {
		w = way{vtep: p.VTEP}
	}
	if size > 0 && (size != w.size || now.Sub(w.searched) >= RaiseEvery) {
		w.size, w.searched = size, now
	}
	w.checked = now
	if t.ways == nil {
		t.ways = map[swarmnet.NodeID]way{}
	}
	t.ways[p.Node] = w
}

// MTU is the least size over the ways to peers; 0: nothing is known of any. Other nodes are forgotten.
func (t *Table) MTU(peers []Peer) int {
	kept, least := map[swarmnet.NodeID]way{}, 0
	for _, p := range peers {
		w, ok := t.ways[p.Node]
		if !ok || w.vtep != p.VTEP {
			continue
		}
		kept[p.Node] = w
		if w.size > 0 && (least == 0 || w.size < least) {
			least = w.size
		}
	}
	t.ways = kept
	return least
}
