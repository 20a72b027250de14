package overlay

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// alone is a node in no cluster, with a sandbox on the network lan and none on spare.
func alone(options map[string]string) swarmnet.AssignmentSet {
	set := swarmnet.EmptyAssignmentSet()
	set.Self = "local"
	for i, name := range []string{"lan", "spare"} {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 18, byte(i), 0}), 24)
		set.Networks[swarmnet.NetworkID(name)] = swarmnet.Network{
			ID: swarmnet.NetworkID(name), VNI: swarmnet.FirstLocalSwitch + swarmnet.VNI(i),
			Spec:    swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverBridge, Options: options},
			Subnets: []swarmnet.Subnet{{Prefix: p, Gateway: p.Addr().Next()}},
		}
	}
	addr := netip.MustParseAddr("172.18.0.2")
	set.Endpoints["e1"] = swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{
		ID: "e1", Network: "lan", Task: "s1", Node: "local", MAC: swarmnet.MACFor(addr), Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)},
	}}
	set.Tasks["s1"] = swarmnet.Task{ID: "s1", Node: "local", Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}}
	return set
}

func TestC02LocalNetworkNeedsNoVTEP(t *testing.T) {
	got := Compute(alone(nil), 1500, 0).String()
	want := strings.TrimLeft(`
link br-16777216 address 02:44:00:00:00:00 mtu 1500
addr 172.18.0.1/24 dev br-16777216
route 172.18.0.0/24 dev br-16777216
neigh 172.18.0.2 dev br-16777216 lladdr 02:42:ac:12:00:02
host route 172.18.0.0/24 via the fabric
`, "\n")
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A node of a cluster has both kinds beside each other, each with the MTU of its own way.
func TestLocalAndOverlayNetworks(t *testing.T) {
	set := twoNodes()
	n := alone(nil)
	set.Networks["lan"] = n.Networks["lan"]
	ep := n.Endpoints["e1"]
	ep.Task, ep.Node = "t1", "n1"
	set.Endpoints["e1"] = ep
	d := Compute(set, 1500, 0)
	if len(d.Networks) != 3 || !d.Networks[2].VNI.Local() || d.Networks[2].MTU != 1500 || d.Networks[1].MTU != 1450 {
		t.Errorf("got\n%s", d)
	}
}

func TestC10InternalLocalNetworkHasNoGateway(t *testing.T) {
	set := alone(nil)
	n := set.Networks["lan"]
	n.Spec.Internal = true
	set.Networks["lan"] = n
	if got := Compute(set, 1500, 0).String(); strings.Contains(got, "addr") && strings.Contains(got, "172.18.0.1") || strings.Contains(got, "route") {
		t.Errorf("got\n%s", got)
	}
}

func TestC11LocalNetworkOptions(t *testing.T) {
	for _, c := range []struct {
		options          map[string]string
		isolated, routed bool
		mtu              int
	}{
		{nil, false, false, 9000},
		{map[string]string{"icc": "false"}, true, false, 9000},
		{map[string]string{OptionICC: "false", OptionMasquerade: "true"}, true, false, 9000},
		{map[string]string{OptionICC: "true", OptionMasquerade: "false"}, false, true, 9000},
		{map[string]string{"icc": "perhaps", "masquerade": "0", "mtu": "1400"}, false, true, 1400},
		{map[string]string{OptionMTU: "1300"}, false, false, 1300},
	} {
		n := Compute(alone(c.options), 9000, 0).Networks[0]
		if n.Isolated != c.isolated || n.Routed != c.routed || n.MTU != c.mtu {
			t.Errorf("%v: isolated %v, routed %v, mtu %d", c.options, n.Isolated, n.Routed, n.MTU)
		}
	}
}

func TestLocalMTUOfAHostWithoutAWayOut(t *testing.T) {
	if got := Compute(alone(nil), 0, 0).Networks[0].MTU; got != 1500 {
		t.Errorf("got %d", got)
	}
}
