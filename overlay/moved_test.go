package overlay

import (
	"net/netip"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// movedOf runs Moved on two networks' remotes, and counts.
func movedOf(have, want []Network) int {
	was, is := Desired{Networks: have}.Objects(), Desired{Networks: want}.Objects()
	return len(Moved(was, Diff(was, is)))
}

func TestMoved(t *testing.T) {
	mac := func(n byte) swarmnet.MAC { return swarmnet.MAC{2, 0x42, 0, 0, 1, n} }
	remote := func(m, host byte) Remote {
		return Remote{MAC: mac(m), VTEP: netip.MustParseAddr("192.0.2.2"), Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, host}), netip.AddrFrom16([16]byte{0: 0xfd, 15: host})}}
	}
	network := func(vni swarmnet.VNI, remotes ...Remote) Network {
		return Network{VNI: vni, MTU: 1450, Remotes: remotes}
	}
	many := func(from byte) (out []Remote) {
		for i := range byte(100) {
			out = append(out, remote(from+i, i+2))
		}
		return out
	}
	for name, c := range map[string]struct {
		have, want []Network
		moved      int
	}{
		"a new network":            {nil, []Network{network(1, remote(2, 2))}, 0},
		"a new endpoint":           {[]Network{network(1)}, []Network{network(1, remote(2, 2))}, 2},
		"the same":                 {[]Network{network(1, remote(2, 2))}, []Network{network(1, remote(2, 2))}, 0},
		"another MAC":              {[]Network{network(1, remote(2, 2))}, []Network{network(1, remote(3, 2))}, 2},
		"gone":                     {[]Network{network(1, remote(2, 2))}, []Network{network(1)}, 0},
		"a network fills up":       {[]Network{network(1)}, []Network{network(1, many(0)...)}, 0},
		"and some of it has moved": {[]Network{network(1, remote(200, 2))}, []Network{network(1, many(0)...)}, 2},
		"all have":                 {[]Network{network(1, many(100)...)}, []Network{network(1, many(0)...)}, mostMoves},
		"another network is new":   {[]Network{network(1)}, []Network{network(1, remote(2, 2)), network(2, remote(4, 4))}, 2},
	} {
		if got := movedOf(c.have, c.want); got != c.moved {
			t.Errorf("%s: %d are told of, want %d", name, got, c.moved)
		}
	}
}
