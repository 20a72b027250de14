package overlay

import (
	"bytes"
	"reflect"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/ordered"
)

// Step leaves out of two desired states, both alike, the endpoints that are the same in both: the Diff of the objects of what is left is that of the
// whole. ok is false when they differ in more than endpoints: networks, nodes, addresses of bridges.
func Step(from, to Desired) (was, is Desired, ok bool) {
	if from.VTEP != to.VTEP || from.Port != to.Port || len(from.Networks) != len(to.Networks) {
		return was, is, false
	}
	was, is = from, to
	was.Networks, is.Networks = slices.Clone(from.Networks), slices.Clone(to.Networks)
	for i := range to.Networks {
		a, b := &was.Networks[i], &is.Networks[i]
		differing := map[swarmnet.MAC]bool{} // an address may be in both lists while it moves
		differ(differing, a.Remotes, b.Remotes, remoteMAC, Remote.equal)
		differ(differing, a.Locals, b.Locals, localMAC, Neighbour.equal)
		a.Remotes, b.Remotes = only(differing, a.Remotes, remoteMAC), only(differing, b.Remotes, remoteMAC)
		a.Locals, b.Locals = only(differing, a.Locals, localMAC), only(differing, b.Locals, localMAC)
		if !sameButEndpoints(*a, *b) || slices.ContainsFunc(a.Remotes, isNode) || slices.ContainsFunc(b.Remotes, isNode) {
			return was, is, false
		}
	}
	return was, is, true
}

// Equal reports whether two desired states are the same.
func (d Desired) Equal(e Desired) bool {
	was, is, ok := Step(d, e)
	return ok && !HasEndpoints(was, is)
}

// HasEndpoints reports whether any of the desired states has an endpoint on a network.
func HasEndpoints(list ...Desired) bool {
	return slices.ContainsFunc(list, func(d Desired) bool { return slices.ContainsFunc(d.Networks, hasEndpoints) })
}

func hasEndpoints(n Network) bool { return len(n.Remotes)+len(n.Locals) > 0 }

func remoteMAC(r Remote) swarmnet.MAC { return r.MAC }

func localMAC(n Neighbour) swarmnet.MAC { return n.MAC }

func byMAC[T any](mac func(T) swarmnet.MAC) func(a, b T) int {
	return func(a, b T) int {
		x, y := mac(a), mac(b)
		return bytes.Compare(x[:], y[:])
	}
}

func isNode(r Remote) bool { return r.Node }

func (r Remote) equal(s Remote) bool {
	return r.MAC == s.MAC && r.VTEP == s.VTEP && r.Node == s.Node && ordered.EqualLists(r.Addrs, s.Addrs)
}

func (n Neighbour) equal(m Neighbour) bool {
	return n.MAC == m.MAC && ordered.EqualLists(n.Addrs, m.Addrs)
}

func sameButEndpoints(a, b Network) bool {
	a.Remotes, b.Remotes, a.Locals, b.Locals = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// differ notes of which MACs two lists that are ordered by MAC do not have the same entries.
func differ[T any](differing map[swarmnet.MAC]bool, a, b []T, mac func(T) swarmnet.MAC, equal func(T, T) bool) {
	if ordered.Same(a, b) {
		return
	}
	for len(a) > 0 || len(b) > 0 {
		if len(a) > 1 && len(b) > 1 && mac(a[0]) != mac(a[1]) && mac(b[0]) != mac(b[1]) && equal(a[0], b[0]) { // most are
			a, b = a[1:], b[1:]
			continue
		}
		na, nb := leading(a, mac), leading(b, mac)
		if na > 0 && nb > 0 {
			switch c := byMAC(mac)(a[0], b[0]); {
			case c < 0:
				nb = 0
			case c > 0:
				na = 0
			case slices.EqualFunc(a[:na], b[:nb], equal):
				a, b = a[na:], b[nb:]
				continue
			}
		}
		for _, v := range slices.Concat(a[:na], b[:nb]) {
			differing[mac(v)] = true
		}
		a, b = a[na:], b[nb:]
	}
}

// only are the entries of a list whose MAC is among these.
func only[T any](macs map[swarmnet.MAC]bool, list []T, mac func(T) swarmnet.MAC) (out []T) {
	for _, v := range list {
		if len(macs) > 0 && macs[mac(v)] {
			out = append(out, v)
		}
	}
	return out
}

// leading is how many entries at the start of a list have one MAC.
func leading[T any](list []T, mac func(T) swarmnet.MAC) int {
	n := min(1, len(list))
	for n > 0 && n < len(list) && mac(list[n]) == mac(list[0]) {
		n++
	}
	return n
}

// Splice puts into a desired state, in the place of the endpoints that are in was, those that are in is. ok is false when they differ in more, or the
// whole does not have what is to be taken out of it.
func Splice(whole, was, is Desired) (out Desired, ok bool) {
	was, is, ok = Step(was, is)
	if !ok || len(whole.Networks) != len(was.Networks) {
		return out, false
	}
	out = whole
	out.Networks = slices.Clone(whole.Networks)
	for i := range out.Networks {
		n := &out.Networks[i]
		if !sameButEndpoints(*n, is.Networks[i]) {
			return out, false
		}
		var ok1, ok2 bool
		n.Remotes, ok1 = ordered.Splice(n.Remotes, was.Networks[i].Remotes, is.Networks[i].Remotes, byMAC(remoteMAC), Remote.equal)
		n.Locals, ok2 = ordered.Splice(n.Locals, was.Networks[i].Locals, is.Networks[i].Locals, byMAC(localMAC), Neighbour.equal)
		if !ok1 || !ok2 {
			return out, false
		}
	}
	return out, true
}
