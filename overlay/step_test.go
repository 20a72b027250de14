package overlay

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
)

// TestStepIsTheWholeDifference: what Step leaves out makes no difference.
func TestStepIsTheWholeDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string, set swarmnet.AssignmentSet) Desired {
			set.Endpoints = maps.Clone(set.Endpoints)
			for i := range rapid.IntRange(0, 6).Draw(t, label) {
				addr := netip.AddrFrom4([4]byte{10, 0, 1, byte(10 + 2*i + rapid.IntRange(0, 1).Draw(t, label+" addr"))}) // one endpoint's
				id := swarmnet.EndpointID(fmt.Sprint("more", i))
				set.Endpoints[id] = swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{
					ID: id, Network: swarmnet.NetworkID(rapid.SampledFrom([]string{"app", "ingress"}).Draw(t, label+" network")), Task: swarmnet.TaskID(id),
					Node: swarmnet.NodeID(rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, label+" node")),
					MAC:  swarmnet.MACFor(addr), Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}}}
			}
			return Compute(set, 1500, 0)
		}
		from, to := draw("from", twoNodes()), draw("to", twoNodes())
		was, is, ok := Step(from, to)
		if !ok {
			t.Fatal("they differ in endpoints alone")
		}
		whole, part := lines(Diff(from.Objects(), to.Objects())), lines(Diff(was.Objects(), is.Objects()))
		if !slices.Equal(whole, part) {
			t.Fatalf("%v instead of %v", part, whole)
		}
		if from.Equal(to) != (from.String() == to.String()) {
			t.Fatalf("equal: %v\n%s\n%s", from.Equal(to), from, to)
		}
		other := twoNodes()
		delete(other.Nodes, "n2")
		if _, _, ok := Step(from, draw("other", other)); ok {
			t.Fatal("that a node has gone is no endpoint's change")
		}
	})
}

func lines(ops []Op) []string {
	var out []string
	for _, op := range ops {
		out = append(out, op.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}
