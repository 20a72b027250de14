package dispatcher

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// world makes states by commands.
type world struct {
	t *testing.T
	s *state.State
}

func id[T ~string](name string) T { return T(swarmnet.DeriveID(name)) }

func (w *world) do(cmds ...state.Command) {
	w.t.Helper()
	for _, c := range cmds {
		next, r, _ := state.Apply(w.s, c, state.Meta{At: time.Unix(1000, 0)})
		if r.Err != nil {
			w.t.Fatalf("%T: %v", c, r.Err)
		}
		w.s = next
	}
}

func newWorld(t *testing.T, nodes ...string) *world {
	w := &world{t: t, s: state.New()}
	w.do(state.CreateCluster{Cluster: swarmnet.Cluster{
		ID: id[swarmnet.ClusterID]("c"), Spec: swarmnet.DefaultClusterSpec(), Epoch: 3,
		Tokens:     []swarmnet.JoinToken{{Role: swarmnet.RoleWorker, Secret: "hidden-token", SecretHash: []byte("hidden-hash")}},
		CA:         swarmnet.CA{RootCert: []byte("root"), RootKey: []byte("hidden-key")},
		GossipKeys: []swarmnet.GossipKey{{ID: 1, Key: []byte("gossip")}},
	}})
	for i, n := range nodes {
		nid := id[swarmnet.NodeID](n)
		w.do(state.CreateNode{Node: swarmnet.Node{ID: nid}},
			state.OpenSession{Node: nid, Manager: nid, NewEpoch: true, Description: swarmnet.NodeDescription{Hostname: n, APIAddr: n + ":4747"}})
		if i == 0 {
			w.do(state.SetRaftID{Node: nid, RaftID: 1})
		}
	}
	return w
}

func (w *world) network(name string, third byte, ingress bool) {
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, third, 0}), 24)
	nid := id[swarmnet.NetworkID](name)
	w.do(state.CreateNetwork{Network: swarmnet.Network{ID: nid, Spec: swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverOverlay, Ingress: ingress}}},
		state.AllocateNetwork{ID: nid, VNI: swarmnet.FirstVNI + swarmnet.VNI(third), Subnets: []swarmnet.Subnet{{Prefix: p, Gateway: p.Addr().Next()}}})
}

// service makes a service on a network with one task on each of some nodes.
func (w *world) service(name, network string, third byte, port uint16, nodes ...string) {
	spec := swarmnet.ServiceSpec{
		Name: name, Replicas: uint32(len(nodes)), EndpointMode: swarmnet.EndpointDNSRR,
		Task:     swarmnet.TaskSpec{Command: []string{"run"}, Env: []string{"PASSWORD=hidden-env-" + name}},
		Networks: []swarmnet.NetworkAttachment{{Network: id[swarmnet.NetworkID](network)}},
	}
	var ports []swarmnet.PortSpec
	if port != 0 {
		ports = []swarmnet.PortSpec{{Target: 80, Published: port}}
		spec.Ports = ports
	}
	sid := id[swarmnet.ServiceID](name)
	var vips []swarmnet.VIP
	if port != 0 {
		spec.EndpointMode = swarmnet.EndpointVIP
		vips = []swarmnet.VIP{{Network: spec.Networks[0].Network, Addr: netip.AddrFrom4([4]byte{10, 0, third, 99})}}
	}
	w.do(state.CreateService{Service: swarmnet.Service{ID: sid, Spec: spec}},
		state.AllocateService{ID: sid, Version: 1, VIPs: vips, Ports: ports})
	for i, n := range nodes {
		tid := id[swarmnet.TaskID](fmt.Sprintf("%s.%d", name, i+1))
		addr := netip.AddrFrom4([4]byte{10, 0, third, byte(10 + i)})
		w.do(state.CreateTask{Task: swarmnet.Task{
			ID: tid, Service: sid, ServiceName: name, Slot: uint32(i + 1), Spec: spec.Task, SpecVersion: 1, Networks: spec.Networks, Desired: swarmnet.DesireRunning,
		}}, state.AllocateTask{Task: tid, Endpoints: []swarmnet.Endpoint{{
			ID: id[swarmnet.EndpointID](string(tid)), Network: id[swarmnet.NetworkID](network), Task: tid, Service: sid,
			MAC: swarmnet.MACFor(addr), Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)},
		}}}, state.AssignTask{Task: tid, Node: id[swarmnet.NodeID](n)})
	}
}

// show lists what is in a set by name.
func show(a swarmnet.AssignmentSet) string {
	var out []string
	add := func(what string, names []string) {
		slices.Sort(names)
		if len(names) > 0 {
			out = append(out, what+": "+strings.Join(names, " "))
		}
	}
	var nodes, networks, services, endpoints, tasks []string
	for n := range maps.Values(a.Nodes) {
		nodes = append(nodes, n.Name())
	}
	for n := range maps.Values(a.Networks) {
		networks = append(networks, n.Spec.Name)
	}
	for s := range maps.Values(a.Services) {
		services = append(services, s.Spec.Name)
	}
	for e := range maps.Values(a.Endpoints) {
		endpoints = append(endpoints, fmt.Sprintf("%s@%s", strings.Join(strings.SplitN(e.TaskName, ".", 3)[:2], "."), a.Nodes[e.Node].Name()))
	}
	for t := range maps.Values(a.Tasks) {
		tasks = append(tasks, fmt.Sprintf("%s.%d", t.ServiceName, t.Slot))
	}
	add("nodes", nodes)
	add("networks", networks)
	add("services", services)
	add("endpoints", endpoints)
	add("tasks", tasks)
	return strings.Join(out, "; ")
}

func TestAssignments(t *testing.T) {
	w := newWorld(t, "n1", "n2", "n3")
	w.network("app", 1, false)
	w.network("db", 2, false)
	w.service("web", "app", 1, 0, "n1", "n2")
	w.service("store", "db", 2, 0, "n3")
	check := func(node, want string) {
		t.Helper()
		if got := show(Assignments(w.s, id[swarmnet.NodeID](node))); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", node, got, want)
		}
	}
	check("n1", "nodes: n1 n2; networks: app; services: web; endpoints: web.1@n1 web.2@n2; tasks: web.1")
	check("n3", "nodes: n3; networks: db; services: store; endpoints: store.1@n3; tasks: store.1")

	// With the routing mesh every node takes part: it needs all nodes, and the backends of what is published.
	w.network("ingress", 0, true)
	check("n3", "nodes: n1 n2 n3; networks: db ingress; services: store; endpoints: store.1@n3; tasks: store.1")
	w.service("shop", "app", 1, 8080)
	check("n3", "nodes: n1 n2 n3; networks: app db ingress; services: shop store web; endpoints: store.1@n3 web.1@n1 web.2@n2; tasks: store.1")
}

func TestAssignmentsHoldNoSecrets(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.network("app", 1, false)
	w.service("web", "app", 1, 0, "n1", "n1")
	w.service("other", "app", 1, 0) // on the same network, with tasks nowhere on n1
	a := Assignments(w.s, id[swarmnet.NodeID]("n1"))
	b, err := proto.Marshal(wire.AssignmentSetToProto(a))
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"hidden-token", "hidden-hash", "hidden-key", "hidden-env-other"} {
		if strings.Contains(string(b), hidden) {
			t.Errorf("%s is handed out", hidden)
		}
	}
	for _, wanted := range []string{"hidden-env-web", "gossip", "root"} {
		if !strings.Contains(string(b), wanted) {
			t.Errorf("%s is missing", wanted)
		}
	}
	if want := []string{"n1:4747"}; !slices.Equal(a.Cluster.Managers, want) {
		t.Errorf("managers %v, want %v", a.Cluster.Managers, want)
	}
	if a.Cluster.Epoch != 3 || a.Revision != w.s.Revision() || a.Self != id[swarmnet.NodeID]("n1") {
		t.Errorf("epoch %d, revision %d, self %s", a.Cluster.Epoch, a.Revision, a.Self)
	}
}
