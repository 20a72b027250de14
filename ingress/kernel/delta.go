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
		was, is := restrict(m.from, want)
		changes, ok, err = c.Change(ctx, &m.memo, build(was), build(is))
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
	old := make(map[PortKey]*ingress.Port, len(a))
	for i := range a {
		old[keyOf(a[i])] = &a[i]
	}
	shown := map[shape]bool{}
	for i := range b {
		k := keyOf(b[i])
		was, had := old[k]
		delete(old, k)
		switch {
		case !had:
			rb = append(rb, b[i])
		case !reflect.DeepEqual(*was, b[i]):
			ra, rb = append(ra, *was), append(rb, b[i])
		case !shown[shapeOf(b[i])]:
			shown[shapeOf(b[i])] = true
			ra, rb = append(ra, *was), append(rb, b[i])
		}
	}
	for _, p := range old {
		ra = append(ra, *p)
	}
	return ra, rb
}

// restrictVIPs does the same for virtual addresses.
func restrictVIPs(a, b ingress.VIPs) (ra, rb ingress.VIPs) {
	old := make(map[netip.Addr]*ingress.VIP, len(a))
	for i := range a {
		old[a[i].Addr] = &a[i]
	}
	shown := map[shape]bool{}
	for i := range b {
		was, had := old[b[i].Addr]
		delete(old, b[i].Addr)
		s := shape{b[i].Addr.Is6(), len(b[i].Backends), 0}
		switch {
		case !had:
			rb = append(rb, b[i])
		case !reflect.DeepEqual(*was, b[i]):
			ra, rb = append(ra, *was), append(rb, b[i])
		case !shown[s]:
			shown[s] = true
			ra, rb = append(ra, *was), append(rb, b[i])
		}
	}
	for _, v := range old {
		ra = append(ra, *v)
	}
	return ra, rb
}
