package manager

import (
	"errors"
	"sync"
)

// errCompacted is what a watcher gets whose next change is not retained any more: it must read the whole state again.
var errCompacted = errors.New("compacted: the changes since that revision are not retained any more")

// ring holds the last changes, by revision, for any number of readers, each with its own place. It never waits for one.
type ring[T any] struct {
	mu      sync.Mutex
	entries []ringEntry[T] // ascending by revision
	size    int
	dropped uint64        // the highest revision that is not retained
	last    uint64        // the highest revision of all
	wake    chan struct{} // closed at the next append
}

type ringEntry[T any] struct {
	revision uint64
	value    T
}

// newRing makes a ring that retains the last size entries after a revision.
func newRing[T any](size int, revision uint64) *ring[T] {
	return &ring[T]{size: size, dropped: revision, last: revision, wake: make(chan struct{})}
}

// append adds what changed at one revision.
func (r *ring[T]) append(revision uint64, values ...T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		r.entries = append(r.entries, ringEntry[T]{revision, v})
	}
	r.last = max(r.last, revision)
	// Cut in steps of a whole size, so that an entry is moved once on average.
	if len(r.entries) > 2*r.size {
		cut := len(r.entries) - r.size
		r.dropped = r.entries[cut-1].revision
		// A revision is retained whole or not at all.
		for cut < len(r.entries) && r.entries[cut].revision == r.dropped {
			cut++
		}
		r.entries = append([]ringEntry[T](nil), r.entries[cut:]...)
	}
	close(r.wake)
	r.wake = make(chan struct{})
}

// reset forgets everything: the state was replaced by one of another revision.
func (r *ring[T]) reset(revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.dropped, r.last = nil, revision, revision
	close(r.wake)
	r.wake = make(chan struct{})
}

// since returns the values after a revision, the revision that they lead to, and a channel that is closed when there is more.
func (r *ring[T]) since(revision uint64) (values []T, upTo uint64, more <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if revision < r.dropped {
		return nil, 0, nil, errCompacted
	}
	first := len(r.entries)
	for first > 0 && r.entries[first-1].revision > revision {
		first--
	}
	for _, e := range r.entries[first:] {
		values = append(values, e.value)
	}
	return values, max(r.last, revision), r.wake, nil
}

// retained is the lowest revision that since answers for.
func (r *ring[T]) retained() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// next returns a channel that is closed at the next append or reset.
func (r *ring[T]) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wake
}
