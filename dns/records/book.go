package records

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/changes"
)

// Book computes what Compute does, one state after the other, at the cost of what changed. It is used by one goroutine. The zero value is ready.
type Book struct {
	from *changes.Step
	last *Records // nil: none yet
}

// mostNewer bounds how many names of a zone are kept beside those that zones share.
const mostNewer = 2000

// Compute derives the names of a node's networks.
func (b *Book) Compute(to *changes.Step) *Records {
	next, ok := b.step(to)
	if !ok {
		next = Compute(to.Set, to.View)
	}
	b.from, b.last = to, next
	return next
}

// step goes on from the last records; it reports false when it cannot tell from the services that changed alone.
func (b *Book) step(to *changes.Step) (*Records, bool) {
	changed, ok := to.Since(b.from)
	if !ok || changed.None() {
		return b.last, ok
	}
	was, is := Compute(changed.Was.Set, changed.Was.View), Compute(changed.Is.Set, changed.Is.View)
	out := &Records{zones: make(map[swarmnet.NetworkID]*zone, len(b.last.zones))}
	for id, z := range b.last.zones {
		if out.zones[id], ok = z.replace(was.zones[id], is.zones[id]); !ok {
			return nil, false
		}
	}
	return out, true
}

// replace returns the zone with what is in the place of what was, unless other services have to do with the names.
func (z *zone) replace(was, is *zone) (*zone, bool) {
	if len(z.newer)+len(z.newerServed)+len(was.names)+len(is.names) > mostNewer {
		return nil, false
	}
	out := &zone{
		suffix: z.suffix, names: z.names, byAddr: z.byAddr, servers: z.servers,
		newer: maps.Clone(z.newer), newerByAddr: maps.Clone(z.newerByAddr), newerServed: maps.Clone(z.newerServed),
	}
	if out.newer == nil {
		out.newer, out.newerByAddr, out.newerServed = map[string]*entry{}, map[netip.Addr]string{}, map[string]served{}
	}
	for key := range was.servers { // two services that serve a port under one name share the name, too
		out.newerServed[key] = served{gone: true}
	}
	for key, by := range is.servers {
		out.newerServed[key] = served{by: by}
	}
	for name, e := range was.names {
		if have := z.find(name); have == nil || have.shared || !have.equal(e) {
			return nil, false
		}
		out.newer[name] = nil
	}
	for addr, name := range was.byAddr {
		if have, _ := z.findAddr(addr); have != name {
			return nil, false
		}
		out.newerByAddr[addr] = ""
	}
	for name, e := range is.names {
		if out.find(name) != nil {
			return nil, false
		}
		out.newer[name] = e
	}
	for addr, name := range is.byAddr {
		if _, taken := out.findAddr(addr); taken {
			return nil, false
		}
		out.newerByAddr[addr] = name
	}
	return out, true
}

func (e *entry) equal(f *entry) bool {
	return e.rotate == f.rotate && e.from == f.from && slices.Equal(e.addrs, f.addrs)
}
