// Package pathmtu finds how large a packet gets from one node to another, over the way that VXLAN takes. A way may drop what is too large and say
// nothing of it, so packets are sent and answers counted, as RFC 8899 has it for other protocols. The package is pure: it says what to try and
// what follows; pathmtu/kernel sends. All sizes are of the outer IP packet, in octets.
package pathmtu

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
)

// Least is the size that is taken for granted: what IPv4 hosts must take (RFC 791), with room for the outer headers of either family.
const Least = 576 + 70

// ErrSilent says that not even small packets are answered: nothing is known of the way.
var ErrSilent = errors.New("no answer to any packet, however small")

// Peer is another node, as its ingress address answers on the ingress network.
type Peer struct {
	Node swarmnet.NodeID
	VTEP netip.Addr
	MAC  swarmnet.MAC
	Addr netip.Addr
}

// Peers are the nodes of a set that can be probed from set.Self, by their ids.
func Peers(set swarmnet.AssignmentSet) []Peer {
	self := set.Nodes[set.Self]
	if _, ok := PeerOf(self); !ok {
		return nil
	}
	var out []Peer
	for id, n := range set.Nodes {
		p, ok := PeerOf(n)
		if ok && id != set.Self && p.VTEP.Is4() == self.Description.VTEP.Unmap().Is4() {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Peer) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// PeerOf is a node as it is probed; ok is false where it cannot be: it has no IPv4 address on the ingress network, or no VTEP.
func PeerOf(n swarmnet.Node) (p Peer, ok bool) {
	p = Peer{Node: n.ID, VTEP: n.Description.VTEP.Unmap(), MAC: n.IngressMAC(), Addr: n.IngressAddr(false)}
	return p, p.VTEP.IsValid() && p.Addr.IsValid()
}

// atOnce is how many sizes are tried at the same time, beside the one that is known to arrive.
const atOnce = 15

// Search returns the largest size that arrives, up to most. answered sends packets of several sizes and returns the largest that was
// answered; 0: none. last is what arrived the last time; 0: nothing is known.
func Search(most, last int, answered func(sizes []int) (int, error)) (int, error) {
	if most <= Least {
		return most, nil
	}
	first := []int{Least, most}
	if last > Least && last < most {
		first = []int{Least, last, most}
	}
	arrives, err := try(first, answered)
	if err != nil {
		return 0, err
	}
	if arrives == most || arrives == last {
		return arrives, nil
	}
	lost := most
	if last > arrives && last < most {
		lost = last
	}
	return between(arrives, lost, answered)
}

// between narrows it down, between a size that arrives and one that does not.
func between(arrives, lost int, answered func([]int) (int, error)) (int, error) {
	for lost-arrives > 1 {
		sizes := spread(arrives, lost)
		got, err := try(sizes, answered)
		if err != nil {
			return 0, err
		}
		i := slices.Index(sizes, got)
		if i < 0 {
			return 0, errors.New("a size was answered that was not sent")
		}
		arrives = got
		if i+1 < len(sizes) {
			lost = sizes[i+1]
		}
	}
	return arrives, nil
}

func try(sizes []int, answered func([]int) (int, error)) (int, error) {
	got, err := answered(sizes)
	if err == nil && got == 0 {
		err = ErrSilent
	}
	return got, err
}

// spread are sizes from one that arrives, itself included, to one that does not, itself left out, ascending.
func spread(arrives, lost int) []int {
	n := min(atOnce, lost-arrives-1)
	out := []int{arrives}
	for i := 1; i <= n; i++ {
		out = append(out, arrives+i*(lost-arrives)/(n+1))
	}
	return out
}
