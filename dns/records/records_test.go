package records

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// TestRecords runs scripts. They build up an assignment set and a gossip view:
//
//	network NAME [ingress]
//	service NAME network=NET[,…] [vip=ADDR[,…]] [mode=dnsrr] [alias=NAME[,…]] [port=[NAME:]TARGET[/PROTO][,…]]
//	task SERVICE.SLOT node=NODE network=NET addr=ADDR[,…] [state=…] [desired=…] [alias=NAME[,…]]
//	row TASK up|ready|draining, node NAME alive|dead
//
// and ask: records, lookup networks=A,B NAME…, servers networks=A,B NAME…, reverse networks=A,B ADDR…
func TestRecords(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{set: swarmnet.EmptyAssignmentSet(), view: gossip.View{Endpoints: map[swarmnet.EndpointID]gossip.EndpointRow{}, Nodes: map[swarmnet.NodeID]gossip.Liveness{}}}
		w.set.Self = "n1"
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return w.run(t, d) })
	})
}

type world struct {
	set  swarmnet.AssignmentSet
	view gossip.View
}

func (w *world) run(t *testing.T, d *datadriven.TestData) string {
	r := Compute(w.set, w.view)
	switch d.Cmd {
	case "records":
		return r.String()
	case "lookup":
		return w.ask(d, func(nets []swarmnet.NetworkID, name string) string {
			a, ok := r.Lookup(nets, name)
			if !ok {
				return "not known"
			}
			return fmt.Sprint(a.Addrs)
		})
	case "servers":
		return w.ask(d, func(nets []swarmnet.NetworkID, name string) string {
			s, ok := r.Services(nets, name)
			if !ok {
				return "not known"
			}
			return fmt.Sprint(s)
		})
	case "reverse":
		return w.ask(d, func(nets []swarmnet.NetworkID, addr string) string {
			name, ok := r.Reverse(nets, netip.MustParseAddr(addr))
			if !ok {
				return "not known"
			}
			return name
		})
	}
	for _, line := range append([]string{""}, strings.Split(d.Input, "\n")...) {
		words := strings.Fields(line)
		if line == "" {
			words = strings.Fields(d.Cmd + " " + strings.Join(args(d), " "))
		}
		if words[0] == "set" {
			continue
		}
		if err := w.object(words); err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
	}
	return ""
}

// networkID tells the predefined bridge from all others.
func networkID(name string) swarmnet.NetworkID {
	if name == swarmnet.DriverBridge {
		return swarmnet.PredefinedNetworkID(name)
	}
	return swarmnet.NetworkID("id-" + name)
}

func args(d *datadriven.TestData) []string {
	var out []string
	for _, a := range d.CmdArgs {
		out = append(out, a.Key)
	}
	return out
}

func (w *world) ask(d *datadriven.TestData, one func([]swarmnet.NetworkID, string) string) string {
	var nets []swarmnet.NetworkID
	var out []string
	for _, a := range d.CmdArgs {
		if a.Key == "networks" {
			for _, v := range strings.Split(strings.Join(a.Vals, ","), ",") {
				nets = append(nets, networkID(v))
			}
			continue
		}
		out = append(out, a.Key+": "+one(nets, a.Key))
	}
	return strings.Join(out, "\n")
}

func (w *world) object(words []string) error {
	opt := map[string][]string{}
	for _, word := range words[2:] {
		k, v, _ := strings.Cut(word, "=")
		opt[k] = strings.Split(v, ",")
	}
	name := words[1]
	switch words[0] {
	case "network":
		_, ingress := opt["ingress"]
		id := networkID(name)
		w.set.Networks[id] = swarmnet.Network{ID: id, Spec: swarmnet.NetworkSpec{Name: name, Ingress: ingress}}
	case "service":
		s := swarmnet.Service{ID: swarmnet.ServiceID(name), Spec: swarmnet.ServiceSpec{Name: name}}
		if opt["mode"] != nil {
			mode, err := swarmnet.ParseEndpointMode(opt["mode"][0])
			if err != nil {
				return err
			}
			s.Spec.EndpointMode = mode
		}
		for i, n := range opt["network"] {
			id := networkID(n)
			s.Spec.Networks = append(s.Spec.Networks, swarmnet.NetworkAttachment{Network: id, Aliases: opt["alias"]})
			if i < len(opt["vip"]) {
				s.VIPs = append(s.VIPs, swarmnet.VIP{Network: id, Addr: netip.MustParseAddr(opt["vip"][i])})
			}
		}
		for _, v := range opt["port"] {
			var p swarmnet.PortSpec
			v, proto, hasProto := strings.Cut(v, "/")
			if hasProto {
				p.Protocol, _ = swarmnet.ParseProtocol(proto)
			}
			if name, target, named := strings.Cut(v, ":"); named {
				p.Name, v = name, target
			}
			n, err := strconv.ParseUint(v, 10, 16)
			if err != nil {
				return err
			}
			p.Target = uint16(n)
			s.Ports = append(s.Ports, p)
		}
		w.set.Services[s.ID] = s
	case "task":
		return w.task(name, opt)
	case "row":
		id := swarmnet.EndpointID(name)
		state := map[string]gossip.EndpointState{"up": gossip.EndpointUp, "ready": gossip.EndpointReady, "draining": gossip.EndpointDraining}[words[2]]
		w.view.Endpoints[id] = gossip.EndpointRow{Owner: w.set.Endpoints[id].Node, State: state}
	case "node":
		w.view.Nodes[swarmnet.NodeID(name)] = map[string]gossip.Liveness{"alive": gossip.Alive, "dead": gossip.Dead}[words[2]]
	default:
		return fmt.Errorf("%q is no object", words[0])
	}
	return nil
}

func (w *world) task(name string, opt map[string][]string) error {
	service, _, inService := strings.Cut(name, ".")
	ep := swarmnet.PeerEndpoint{TaskName: name, State: swarmnet.TaskRunning, Desired: swarmnet.DesireRunning}
	ep.ID, ep.Task, ep.Node = swarmnet.EndpointID(name), swarmnet.TaskID("id0of"+name+"00000000000000000000000"), swarmnet.NodeID(opt["node"][0])
	ep.Network, ep.Aliases = networkID(opt["network"][0]), opt["alias"]
	if inService {
		ep.Service = swarmnet.ServiceID(service)
	}
	for _, a := range opt["addr"] {
		ep.Addrs = append(ep.Addrs, netip.MustParsePrefix(a))
	}
	if opt["state"] != nil {
		state, err := swarmnet.ParseTaskState(opt["state"][0])
		if err != nil {
			return err
		}
		ep.State = state
	}
	if opt["desired"] != nil {
		for d := swarmnet.DesireReady; d <= swarmnet.DesireRemove; d++ {
			if d.String() == opt["desired"][0] {
				ep.Desired = d
			}
		}
	}
	w.set.Endpoints[ep.ID] = ep
	return nil
}
