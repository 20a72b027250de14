package kernel

import (
	"net/netip"
	"testing"

	"github.com/swarmnet/swarmnet/ingress"
)

// A kernel without IPv6 is asked for no route or rule of it, and for all of IPv4; what was asked stays as it is.
func TestRoutesWithoutIPv6(t *testing.T) {
	addr := netip.MustParseAddr
	m := ingress.Mesh{VNI: 4096, Node: 1, Peers: []ingress.Peer{{Node: 2, Addrs: []netip.Addr{addr("10.0.0.2"), addr("fd00::2")}}},
		Tasks: []ingress.Task{{Addr: addr("10.0.1.2"), Node: 2}, {Addr: addr("fd00:1::2"), Node: 2}}}
	for name, c := range map[string]struct {
		mesh ingress.Mesh
		want int
	}{"both": {m, 2}, "without": {withoutIPv6(m), 1}} {
		tasks, back, rules := wantRoutes(c.mesh, 7)
		if len(tasks) != c.want || len(back) != c.want || len(rules) != c.want {
			t.Errorf("%s: %v %v %v, want %d of each", name, tasks, back, rules, c.want)
		}
	}
	if len(m.Peers[0].Addrs) != 2 {
		t.Error("the mesh itself was changed")
	}
}
