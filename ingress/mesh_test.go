package ingress

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// world is an assignment set and a gossip view that scripts and random tests build.
type world struct {
	set  swarmnet.AssignmentSet
	view gossip.View
}

func newWorld() *world {
	w := &world{set: swarmnet.EmptyAssignmentSet(), view: gossip.View{
		Endpoints: map[swarmnet.EndpointID]gossip.EndpointRow{}, Nodes: map[swarmnet.NodeID]gossip.Liveness{}}}
	for i, name := range []swarmnet.NetworkID{"ingress", "app", "db"} {
		w.set.Networks[name] = swarmnet.Network{ID: name, VNI: swarmnet.VNI(4096 + i), Spec: swarmnet.NetworkSpec{Name: string(name), Ingress: i == 0},
			Subnets: []swarmnet.Subnet{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)}}}
	}
	return w
}

func (w *world) node(i int) swarmnet.NodeID {
	id := swarmnet.NodeID(fmt.Sprintf("n%d", i))
	w.set.Nodes[id] = swarmnet.Node{ID: id, Index: uint16(i), Ingress: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 16)},
		Status: swarmnet.NodeStatus{State: swarmnet.NodeReady}}
	return id
}

func (w *world) service(id swarmnet.ServiceID, vips []swarmnet.VIP, ports ...swarmnet.PortSpec) {
	w.set.Services[id] = swarmnet.Service{ID: id, Ports: ports, VIPs: vips}
}

// task places a task; its first network carries the default route.
func (w *world) task(id swarmnet.TaskID, s swarmnet.ServiceID, on int, addrs map[swarmnet.NetworkID]string, first swarmnet.NetworkID) {
	node := w.node(on)
	for network, addr := range addrs {
		p := netip.PrefixFrom(netip.MustParseAddr(addr), 16)
		ep := swarmnet.Endpoint{ID: swarmnet.EndpointID(string(id) + "." + string(network)), Network: network, Task: id, Service: s, Node: node,
			MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p}, DefaultRoute: network == first}
		w.set.Endpoints[ep.ID] = swarmnet.PeerEndpoint{Endpoint: ep, Desired: swarmnet.DesireRunning, State: swarmnet.TaskRunning}
	}
	if node == w.set.Self {
		w.set.Tasks[id] = swarmnet.Task{ID: id, Service: s, Node: node, Ports: w.set.Services[s].Ports, Desired: swarmnet.DesireRunning}
	}
}

// each changes all endpoints of a task.
func (w *world) each(id swarmnet.TaskID, f func(*swarmnet.PeerEndpoint)) {
	for key, ep := range w.set.Endpoints {
		if ep.Task == id {
			f(&ep)
			w.set.Endpoints[key] = ep
		}
	}
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			arg := func(key string) string {
				if !d.HasArg(key) {
					return ""
				}
				var v string
				d.ScanArgs(t, key, &v)
				return v
			}
			num := func(key string) (n int) { d.ScanArgs(t, key, &n); return n }
			switch d.Cmd {
			case "self":
				w.set.Self = w.node(num("node"))
			case "nodes":
				for i := range num("n") {
					w.node(i + 1)
				}
			case "service":
				var ports []swarmnet.PortSpec
				for _, text := range strings.Fields(strings.ReplaceAll(arg("ports"), "+", " ")) { // PUBLISHED:TARGET[/udp][/host]
					p := swarmnet.PortSpec{}
					f := strings.Split(text, "/")
					if _, err := fmt.Sscanf(f[0], "%d:%d", &p.Published, &p.Target); err != nil {
						t.Fatal(err)
					}
					if slices.Contains(f, "udp") {
						p.Protocol = swarmnet.UDP
					}
					if slices.Contains(f, "host") {
						p.Mode = swarmnet.PublishHost
					}
					ports = append(ports, p)
				}
				var vips []swarmnet.VIP
				for _, n := range []swarmnet.NetworkID{"app", "db"} {
					if v := arg(string(n)); v != "" {
						vips = append(vips, swarmnet.VIP{Network: n, Addr: netip.MustParseAddr(v)})
					}
				}
				w.service(swarmnet.ServiceID(arg("id")), vips, ports...)
			case "removing":
				s := w.set.Services[swarmnet.ServiceID(arg("id"))]
				s.Removing = true
				w.set.Services[s.ID] = s
			case "task":
				addrs := map[swarmnet.NetworkID]string{}
				first := swarmnet.NetworkID("")
				for _, n := range []swarmnet.NetworkID{"app", "db", "ingress"} {
					if v := arg(string(n)); v != "" {
						addrs[n] = v
						if first == "" {
							first = n
						}
					}
				}
				w.task(swarmnet.TaskID(arg("id")), swarmnet.ServiceID(arg("service")), num("node"), addrs, first)
			case "desire":
				w.each(swarmnet.TaskID(arg("id")), func(ep *swarmnet.PeerEndpoint) {
					for s := swarmnet.DesireReady; s <= swarmnet.DesireRemove; s++ {
						if s.String() == arg("state") {
							ep.Desired = s
						}
					}
				})
			case "state":
				w.each(swarmnet.TaskID(arg("id")), func(ep *swarmnet.PeerEndpoint) {
					s, err := swarmnet.ParseTaskState(arg("state"))
					if err != nil {
						t.Fatal(err)
					}
					ep.State = s
				})
			case "dead":
				w.view.Nodes[swarmnet.NodeID("n"+arg("node"))] = gossip.Dead
			case "alive":
				delete(w.view.Nodes, swarmnet.NodeID("n"+arg("node")))
			case "mesh":
				return ComputeMesh(w.set, w.view).String()
			case "vips":
				return ComputeVIPs(w.set, w.view)[swarmnet.TaskID(arg("task"))].String()
			default:
				return "unknown command"
			}
			return ""
		})
	})
}

// random draws a world with some services and tasks.
func random(t *rapid.T) *world {
	w := newWorld()
	nodes := rapid.IntRange(1, 4).Draw(t, "nodes")
	for i := range nodes {
		w.node(i + 1)
	}
	w.set.Self = "n1"
	services := rapid.IntRange(0, 4).Draw(t, "services")
	for s := range services {
		var ports []swarmnet.PortSpec
		for range rapid.IntRange(0, 2).Draw(t, "ports") {
			ports = append(ports, swarmnet.PortSpec{
				Published: rapid.Uint16Range(80, 83).Draw(t, "published"), Target: rapid.Uint16Range(1, 3).Draw(t, "target"),
				Protocol: swarmnet.Protocol(rapid.IntRange(0, 1).Draw(t, "proto")), Mode: swarmnet.PublishMode(rapid.IntRange(0, 1).Draw(t, "mode"))})
		}
		vips := []swarmnet.VIP{{Network: "app", Addr: netip.AddrFrom4([4]byte{10, 1, 200, byte(s)})}}
		w.service(swarmnet.ServiceID(fmt.Sprintf("s%d", s)), vips, ports...)
		for i := range rapid.IntRange(0, 4).Draw(t, "tasks") {
			id := swarmnet.TaskID(fmt.Sprintf("s%d.%d", s, i))
			w.task(id, swarmnet.ServiceID(fmt.Sprintf("s%d", s)), rapid.IntRange(1, nodes).Draw(t, "on"),
				map[swarmnet.NetworkID]string{"app": fmt.Sprintf("10.1.%d.%d", s, i+1)}, "app")
			w.each(id, func(ep *swarmnet.PeerEndpoint) {
				ep.Desired = swarmnet.DesiredState(rapid.IntRange(0, 4).Draw(t, "desired"))
				ep.State = swarmnet.TaskState(rapid.IntRange(int(swarmnet.TaskAssigned), int(swarmnet.TaskFailed)).Draw(t, "state"))
				if rapid.Bool().Draw(t, "row") {
					w.view.Endpoints[ep.ID] = gossip.EndpointRow{Network: ep.Network, Owner: ep.Node, State: gossip.EndpointState(rapid.IntRange(0, 3).Draw(t, "gossip"))}
				}
			})
		}
	}
	for i := range nodes {
		w.view.Nodes[swarmnet.NodeID(fmt.Sprintf("n%d", i+1))] = gossip.Liveness(rapid.IntRange(0, 3).Draw(t, "liveness"))
	}
	return w
}

func TestMeshProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := random(t)
		m := ComputeMesh(w.set, w.view)
		if again := ComputeMesh(w.set, w.view).String(); m.String() != again {
			t.Fatalf("two runs differ:\n%s\n%s", m, again)
		}
		where := map[netip.Addr]Task{}
		for i, task := range m.Tasks {
			where[task.Addr] = task
			if i > 0 && !m.Tasks[i-1].Addr.Less(task.Addr) {
				t.Fatalf("tasks are out of order:\n%s", m)
			}
		}
		seen := map[string]bool{}
		for _, p := range m.Ports {
			key := fmt.Sprint(p.Protocol, p.Published, p.HostIP)
			if seen[key] {
				t.Fatalf("port twice: %s", p)
			}
			seen[key] = true
			for i, b := range p.Backends {
				if i > 0 && p.Backends[i-1].Addr.Compare(b.Addr) > 0 {
					t.Fatalf("backends are out of order: %s", p)
				}
				if p.Mode == swarmnet.PublishHost && b.Node != m.Node {
					t.Fatalf("a host-mode port leads to another node: %s", p)
				}
				if task, ok := where[b.Addr]; !ok || task.Node != b.Node || task.Lost {
					t.Fatalf("backend %s has no way: %+v", b.Addr, task)
				}
			}
		}
		for id, s := range w.set.Services { // a port stays, whatever is behind it
			for _, p := range s.IngressPorts() {
				if !seen[fmt.Sprint(p.Protocol, p.Published, p.HostIP)] {
					t.Fatalf("port %s of %s is gone", p, id)
				}
			}
		}
	})
}

func TestVIPProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := random(t)
		for task, vips := range ComputeVIPs(w.set, w.view) {
			if w.set.Tasks[task].Node != w.set.Self {
				t.Fatalf("%s is no task of this node", task)
			}
			for _, v := range vips {
				all := slices.Concat(v.Backends, v.Draining, v.Lost)
				slices.SortFunc(all, netip.Addr.Compare)
				if len(slices.Compact(slices.Clone(all))) != len(all) {
					t.Fatalf("an address is two things: %s", vips)
				}
				for _, a := range all {
					if !slices.ContainsFunc(slices.Collect(maps.Values(w.set.Endpoints)), func(ep swarmnet.PeerEndpoint) bool {
						return ep.Service == v.Service && ep.Addr(false) == a && !ep.State.Terminal()
					}) {
						t.Fatalf("%s is none of %s", a, v.Service)
					}
				}
			}
		}
	})
}

// A port on the mesh answers by the families that the ingress network carries, on every node alike; one in host mode by all that its task has.
func TestS11MeshFamilies(t *testing.T) {
	for _, carried := range []bool{true, false} {
		w := newWorld()
		w.set.Self = w.node(1)
		if carried {
			n := w.set.Networks["ingress"]
			n.Subnets = append(n.Subnets, swarmnet.Subnet{Prefix: netip.MustParsePrefix("fd00::/64")})
			w.set.Networks["ingress"] = n
		}
		w.service("mesh", nil, swarmnet.PortSpec{Published: 80, Target: 80})
		w.service("host", nil, swarmnet.PortSpec{Published: 81, Target: 80, Mode: swarmnet.PublishHost})
		for id, service := range map[swarmnet.TaskID]swarmnet.ServiceID{"here": "mesh", "there": "mesh", "own": "host"} {
			on := 1
			if id == "there" {
				on = 2
			}
			w.task(id, service, on, map[swarmnet.NetworkID]string{"app": "10.1.0." + fmt.Sprint(len(id))}, "app")
			w.each(id, func(ep *swarmnet.PeerEndpoint) {
				ep.Addrs = append(slices.Clone(ep.Addrs), netip.MustParsePrefix("fd01::"+fmt.Sprint(len(id))+"/64"))
			})
		}
		six := map[uint16]int{}
		for _, p := range ComputeMesh(w.set, w.view).Ports {
			for _, b := range p.Backends {
				if b.Addr.Is6() {
					six[p.Published]++
				}
			}
		}
		if want := map[bool]int{true: 2, false: 0}[carried]; six[80] != want || six[81] != 1 {
			t.Errorf("ingress network with IPv6 %v: %v IPv6 backends, want %d on port 80 and 1 on port 81", carried, six, want)
		}
	}
}
