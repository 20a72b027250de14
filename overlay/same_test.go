package overlay

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// What is desired depends on what is known, not on the order in which maps are walked: Diff of two runs is empty, and so is
// what the reconciler does.
func TestSameInputsSameDesired(t *testing.T) {
	set := twoNodes()
	for i := range 8 {
		addr := netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 10)})
		id := fmt.Sprint("more", i)
		set.Endpoints[swarmnet.EndpointID(id)] = swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{
			ID: swarmnet.EndpointID(id), Network: "app", Task: swarmnet.TaskID(id), Node: swarmnet.NodeID(fmt.Sprint("n", 1+i%2)),
			MAC: swarmnet.MACFor(addr), Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}}}
	}
	first := Compute(set, 1500, 0)
	for range 20 {
		if again := Compute(set, 1500, 0); !reflect.DeepEqual(again, first) {
			t.Fatalf("then\n%s\nnow\n%s", first, again)
		}
	}
}
