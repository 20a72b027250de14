package ingress

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/ordered"
)

// SpliceMesh puts into a mesh, in the place of what some services contributed, what they contribute now. ok is false when that cannot be told from
// the parts alone: then the whole must be computed.
func SpliceMesh(whole, was, is Mesh) (out Mesh, ok bool) {
	out = whole
	if was.Node != is.Node || was.VNI != is.VNI || !reflect.DeepEqual(was.Peers, is.Peers) || !slices.Equal(was.Gateways, is.Gateways) {
		return out, false
	}
	var ok1, ok2, ok3 bool
	out.Ports, ok1 = ordered.Splice(whole.Ports, was.Ports, is.Ports, comparePorts, Port.Equal)
	out.Tasks, ok2 = ordered.Splice(whole.Tasks, was.Tasks, is.Tasks, compareTasks, ordered.Equal)
	out.Direct, ok3 = ordered.Splice(whole.Direct, was.Direct, is.Direct, Direct.Compare, ordered.Equal)
	return out, ok1 && ok2 && ok3 && !released(was.Ports, is.Ports)
}

// released reports whether a port is free that was not: another owner may have waited for it.
func released(was, is []Port) bool {
	for _, p := range was {
		i, found := slices.BinarySearchFunc(is, p, comparePorts)
		if !found || is[i].Service != p.Service || is[i].Task != p.Task {
			return true
		}
	}
	return false
}

// SpliceVIPs does the same for the virtual addresses of networks.
func SpliceVIPs(whole, was, is map[swarmnet.NetworkID]VIPs) (out map[swarmnet.NetworkID]VIPs, ok bool) {
	out = make(map[swarmnet.NetworkID]VIPs, len(whole))
	for id, v := range whole {
		out[id] = v
	}
	for id := range was {
		if out[id], ok = ordered.Splice(whole[id], was[id], is[id], compareVIPs, VIP.Equal); !ok {
			return nil, false
		}
	}
	for id := range is {
		if _, done := was[id]; done {
			continue
		}
		if out[id], ok = ordered.Splice(whole[id], nil, is[id], compareVIPs, nil); !ok {
			return nil, false
		}
	}
	for id, v := range out {
		if len(v) == 0 {
			delete(out, id)
		}
	}
	return out, true
}

func comparePorts(a, b Port) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Published, b.Published), a.HostIP.Compare(b.HostIP))
}

func compareTasks(a, b Task) int { return a.Addr.Compare(b.Addr) }

func compareVIPs(a, b VIP) int { return a.Addr.Compare(b.Addr) }

// Equal reports whether two ports are the same. It is fast for those that share memory.
func (p Port) Equal(q Port) bool {
	return p.Published == q.Published && p.Protocol == q.Protocol && p.Service == q.Service && p.Task == q.Task && p.Mode == q.Mode && p.HostIP == q.HostIP &&
		ordered.EqualLists(p.Backends, q.Backends) && ordered.EqualLists(p.Draining, q.Draining) && ordered.EqualLists(p.Lost, q.Lost)
}

// Equal does the same for virtual addresses.
func (v VIP) Equal(w VIP) bool {
	return v.Addr == w.Addr && v.Service == w.Service &&
		ordered.EqualLists(v.Backends, w.Backends) && ordered.EqualLists(v.Draining, w.Draining) && ordered.EqualLists(v.Lost, w.Lost)
}

// Equal reports whether two meshes are the same. It is fast for those that share memory.
func (m Mesh) Equal(n Mesh) bool {
	if !ordered.Same(m.Ports, n.Ports) && !slices.EqualFunc(m.Ports, n.Ports, Port.Equal) {
		return false
	}
	if !ordered.EqualLists(m.Tasks, n.Tasks) || !ordered.EqualLists(m.Direct, n.Direct) {
		return false
	}
	m.Ports, m.Tasks, m.Direct, n.Ports, n.Tasks, n.Direct = nil, nil, nil, nil, nil, nil
	return reflect.DeepEqual(m, n)
}
