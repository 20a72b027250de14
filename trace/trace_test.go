package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/overlay"
)

// world is node n1 with sandbox box (on app) and task web.1, and nodes n2, n3 with the other tasks of web, all on app, and db on back.
func world() Input {
	set := swarmnet.EmptyAssignmentSet()
	set.Self = "n1"
	for i, id := range []swarmnet.NodeID{"n1", "n2", "n3"} {
		set.Nodes[id] = swarmnet.Node{ID: id, Index: uint16(i + 1), Description: swarmnet.NodeDescription{
			Hostname: string(id), VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}, Status: swarmnet.NodeStatus{State: swarmnet.NodeReady}}
	}
	network := func(name, subnet string, vni swarmnet.VNI, driver string, internal bool) {
		p := netip.MustParsePrefix(subnet)
		sub := swarmnet.Subnet{Prefix: p}
		if !internal {
			sub.Gateway = p.Addr().Next()
		}
		set.Networks[swarmnet.NetworkID(name)] = swarmnet.Network{ID: swarmnet.NetworkID(name), VNI: vni,
			Spec: swarmnet.NetworkSpec{Name: name, Driver: driver, Internal: internal, Attachable: true}, Subnets: []swarmnet.Subnet{sub}}
	}
	network("app", "10.0.1.0/24", 4097, swarmnet.DriverOverlay, false)
	network("back", "10.0.2.0/24", 4098, swarmnet.DriverOverlay, true)
	network("bridge", "172.29.0.0/16", swarmnet.FirstLocalSwitch, swarmnet.DriverBridge, false)
	service := func(name, network, vip string, ports ...swarmnet.PortSpec) {
		set.Services[swarmnet.ServiceID(name)] = swarmnet.Service{ID: swarmnet.ServiceID(name), Ports: ports, Spec: swarmnet.ServiceSpec{
			Name: name, Ports: ports, Networks: []swarmnet.NetworkAttachment{{Network: swarmnet.NetworkID(network)}}},
			VIPs: []swarmnet.VIP{{Network: swarmnet.NetworkID(network), Addr: netip.MustParseAddr(vip)}}}
	}
	service("web", "app", "10.0.1.2", swarmnet.PortSpec{Target: 80, Published: 8080})
	service("db", "back", "10.0.2.2")
	service("none", "app", "10.0.1.50")
	add := func(service string, slot uint32, node swarmnet.NodeID, network, addr string, state swarmnet.TaskState) {
		n := set.Networks[swarmnet.NetworkID(network)]
		p := netip.PrefixFrom(netip.MustParseAddr(addr), n.Subnets[0].Prefix.Bits())
		t := swarmnet.Task{Service: swarmnet.ServiceID(service), ServiceName: service, Slot: slot, Node: node, Desired: swarmnet.DesireRunning,
			Status: swarmnet.TaskStatus{State: state}, Networks: []swarmnet.NetworkAttachment{{Network: n.ID}}}
		t.ID = swarmnet.TaskID(swarmnet.DeriveID(service, fmt.Sprint(slot)))
		if slot == 0 {
			t.Service = ""
		}
		if node == set.Self {
			set.Tasks[t.ID] = t
		}
		if state.Terminal() {
			return
		}
		e := swarmnet.Endpoint{ID: swarmnet.EndpointID(t.ID), Network: n.ID, Task: t.ID, Service: t.Service, Node: node, Addrs: []netip.Prefix{p},
			MAC: swarmnet.MACFor(p.Addr()), DefaultRoute: n.HasGateway()}
		set.Endpoints[e.ID] = swarmnet.PeerEndpoint{Endpoint: e, TaskName: t.Name(), Slot: slot, Desired: t.Desired, State: state}
	}
	add("web", 1, "n1", "app", "10.0.1.3", swarmnet.TaskRunning)
	add("web", 2, "n2", "app", "10.0.1.4", swarmnet.TaskRunning)
	add("web", 3, "n3", "app", "10.0.1.5", swarmnet.TaskStarting)
	add("db", 1, "n1", "back", "10.0.2.3", swarmnet.TaskRunning)
	add("box", 0, "n1", "app", "10.0.1.9", swarmnet.TaskRunning)
	add("plain", 0, "n1", "bridge", "172.29.0.2", swarmnet.TaskRunning)
	add("old", 0, "n1", "app", "10.0.1.10", swarmnet.TaskShutdown)
	add("far", 0, "n2", "app", "10.0.1.11", swarmnet.TaskRunning)
	return Input{Set: set, View: gossip.View{Endpoints: map[swarmnet.EndpointID]gossip.EndpointRow{}, Nodes: map[swarmnet.NodeID]gossip.Liveness{}}}
}

// fake is a kernel in which everything is as it should be, but for what a case breaks.
type fake struct {
	in      *Input
	resolve map[string]any // []string or error; else what is right
	missing bool           // forwarding entries
	wrong   bool
	dial    map[string]error
}

func (f *fake) Resolve(_ context.Context, _ swarmnet.TaskID, name string) ([]netip.Addr, error) {
	switch v := f.resolve[name].(type) {
	case error:
		return nil, v
	case []string:
		var out []netip.Addr
		for _, s := range v {
			out = append(out, netip.MustParseAddr(s))
		}
		return out, nil
	}
	return nil, ErrNoName
}

func (f *fake) Forwarding(vni swarmnet.VNI, mac swarmnet.MAC, addr netip.Addr) (Forwarding, error) {
	if f.missing {
		return Forwarding{}, nil
	}
	for _, n := range overlay.Compute(f.in.Set, 1500, 0).Networks {
		for _, r := range n.Remotes {
			if n.VNI == vni && r.MAC == mac {
				if f.wrong {
					return Forwarding{MAC: r.MAC, VTEP: netip.MustParseAddr("192.0.2.99")}, nil
				}
				return Forwarding{MAC: r.MAC, VTEP: r.VTEP}, nil
			}
		}
	}
	return Forwarding{}, nil
}

func (f *fake) Dial(_ context.Context, _ swarmnet.TaskID, to netip.AddrPort) (string, error) {
	if err, ok := f.dial[to.Addr().String()]; ok {
		return "", err
	}
	if to.Port() == idle {
		return "", ErrRefused
	}
	return "1ms", nil
}

func TestC61_Steps(t *testing.T) {
	web := map[string]any{"web": []string{"10.0.1.2"}, "web.app": []string{"10.0.1.2"}}
	for _, c := range []struct {
		name, from, to string
		break_         func(*Input, *fake)
		want           string // the steps' names; "!" after one that failed, "?" after a note
		why            string // contained in the last step
	}{
		{"a service by name", "box", "web:80", nil, "from name vip endpoint node probe endpoint node vtep probe probe", "connected in 1ms"},
		{"from a task", "web.1", "web", nil, "from name vip endpoint node probe endpoint node vtep probe probe", "connected"},
		{"NAME.NETWORK", "box", "WEB.app:80", nil, "from name vip endpoint node probe endpoint node vtep probe probe", ""},
		{"by the virtual address", "box", "10.0.1.2:80", nil, "from vip endpoint node probe endpoint node vtep probe probe", ""},
		{"a task's address", "box", "10.0.1.4", nil, "from endpoint node vtep probe", "10.0.1.4 answers"},
		{"a sandbox's name elsewhere", "box", "far", func(_ *Input, f *fake) { f.resolve = map[string]any{"far": []string{"10.0.1.11"}} }, "from name endpoint node vtep probe", ""},
		{"the gateway", "box", "10.0.1.1", nil, "from address probe", ""},
		{"outside", "box", "198.51.100.7:443", nil, "from route probe", ""},
		{"a name outside", "box", "example.org:443", func(_ *Input, f *fake) { f.resolve = map[string]any{"example.org": []string{"198.51.100.7"}} }, "from name route probe", ""},
		{"a published port", "box", ":8080", nil, "from port probe", "192.0.2.1:8080"},
		{"of another node", "box", "192.0.2.2:8080", nil, "from port node probe", "192.0.2.2:8080"},
		{"a node", "box", "192.0.2.2", nil, "from address probe", ""},

		{"no such sandbox", "nobody", "web", nil, "from!", "no task or sandbox of this node"},
		{"a sandbox of another node", "far", "web", nil, "from!", "it runs on node n2: run the trace there"},
		{"a stopped sandbox", "old", "web", nil, "from!", "it is shutdown; `swarmnet start old` starts it"},
		{"no target", "box", "", nil, "from to!", "nowhere to go to"},
		{"a port that is none", "box", "web:http", nil, "from to!", `"http" is not a port`},
		{"a name that does not exist", "box", "wbe", nil, "from name!", "no service, task or sandbox on network app has that name"},
		{"the name of a stopped sandbox", "box", "old", nil, "from name!", "sandbox old of this node has that name and does not run: it is shutdown"},
		{"a network not shared", "box", "db", nil, "from name!", "it is a name of network back, and box is on app only: `swarmnet network connect back box`"},
		{"a service's task, not shared", "web.1", "db", nil, "from name!", "service update --network-add back web"},
		{"an address not shared", "box", "10.0.2.3:5432", nil, "from address!", "it is the address of db.1 on network back"},
		{"a virtual address not shared", "box", "10.0.2.2", nil, "from address!", "virtual address of service db"},
		{"a task by its short name", "box", "web.2:80", nil, "from name? endpoint node vtep probe", "connected"},
		{"a task not shared by its short name", "box", "db.1", nil, "from name? address!", "db.1 on network back"},
		{"what managers know", "box", "gone", func(in *Input, _ *fake) {
			in.Elsewhere = func(name string) string { return name + " has ended" }
		}, "from name!", "gone has ended"},
		{"a free address", "box", "10.0.1.77", nil, "from address!", "nothing on network app has that address"},
		{"the default bridge", "plain", "other", nil, "from name!", "default network bridge resolves no names"},
		{"the resolver is gone", "box", "web", func(_ *Input, f *fake) { f.resolve = map[string]any{"web": ErrSilent} }, "from name!", "should answer 10.0.1.2, and does not: no answer"},
		{"the resolver is behind", "box", "web", func(_ *Input, f *fake) { f.resolve = map[string]any{"web": []string{"10.0.1.8"}} }, "from name!", "answers 10.0.1.8 where 10.0.1.2 is right"},
		{"no task", "box", "10.0.1.50", nil, "from vip!", "service ps none"},
		{"no usable task", "box", "web", func(in *Input, _ *fake) {
			for id, ep := range in.Set.Endpoints {
				ep.State = min(ep.State, swarmnet.TaskStarting)
				in.Set.Endpoints[id] = ep
			}
		}, "from name vip!", "none of its tasks takes connections"},
		{"a task that starts", "box", "10.0.1.5", nil, "from endpoint!", "does not run yet: it is starting"},
		{"a node that is down", "box", "10.0.1.4", func(in *Input, _ *fake) {
			n := in.Set.Nodes["n2"]
			n.Status = swarmnet.NodeStatus{State: swarmnet.NodeDown, Message: "not heard of for too long"}
			in.Set.Nodes["n2"] = n
		}, "from endpoint node!", "given it up: not heard of for too long"},
		{"a node that is cut off", "box", "10.0.1.4:80", func(in *Input, f *fake) {
			in.View.Nodes["n2"] = gossip.Dead
			f.dial = map[string]error{"10.0.1.4": ErrSilent}
		}, "from endpoint node? vtep probe!", "no answer: node n2 answers no gossip: it is down or cut off"},
		{"a node that only seems cut off", "box", "10.0.1.4:80", func(in *Input, _ *fake) { in.View.Nodes["n2"] = gossip.Dead }, "from endpoint node? vtep probe", "connected"},
		{"a missing entry", "box", "10.0.1.4", func(_ *Input, f *fake) { f.missing = true }, "from endpoint node vtep!", "no neighbour entry for 10.0.1.4"},
		{"a wrong entry", "box", "10.0.1.4", func(_ *Input, f *fake) { f.wrong = true }, "from endpoint node vtep!", "leads to 192.0.2.99"},
		{"nobody listens", "box", "10.0.1.4:81", func(_ *Input, f *fake) { f.dial = map[string]error{"10.0.1.4": ErrRefused} }, "from endpoint node vtep probe!", "nothing listens on port 81"},
		{"packets are lost", "box", "10.0.1.4:80", func(_ *Input, f *fake) { f.dial = map[string]error{"10.0.1.4": ErrSilent} }, "from endpoint node vtep probe!", "something on the way drops packets"},
		{"no balancing", "box", "web:80", func(_ *Input, f *fake) { f.dial = map[string]error{"10.0.1.2": ErrSilent} }, "from name vip endpoint node probe endpoint node vtep probe probe!", "the balancing in the sandbox is not in force"},
		{"no way out", "db.1", "198.51.100.7:443", nil, "from route!", "they are internal"},
		{"a port that nobody publishes", "box", ":8081", nil, "from port!", "nothing publishes it; published are 8080/tcp"},
		{"the probe is not possible", "box", "10.0.1.3:80", func(_ *Input, f *fake) { f.dial = map[string]error{"10.0.1.3": errors.New("no namespace")} }, "from endpoint node probe!", "no namespace"},
	} {
		in := world()
		f := &fake{in: &in, resolve: web}
		if c.break_ != nil {
			c.break_(&in, f)
		}
		in.From, in.To = c.from, c.to
		var steps []Step
		var words []string
		if err := Run(t.Context(), in, f, func(s Step) error {
			steps = append(steps, s)
			words = append(words, s.Step+map[Verdict]string{OK: "", Note: "?", Failed: "!"}[s.Verdict])
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		// A target that cannot be read is told before anything else but the sandbox.
		last := steps[len(steps)-1]
		if got := strings.Join(words, " "); got != c.want || !strings.Contains(last.Found+" "+last.Why, c.why) {
			t.Errorf("%s: %s, want %s\n%+v", c.name, got, c.want, last)
		}
		for i, s := range steps {
			if s.Verdict == Failed && i < len(steps)-1 || (s.Verdict == OK) != (s.Why == "") || s.Verdict == OK && s.Found == "" {
				t.Errorf("%s: step %d: %+v", c.name, i, s)
			}
		}
	}
}

// An error of the listener ends the trace.
func TestC61_ListenerGone(t *testing.T) {
	in := world()
	in.From, in.To = "box", "web"
	gone, n := errors.New("gone"), 0
	err := Run(t.Context(), in, &fake{in: &in, resolve: map[string]any{"web": []string{"10.0.1.2"}}}, func(Step) error {
		if n++; n == 3 {
			return gone
		}
		return nil
	})
	if !errors.Is(err, gone) || n != 3 {
		t.Errorf("%v after %d steps", err, n)
	}
}
