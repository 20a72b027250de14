package planner

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

func (c *cluster) open(name string) state.Command {
	index := byte(1)
	if n, ok := c.s.Node(nodeID(name)); ok {
		index = byte(n.Index)
	} else {
		index = c.seq
	}
	return state.OpenSession{Node: nodeID(name), Manager: nodeID(name), NewEpoch: true, Description: swarmnet.NodeDescription{
		Hostname: name, OS: "linux", Arch: "amd64", VTEP: netip.AddrFrom4([4]byte{192, 168, 0, index})}}
}

func nodeSpec(spec swarmnet.NodeSpec, args map[string][]string) swarmnet.NodeSpec {
	for k, vals := range args {
		for _, v := range vals {
			switch k {
			case "role":
				spec.Role, _ = swarmnet.ParseRole(v)
			case "availability":
				spec.Availability, _ = swarmnet.ParseAvailability(v)
			case "name":
				spec.Name = v
			case "label":
				key, value, _ := strings.Cut(v, ":")
				labels := maps.Clone(spec.Labels)
				if labels == nil {
					labels = map[string]string{}
				}
				labels[key] = value
				spec.Labels = labels
			}
		}
	}
	return spec
}

func networkOf(seq int, name string, args map[string][]string, words []string) swarmnet.Network {
	spec := swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverOverlay}
	var wish swarmnet.IPAMConfig
	for k, vals := range args {
		for _, v := range vals {
			switch k {
			case "driver":
				spec.Driver = v
			case "vni", "mtu":
				if spec.Options == nil {
					spec.Options = map[string]string{}
				}
				spec.Options[k] = v
			case "subnet":
				wish.Subnet = netip.MustParsePrefix(v)
			case "subnet6":
				spec.IPv6 = true
				spec.IPAM = append(spec.IPAM, swarmnet.IPAMConfig{Subnet: netip.MustParsePrefix(v)})
			case "gateway":
				wish.Gateway = netip.MustParseAddr(v)
			case "range":
				wish.Range = netip.MustParsePrefix(v)
			case "aux":
				if wish.Aux == nil {
					wish.Aux = map[string]netip.Addr{}
				}
				wish.Aux["aux"+strconv.Itoa(len(wish.Aux))] = netip.MustParseAddr(v)
			}
		}
	}
	if wish.Subnet.IsValid() || wish.Gateway.IsValid() || len(spec.IPAM) > 0 {
		spec.IPAM = append([]swarmnet.IPAMConfig{wish}, spec.IPAM...)
	}
	spec.IPv6 = spec.IPv6 || slices.Contains(words, "ipv6")
	spec.Internal = slices.Contains(words, "internal")
	spec.Ingress = slices.Contains(words, "ingress")
	spec.Attachable = slices.Contains(words, "attachable")
	return swarmnet.Network{ID: swarmnet.NetworkID(swarmnet.DeriveID("network", name, strconv.Itoa(seq))), Spec: spec}
}

func (c *cluster) serviceSpec(spec swarmnet.ServiceSpec, args map[string][]string) (swarmnet.ServiceSpec, error) {
	var err error
	for _, k := range slices.Sorted(maps.Keys(args)) {
		vals := args[k]
		if len(vals) == 0 {
			continue
		}
		number, _ := strconv.Atoi(vals[0])
		period, _ := time.ParseDuration(vals[0])
		switch k {
		case "mode":
			if spec.Mode, err = swarmnet.ParseServiceMode(vals[0]); spec.Mode == swarmnet.External {
				spec.Task.Command = nil
			}
		case "replicas":
			spec.Replicas = uint32(number)
		case "endpoint-mode":
			spec.EndpointMode, err = swarmnet.ParseEndpointMode(vals[0])
		case "command":
			spec.Task.Command = vals
		case "network":
			spec.Networks = nil
			for _, v := range vals {
				n, r := c.s.FindNetwork(v)
				if r != nil {
					return spec, r
				}
				spec.Networks = append(spec.Networks, swarmnet.NetworkAttachment{Network: n.ID})
			}
		case "publish":
			spec.Ports = nil
			for _, v := range vals {
				if v != "none" {
					spec.Ports = append(spec.Ports, parsePort(v))
				}
			}
		case "constraint":
			spec.Task.Placement.Constraints = vals
		case "max-per-node":
			spec.Task.Placement.MaxPerNode = uint32(number)
		case "restart":
			spec.Task.Restart.Condition, err = swarmnet.ParseRestartCondition(vals[0])
		case "restart-delay":
			spec.Task.Restart.Delay = period
		case "restart-attempts":
			spec.Task.Restart.MaxAttempts = uint32(number)
		case "parallelism":
			spec.Update.Parallelism = uint32(number)
		case "delay":
			spec.Update.Delay = period
		case "monitor":
			spec.Update.Monitor = period
		case "order":
			spec.Update.Order, err = swarmnet.ParseUpdateOrder(vals[0])
		case "on-failure":
			spec.Update.FailureAction, err = swarmnet.ParseFailureAction(vals[0])
		default:
			err = fmt.Errorf("unknown argument %q", k)
		}
		if err != nil {
			return spec, err
		}
	}
	return spec, nil
}

// parsePort reads [PUBLISHED:]TARGET[/PROTOCOL][@host].
func parsePort(v string) swarmnet.PortSpec {
	var p swarmnet.PortSpec
	v, host := strings.CutSuffix(v, "@host")
	if host {
		p.Mode = swarmnet.PublishHost
	}
	v, proto, ok := strings.Cut(v, "/")
	if ok {
		p.Protocol, _ = swarmnet.ParseProtocol(proto)
	}
	if published, target, ok := strings.Cut(v, ":"); ok {
		n, _ := strconv.Atoi(published)
		p.Published, v = uint16(n), target
	}
	n, _ := strconv.Atoi(v)
	p.Target = uint16(n)
	return p
}

// show prints a part of the state; nil for what is no such command.
func (c *cluster) show(verb, name string) []string {
	out := []string{}
	switch verb {
	case "nodes":
		for n := range c.s.Nodes() {
			line := fmt.Sprintf("%d %s", n.Index, n)
			for _, p := range n.Ingress {
				line += " ingress=" + p.String()
			}
			out = append(out, line)
		}
		slices.Sort(out)
	case "networks":
		for n := range c.s.Networks() {
			out = append(out, n.String())
		}
		slices.Sort(out)
	case "services":
		for v := range c.s.Services() {
			line := v.String()
			if v.Update.State != swarmnet.UpdateNone {
				line += fmt.Sprintf(" update=%s (%s)", v.Update.State, v.Update.Message)
			}
			if v.Removing {
				line += " (being removed)"
			}
			out = append(out, line)
		}
		slices.Sort(out)
	case "tasks", "history":
		for _, v := range slices.SortedFunc(c.s.Services(), func(a, b swarmnet.Service) int { return strings.Compare(a.Spec.Name, b.Spec.Name) }) {
			lines := []string{}
			for t := range c.s.TasksByService(v.ID) {
				if verb == "tasks" && t.Status.State.Terminal() && t.Desired > swarmnet.DesireRunning || name != "" && t.ServiceName != name {
					continue
				}
				lines = append(lines, c.task(t))
			}
			if v.Spec.Mode == swarmnet.Global {
				slices.Sort(lines)
			}
			out = append(out, lines...)
		}
	case "notes":
		for t := range c.s.Tasks() {
			if t.Note != "" {
				out = append(out, fmt.Sprintf("%s.%d %s: %s", t.ServiceName, t.Slot, t.Status.State, t.Note))
			}
		}
	case "sandboxes":
		out = c.sandboxes()
	case "addresses":
		n, _ := c.s.NetworkByName(name)
		for a, h := range c.s.Addresses(n.ID) {
			line := fmt.Sprintf("%s %s %s", a, h.Why, h.Name)
			if t, ok := c.s.Task(swarmnet.TaskID(h.ID)); ok && !t.Standalone() {
				line = fmt.Sprintf("%s %s %s.%d", a, h.Why, t.ServiceName, t.Slot)
			}
			out = append(out, line)
		}
	default:
		return nil
	}
	if len(out) == 0 {
		return []string{"none"}
	}
	return out
}

func (c *cluster) task(t swarmnet.Task) string {
	node := "-"
	if n, ok := c.s.Node(t.Node); ok {
		node = n.Name()
	}
	line := fmt.Sprintf("%s.%d %s %s", t.ServiceName, t.Slot, node, t.Status.State)
	if t.Desired != swarmnet.DesireRunning {
		line += " desired=" + t.Desired.String()
	}
	if !slices.Equal(t.Spec.Command, []string{"sleep"}) {
		line += " command=" + strings.Join(t.Spec.Command, " ")
	}
	var eps []string
	for e := range c.s.EndpointsByTask(t.ID) {
		n, _ := c.s.Network(e.Network)
		s := " " + n.Spec.Name + "="
		for i, a := range e.Addrs {
			if i > 0 {
				s += ","
			}
			s += a.Addr().String()
		}
		if e.DefaultRoute {
			s += "*"
		}
		eps = append(eps, s)
	}
	slices.Sort(eps)
	line += strings.Join(eps, "")
	if t.Status.Message != "" && !t.Status.State.Terminal() {
		line += " (" + t.Status.Message + ")"
	}
	return line
}
