package kernel

import (
	"context"
	"net/netip"
	"reflect"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// made is what tables were last made from. As long as nobody else touches the namespace's tables, another wish costs as much as it differs.
type made[T any] struct {
	memo nft.Memo
	from T
	have bool
}

// ensure makes the tables what build says of want. restrict leaves out of two wishes, both alike, what makes no difference between their tables.
func (m *made[T]) ensure(ctx context.Context, c *nft.Conn, want T, restrict func(a, b T) (T, T), build func(T) []nft.Table) (changes int, err error) {
	dry, ok := plan.From(ctx).IsDry(), false
	if m.have {
		var was, is []nft.Table
		if a, b := restrict(m.from, want); !reflect.DeepEqual(a, b) { // mostly they are, and only others may have changed anything
			was, is = build(a), build(b)
		}
		changes, ok, err = c.Change(ctx, &m.memo, was, is)
	}
	if !ok && err == nil {
		changes, err = c.Ensure(ctx, &m.memo, build(want)...)
	}
	if err != nil || dry {
		m.have = m.have && dry
		return changes, err
	}
	m.from, m.have = want, true
	return changes, nil
}

// shape is what a port needs of a table beside its own elements: the chains that pick one of so many backends.
type shape struct {
	one    bool // of the host's addresses
	v4, v6 int  // backends
}

func shapeOf(p ingress.Port) shape {
	s := shape{one: p.HostIP.IsValid()}
	for _, b := range p.Backends {
		if b.Addr.Is6() {
			s.v6++
		} else {
			s.v4++
		}
	}
	return s
}

// restrictPorts leaves the ports that differ, and of the others one of each shape.
func restrictPorts(a, b []ingress.Port) (ra, rb []ingress.Port) {
	return restrict(a, b, keyOf, shapeOf, ingress.Port.Equal)
}

// restrictVIPs does the same for virtual addresses.
func restrictVIPs(a, b ingress.VIPs) (ra, rb ingress.VIPs) {
	return restrict(a, b, func(v ingress.VIP) netip.Addr { return v.Addr }, func(v ingress.VIP) shape { return shape{v.Addr.Is6(), len(v.Backends), 0} }, ingress.VIP.Equal)
}

// restrict leaves out of two lists what has the same key in both and is equal, but one of each shape. Both are mostly the same in the same order: only
// what is between the first that differs and the last is looked up.
func restrict[T any, K, S comparable](a, b []T, key func(T) K, shape func(T) S, equal func(a, b T) bool) (ra, rb []T) {
	first := 0
	for first < len(a) && first < len(b) && equal(a[first], b[first]) {
		first++
	}
	last := 0 // counted from the end
	for last < min(len(a), len(b))-first && equal(a[len(a)-1-last], b[len(b)-1-last]) {
		last++
	}
	old := make(map[K]T, len(a)-last-first)
	for _, v := range a[first : len(a)-last] {
		old[key(v)] = v
	}
	shown := map[S]bool{}
	for i, v := range b {
		if i < first || i >= len(b)-last {
			if s := shape(v); !shown[s] {
				shown[s] = true
				ra, rb = append(ra, v), append(rb, v)
			}
			continue
		}
		k := key(v)
		was, had := old[k]
		delete(old, k)
		switch s := shape(v); {
		case !had:
			rb = append(rb, v)
		case !equal(was, v):
			ra, rb = append(ra, was), append(rb, v)
		case !shown[s]:
			shown[s] = true
			ra, rb = append(ra, was), append(rb, v)
		}
	}
	for _, v := range old {
		ra = append(ra, v)
	}
	return ra, rb
}
