package desired

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

func network(id swarmnet.NetworkID, vni swarmnet.VNI, prefix, gateway string) swarmnet.Network {
	n := swarmnet.Network{ID: id, VNI: vni, Spec: swarmnet.NetworkSpec{Name: string(id), Driver: swarmnet.DriverOverlay, Internal: gateway == ""}}
	sub := swarmnet.Subnet{Prefix: netip.MustParsePrefix(prefix)}
	if gateway != "" {
		sub.Gateway = netip.MustParseAddr(gateway)
	}
	n.Subnets = []swarmnet.Subnet{sub}
	return n
}

func endpoint(id swarmnet.EndpointID, t swarmnet.TaskID, n swarmnet.NetworkID, node swarmnet.NodeID, addr string, gw bool) swarmnet.PeerEndpoint {
	p := netip.MustParsePrefix(addr)
	return swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{
		ID: id, Task: t, Network: n, Node: node, MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p}, DefaultRoute: gw,
	}}
}

// example has, on n1, task a on two networks and task b whose endpoint on db has not come yet; task c is on n2.
func example() swarmnet.AssignmentSet {
	set := swarmnet.EmptyAssignmentSet()
	set.Revision, set.Self = 7, "n1"
	set.Cluster.DataPathPort = 4789
	for i, id := range []swarmnet.NodeID{"n1", "n2"} {
		vtep := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		set.Nodes[id] = swarmnet.Node{ID: id, Index: uint16(i + 1), Description: swarmnet.NodeDescription{VTEP: vtep}}
	}
	set.Networks["db"] = network("db", 4098, "10.0.2.0/24", "")
	set.Networks["app"] = network("app", 4097, "10.0.1.0/24", "10.0.1.1")
	for _, ep := range []swarmnet.PeerEndpoint{
		endpoint("1", "a", "app", "n1", "10.0.1.10/24", true),
		endpoint("2", "a", "db", "n1", "10.0.2.10/24", false),
		endpoint("3", "b", "app", "n1", "10.0.1.11/24", true),
		endpoint("4", "c", "app", "n2", "10.0.1.12/24", true),
	} {
		set.Endpoints[ep.ID] = ep
	}
	both := []swarmnet.NetworkAttachment{{Network: "db"}, {Network: "app"}}
	set.Tasks["a"] = swarmnet.Task{ID: "a", Node: "n1", Networks: both, Desired: swarmnet.DesireRunning}
	set.Tasks["b"] = swarmnet.Task{ID: "b", Node: "n1", Networks: both, Desired: swarmnet.DesireRunning}
	return set
}

func show(s NodeState) string {
	var b strings.Builder
	for _, t := range s.Tasks {
		fmt.Fprintf(&b, "task %s ready=%t\n", t.ID, t.Ready)
		for _, i := range t.Sandbox.Interfaces {
			fmt.Fprintf(&b, "  %s vni=%s mac=%s addr=%s mtu=%d via=%s\n", i.Name, i.VNI, i.MAC, i.Addrs, i.MTU, i.DefaultVia)
		}
	}
	return b.String()
}

func TestSandboxes(t *testing.T) {
	got := show(Compute(example(), gossip.View{}, Local{UnderlayMTU: 1500}))
	want := `task a ready=true
  eth0 vni=4098 mac=02:42:0a:00:02:0a addr=[10.0.2.10/24] mtu=1450 via=[]
  eth1 vni=4097 mac=02:42:0a:00:01:0a addr=[10.0.1.10/24] mtu=1450 via=[10.0.1.1]
task b ready=false
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Names are looked for on overlay networks first, then by the priority of the gateway, then by the network's name (C42).
func TestC42LookupOrder(t *testing.T) {
	set := example()
	for _, name := range []string{"one", "two", "three"} {
		id := swarmnet.NetworkID(name)
		set.Networks[id] = swarmnet.Network{ID: id, Spec: swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverBridge}}
	}
	a := set.Tasks["a"]
	for _, n := range []swarmnet.NetworkAttachment{{Network: "two"}, {Network: "one"}, {Network: "three", EndpointSettings: swarmnet.EndpointSettings{GatewayPriority: 1}}} {
		a.Networks = append([]swarmnet.NetworkAttachment{n}, a.Networks...)
	}
	set.Tasks["a"] = a
	got := Compute(set, gossip.View{}, Local{UnderlayMTU: 1500}).Tasks[0].Lookup
	if want := []swarmnet.NetworkID{"app", "db", "three", "one", "two"}; !slices.Equal(got, want) {
		t.Errorf("names are looked for on %v, not %v", got, want)
	}
}

func TestSameInputsSameState(t *testing.T) {
	first := Compute(example(), gossip.View{}, Local{UnderlayMTU: 1500})
	for range 20 { // map orders differ
		if again := Compute(example(), gossip.View{}, Local{UnderlayMTU: 1500}); !reflect.DeepEqual(first, again) {
			t.Fatalf("got\n%+v\nthen\n%+v", first, again)
		}
	}
}

func TestEmptySet(t *testing.T) {
	if s := Compute(swarmnet.EmptyAssignmentSet(), gossip.View{}, Local{}); len(s.Tasks)+len(s.Overlay.Networks) != 0 {
		t.Errorf("%+v", s)
	}
}
