// Package records computes which names resolve to what, for whom. It knows nothing of the wire; package dns serves it.
package records

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/changes"
)

// Records are the names of all networks of a node at one moment. They are immutable. The zero value knows no name.
type Records struct {
	zones map[swarmnet.NetworkID]*zone
}

// zone is what one network knows. Keys are lower case.
type zone struct {
	suffix string // "." and the network's name
	names  map[string]*entry
	byAddr map[netip.Addr]string
	// servers are those of the ports of services, by _PORT._PROTO.NAME.
	servers map[string][]Server
	// What has changed since names and byAddr were made, which zones share; nil and the empty name: it is not known any more.
	newer       map[string]*entry
	newerByAddr map[netip.Addr]string
	newerServed map[string]served
}

// served are the servers of a port, or that it is served no more.
type served struct {
	by   []Server
	gone bool
}

type entry struct {
	addrs  []netip.Addr
	rotate bool
	from   changes.Owner // that gave it the name
	shared bool          // others did, too
}

// find returns what a name stands for, or nil.
func (z *zone) find(name string) *entry {
	if e, ok := z.newer[name]; ok {
		return e
	}
	return z.names[name]
}

func (z *zone) findServers(name string) ([]Server, bool) {
	if s, ok := z.newerServed[name]; ok {
		return s.by, !s.gone
	}
	by, ok := z.servers[name]
	return by, ok
}

func (z *zone) findAddr(addr netip.Addr) (name string, ok bool) {
	name, ok = z.newerByAddr[addr]
	if !ok {
		name = z.byAddr[addr]
	}
	return name, name != ""
}

// Answer is what a name that is known resolves to. A known name may have no address, or none in the asked family.
type Answer struct {
	Addrs []netip.Addr // not to be changed
	// Rotate asks for a random order: the client takes the first and so balances.
	Rotate bool
}

// Lookup resolves a name as a sandbox on the given networks sees it: the first network that knows the name counts. The name is
// lower case, without a final dot. NAME.NETWORK names one network of several that know NAME.
func (r *Records) Lookup(networks []swarmnet.NetworkID, name string) (Answer, bool) {
	for _, id := range networks {
		if z := r.zones[id]; z != nil {
			if e := z.find(name); e != nil {
				return Answer{Addrs: e.addrs, Rotate: e.rotate}, true
			}
		}
	}
	for _, id := range networks {
		if z := r.zones[id]; z != nil {
			if bare, ok := strings.CutSuffix(name, z.suffix); ok {
				if e := z.find(bare); e != nil {
					return Answer{Addrs: e.addrs, Rotate: e.rotate}, true
				}
			}
		}
	}
	return Answer{}, false
}

// Reverse returns the name of an address, NAME.NETWORK without a final dot, as a sandbox on the given networks sees it.
func (r *Records) Reverse(networks []swarmnet.NetworkID, addr netip.Addr) (string, bool) {
	for _, id := range networks {
		if z := r.zones[id]; z != nil {
			if name, ok := z.findAddr(addr.Unmap()); ok {
				return name + z.suffix, true
			}
		}
	}
	return "", false
}

func newZone(n swarmnet.Network) *zone {
	return &zone{suffix: "." + strings.ToLower(n.Spec.Name), names: map[string]*entry{}, byAddr: map[netip.Addr]string{}, servers: map[string][]Server{}}
}

// add makes name known on behalf of a service, also when no address is given. A name that is already known answers with both.
func (z *zone) add(from changes.Owner, name string, rotate bool, addrs ...netip.Addr) {
	if name == "" {
		return
	}
	name = strings.ToLower(name)
	e := z.names[name]
	if e == nil {
		e = &entry{from: from}
		z.names[name] = e
	}
	e.shared = e.shared || e.from != from
	e.rotate = e.rotate || rotate || len(e.addrs) > 0
	for _, a := range addrs {
		if a.IsValid() && !slices.Contains(e.addrs, a) {
			e.addrs = append(e.addrs, a)
		}
	}
}

func (z *zone) reverse(name string, addrs ...netip.Addr) {
	for _, a := range addrs {
		if _, taken := z.byAddr[a]; !taken && a.IsValid() {
			z.byAddr[a] = strings.ToLower(name)
		}
	}
}
