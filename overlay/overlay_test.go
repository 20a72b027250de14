package overlay

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
)

func node(id string, index byte) swarmnet.Node {
	return swarmnet.Node{
		ID:          swarmnet.NodeID(id),
		Index:       uint16(index),
		Description: swarmnet.NodeDescription{VTEP: netip.AddrFrom4([4]byte{192, 0, 2, index})},
		Ingress:     []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, index + 1}), 24)},
	}
}

func twoNodes() swarmnet.AssignmentSet {
	set := swarmnet.EmptyAssignmentSet()
	set.Self = "n1"
	set.Cluster.DataPathPort = 4789
	for i, id := range []string{"n1", "n2"} {
		set.Nodes[swarmnet.NodeID(id)] = node(id, byte(i+1))
	}
	net := func(id swarmnet.NetworkID, vni swarmnet.VNI, subnet string, ingress bool) {
		p := netip.MustParsePrefix(subnet)
		set.Networks[id] = swarmnet.Network{
			ID: id, VNI: vni, Spec: swarmnet.NetworkSpec{Name: string(id), Driver: swarmnet.DriverOverlay, Ingress: ingress},
			Subnets: []swarmnet.Subnet{{Prefix: p, Gateway: p.Addr().Next()}},
		}
	}
	net("ingress", 4096, "10.0.0.0/24", true)
	net("app", 4097, "10.0.1.0/24", false)
	net("other", 4098, "10.0.2.0/24", false)
	for i, n := range []swarmnet.NodeID{"n1", "n2"} {
		addr := netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 2)})
		task := swarmnet.TaskID(fmt.Sprint("t", i+1))
		set.Endpoints[swarmnet.EndpointID(task)] = swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{
			ID: swarmnet.EndpointID(task), Network: "app", Task: task, Node: n, MAC: swarmnet.MACFor(addr),
			Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)},
		}}
	}
	set.Tasks["t1"] = swarmnet.Task{ID: "t1", Node: "n1", Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}}
	return set
}

func TestComputeReadsLikeIproute(t *testing.T) {
	got := Compute(twoNodes(), 1500, 0).String()
	want := strings.TrimLeft(`
link br-4096 address 02:42:0a:00:00:02 mtu 1450; link vx-4096 vxlan id 4096 local 192.0.2.1 dstport 4789 nolearning proxy master br-4096
link br-4097 address 02:44:00:00:10:01 mtu 1450; link vx-4097 vxlan id 4097 local 192.0.2.1 dstport 4789 nolearning proxy master br-4097
addr 10.0.0.2/24 dev br-4096
addr 10.0.1.1/24 dev br-4097
route 10.0.0.0/24 dev br-4096
route 10.0.1.0/24 dev br-4097
fdb 02:42:0a:00:00:03 dev vx-4096 dst 192.0.2.2 self
fdb 02:42:0a:00:01:03 dev vx-4097 dst 192.0.2.2 self
fdb 02:42:0a:00:00:03 dev vx-4096 master
fdb 02:45:00:00:00:01 dev vx-4096 master
fdb 02:42:0a:00:01:03 dev vx-4097 master
neigh 10.0.0.3 dev vx-4096 lladdr 02:42:0a:00:00:03
neigh 10.0.1.3 dev vx-4097 lladdr 02:42:0a:00:01:03
neigh 10.0.0.3 dev br-4096 lladdr 02:42:0a:00:00:03
neigh 169.254.78.1 dev br-4096 lladdr 02:45:00:00:00:01
neigh 10.0.1.2 dev br-4097 lladdr 02:42:0a:00:01:02
`, "\n")
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestComputeLeavesOutWhatIsNotHere(t *testing.T) {
	set := twoNodes()
	set.Tasks["t1"] = swarmnet.Task{ID: "t1", Status: swarmnet.TaskStatus{State: swarmnet.TaskShutdown}}
	if d := Compute(set, 1500, 0); len(d.Networks) != 1 || !d.Networks[0].Ingress {
		t.Errorf("after the last task of a network ended: %v", d)
	}
}

func TestMTUOptionOnlyLowers(t *testing.T) {
	for wish, want := range map[string]int{"1400": 1400, "9000": 1450, "100": 1450, "": 1450} {
		set := twoNodes()
		n := set.Networks["app"]
		n.Spec.Options = map[string]string{"mtu": wish}
		set.Networks["app"] = n
		if got := Compute(set, 1500, 0).Networks[1].MTU; got != want {
			t.Errorf("mtu=%q: got %d, want %d", wish, got, want)
		}
	}
}

// The sandboxes' packets must fit where they are received, too.
func TestMTUIsTheLeastOfAllNodes(t *testing.T) {
	for _, c := range []struct{ own, path, other, want int }{
		{1500, 0, 0, 1450}, {9000, 0, 1500, 1450}, {1500, 0, 9000, 1450}, {0, 0, 1500, 1450}, {0, 0, 0, 1230}, {100, 0, 0, 1230},
		{1500, 1300, 0, 1250}, {1500, 1300, 1290, 1240}, {1500, 9000, 0, 1450}, {0, 1300, 0, 1250},
	} {
		set := twoNodes()
		n := set.Nodes["n2"]
		n.Description.UnderlayMTU = c.other
		set.Nodes["n2"] = n
		if got := Compute(set, c.own, c.path).Networks[0].MTU; got != c.want {
			t.Errorf("own %d, path %d, other %d: got %d, want %d", c.own, c.path, c.other, got, c.want)
		}
	}
}

// A VXLAN device speaks one family: who cannot be reached has no entry that would lead nowhere.
func TestOtherFamilysNodesAreLeftOut(t *testing.T) {
	set := twoNodes()
	n := set.Nodes["n2"]
	n.Description.VTEP = netip.MustParseAddr("2001:db8::2")
	set.Nodes["n2"] = n
	for _, n := range Compute(set, 1500, 0).Networks {
		if len(n.Remotes) != 0 {
			t.Errorf("network %s leads to %v", n.VNI, n.Remotes)
		}
	}
}

// Without a data path address nothing can be said.
func TestComputeWithoutVTEP(t *testing.T) {
	if d := Compute(swarmnet.EmptyAssignmentSet(), 1500, 0); len(d.Networks) != 0 || d.String() != "" {
		t.Errorf("got %v", d)
	}
}

func genDesired(t *rapid.T) Desired {
	d := Desired{VTEP: netip.MustParseAddr("192.0.2.1"), Port: uint16(rapid.IntRange(4789, 4790).Draw(t, "port"))}
	for _, vni := range []swarmnet.VNI{1, 2, 3, swarmnet.FirstLocalSwitch, swarmnet.FirstLocalSwitch + 1} {
		if !rapid.Bool().Draw(t, "network") {
			continue
		}
		n := Network{VNI: vni, MTU: rapid.IntRange(1400, 1401).Draw(t, "mtu"), Ingress: vni == 1}
		for i := byte(1); i < 5; i++ {
			addr := netip.AddrFrom4([4]byte{10, 0, byte(vni), i})
			where := rapid.IntRange(0, 3).Draw(t, "where")
			if where == 2 && vni.Local() {
				continue // nobody is elsewhere
			}
			switch where {
			case 0:
				if len(n.Addrs) > 0 {
					continue // one of each family
				}
				n.Addrs = append(n.Addrs, netip.PrefixFrom(addr, 24))
			case 1:
				n.Locals = append(n.Locals, Neighbour{swarmnet.MACFor(addr), []netip.Addr{addr}})
			case 2:
				vtep := netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(2, 3).Draw(t, "vtep"))})
				n.Remotes = append(n.Remotes, Remote{MAC: swarmnet.MACFor(addr), Addrs: []netip.Addr{addr}, VTEP: vtep})
			}
		}
		d.Networks = append(d.Networks, n)
	}
	return d
}

// apply performs ops on a model of the kernel: what is on a device goes with it, and nothing can be made on a device that is not there.
func apply(t *rapid.T, have []Object, ops []Op) map[Object]Object {
	m := map[Object]Object{}
	for _, o := range have {
		m[o.key()] = o
	}
	removing := false
	for _, op := range ops {
		dev := Object{Kind: KindDevices, VNI: op.VNI}
		if _, ok := m[dev]; !ok && op.Kind != KindDevices && op.Kind != KindHostRoute {
			t.Fatalf("%s: the device is not there", op)
		}
		if !op.Remove {
			if removing {
				t.Fatalf("%s comes after a removal", op)
			}
			m[op.key()] = op.Object
			continue
		}
		removing = true
		delete(m, op.key())
		if op.Kind == KindDevices {
			for k := range m {
				if k.VNI == op.VNI {
					delete(m, k) // routes of the host have no VNI: they stay
				}
			}
		}
	}
	return m
}

func TestDiffLeadsFromAnyStateToAnyOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genDesired(t).Objects(), genDesired(t).Objects()
		got := apply(t, a, Diff(a, b))
		if len(got) != len(b) {
			t.Fatalf("%d objects, want %d", len(got), len(b))
		}
		for _, o := range b {
			if got[o.key()] != o {
				t.Fatalf("got %v, want %v", got[o.key()], o)
			}
		}
		if again := Diff(b, b); len(again) != 0 {
			t.Fatalf("a second pass yields %v", again)
		}
	})
}

// A network with IPv6 takes 1280 octets on the narrowest path (RFC 8200 section 5), one without fits the path.
func TestMTUOfIPv6(t *testing.T) {
	for underlay, want := range map[int][2]int{1500: {1450, 1450}, 1300: {1280, 1250}, 1330: {1280, 1280}} {
		set := twoNodes()
		n := set.Networks["app"]
		n.Subnets = append(slices.Clone(n.Subnets), swarmnet.Subnet{Prefix: netip.MustParsePrefix("fd00::/64")})
		six := twoNodes()
		six.Networks["app"] = n
		if got := [2]int{Compute(six, underlay, 0).Networks[1].MTU, Compute(set, underlay, 0).Networks[1].MTU}; got != want {
			t.Errorf("underlay %d: with IPv6 and without it %v, want %v", underlay, got, want)
		}
	}
}
