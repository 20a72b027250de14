package kernel

import (
	"slices"
	"sync"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
)

// served knows by the digest of its table whether IPVS is in a namespace as it is wished. The kernel tells nobody of changes in IPVS, so it is looked
// through every few seconds, and mostly nothing has changed: then no table is made, neither of the wish nor of what is there. What is kept of a wish
// follows from the wish alone; what is there is read each time.
type served[T any] struct {
	open  bool // clients of other hosts come
	equal func(a, b T) bool
	build func(T) ipvs.Table

	mu   sync.Mutex
	last map[string]asked[T] // by namespace path
}

type asked[T any] struct {
	of     T
	digest ipvs.Digest // of its table
}

func newServed[T any](open bool, equal func(a, b T) bool, build func(T) ipvs.Table) *served[T] {
	return &served[T]{open: open, equal: equal, build: build, last: map[string]asked[T]{}}
}

// diff returns what makes the services of ours in a namespace what is wanted. Each namespace is used by one goroutine at a time.
func (s *served[T]) diff(c *ipvs.Conn, ns string, ours func(ipvs.Key) bool, want T) ([]ipvs.Op, error) {
	s.mu.Lock()
	last, known := s.last[ns]
	s.mu.Unlock()
	if known && s.equal(last.of, want) {
		there, err := c.Digest(ours)
		if err != nil || there == last.digest {
			return nil, err
		}
	}
	have, err := c.Observe(ours)
	if err != nil {
		return nil, err
	}
	table := s.build(want)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.last) >= maxMemos {
		clear(s.last)
	}
	s.last[ns] = asked[T]{want, table.Digest()}
	return ipvs.Diff(have, table), nil
}

// of is what was last wanted of a namespace.
func (s *served[T]) of(ns string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.last[ns]
	return last.of, known
}

func (b balanced) equal(o balanced) bool {
	return slices.Equal(b.addrs, o.addrs) && slices.EqualFunc(b.ports, o.ports, ingress.Port.Equal)
}
