package ingress

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// oneSandbox is a node in no cluster with a sandbox on two networks of its own, and its published ports.
func oneSandbox(ports ...swarmnet.PortSpec) swarmnet.AssignmentSet {
	set := swarmnet.EmptyAssignmentSet()
	set.Self = "local"
	for i, name := range []string{"lan", "dmz"} {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 18, byte(i), 0}), 24)
		set.Networks[swarmnet.NetworkID(name)] = swarmnet.Network{
			ID: swarmnet.NetworkID(name), VNI: swarmnet.FirstLocalSwitch + swarmnet.VNI(i),
			Spec:    swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverBridge, Internal: name == "dmz"},
			Subnets: []swarmnet.Subnet{{Prefix: p, Gateway: p.Addr().Next()}},
		}
		addr := netip.AddrFrom4([4]byte{172, 18, byte(i), 2})
		id := swarmnet.EndpointID("e-" + name)
		set.Endpoints[id] = swarmnet.PeerEndpoint{Desired: swarmnet.DesireRunning, State: swarmnet.TaskRunning, Endpoint: swarmnet.Endpoint{
			ID: id, Network: swarmnet.NetworkID(name), Task: "s1", Node: "local", Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}, DefaultRoute: i == 0,
		}}
	}
	set.Tasks["s1"] = swarmnet.Task{ID: "s1", Node: "local", Desired: swarmnet.DesireRunning, Ports: ports, Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}}
	return set
}

func published(p uint16, ip string) swarmnet.PortSpec {
	s := swarmnet.PortSpec{Protocol: swarmnet.TCP, Published: p, Target: 80, Mode: swarmnet.PublishHost}
	if ip != "" {
		s.HostIP = netip.MustParseAddr(ip)
	}
	return s
}

func TestC30SandboxPublishesInHostMode(t *testing.T) {
	m := ComputeMesh(oneSandbox(published(8080, ""), published(8081, "127.0.0.1"), published(8082, "0.0.0.0")), gossip.View{})
	want := strings.TrimLeft(`
mesh node 0 vni 0
route 172.18.0.2 local
tcp dport 8080 dnat to { 172.18.0.2:80 } host
daddr 127.0.0.1 tcp dport 8081 dnat to { 172.18.0.2:80 } host
tcp dport 8082 dnat to { 172.18.0.2:80 } host
`, "\n")
	if got := m.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	addr := netip.MustParseAddr("172.18.0.2")
	direct := []Direct{{addr, swarmnet.FirstLocalSwitch}, {addr, swarmnet.FirstLocalSwitch + 1}}
	if gateways := []netip.Addr{netip.MustParseAddr("172.18.0.1")}; !slices.Equal(m.Direct, direct) || !slices.Equal(m.Gateways, gateways) {
		t.Errorf("direct %v, gateways %v", m.Direct, m.Gateways)
	}
}

func TestC32StoppedSandboxPublishesNothing(t *testing.T) {
	set := oneSandbox(published(8080, ""))
	task := set.Tasks["s1"]
	task.Status.State = swarmnet.TaskShutdown
	set.Tasks["s1"] = task
	if m := ComputeMesh(set, gossip.View{}); len(m.Ports)+len(m.Tasks) != 0 {
		t.Errorf("got %s", m)
	}
}

// The fabric has no way to a macvlan network; its members are reached by their own addresses.
func TestMacvlanMemberPublishesNothing(t *testing.T) {
	set := oneSandbox(published(8080, ""))
	n := set.Networks["lan"]
	n.Spec.Driver = swarmnet.DriverMacvlan
	set.Networks["lan"] = n
	if m := ComputeMesh(set, gossip.View{}); len(m.Tasks)+len(m.Direct)+len(m.Gateways) != 0 || len(m.Ports) != 1 || len(m.Ports[0].Backends) != 0 {
		t.Errorf("got %s", m)
	}
}

// Two that want one port are not mixed: the managers and the node see to it that it does not come to that for long.
func TestSandboxesDoNotShareAPort(t *testing.T) {
	set := oneSandbox(published(8080, ""))
	set.Tasks["s2"] = swarmnet.Task{ID: "s2", Node: "local", Desired: swarmnet.DesireRunning, Ports: []swarmnet.PortSpec{published(8080, "")}}
	set.Services["web"] = swarmnet.Service{ID: "web", Ports: []swarmnet.PortSpec{{Protocol: swarmnet.TCP, Published: 8080, Target: 81}}}
	for range 20 { // map orders differ
		m := ComputeMesh(set, gossip.View{})
		if len(m.Ports) != 1 || m.Ports[0].Task != "s1" || m.Ports[0].Service != "" || len(m.Ports[0].Backends) != 1 {
			t.Fatalf("got %+v", m.Ports)
		}
	}
}
