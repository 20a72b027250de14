package planner

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

func sandboxID(name string) swarmnet.TaskID {
	return swarmnet.TaskID(swarmnet.DeriveID("sandbox", name))
}

// attach reads `attach NAME node=N network=N [ip=A] [mac=M] [alias=A] [service=S]`, `detach [NAME] node=N [network=N]` and `drain NAME node=N`.
func (c *cluster) attach(verb, name string, args map[string][]string) (state.Command, error) {
	node, network := swarmnet.NodeID("none"), swarmnet.NetworkID("")
	if v := args["node"]; v != nil {
		node = nodeID(v[0])
	}
	if v := args["network"]; v != nil {
		n, r := c.s.FindNetwork(v[0])
		if r != nil {
			return nil, r
		}
		network = n.ID
	}
	if verb == "drain" {
		return state.DrainAttachment{Sandbox: sandboxID(name), Node: node}, nil
	}
	if verb == "detach" {
		cmd := state.RemoveAttachment{Node: node, Network: network}
		if name != "" {
			cmd.Sandbox, _ = c.whom(name)
		}
		return cmd, nil
	}
	a := swarmnet.NetworkAttachment{Network: network, Aliases: args["alias"]}
	for _, v := range args["ip"] {
		a.Addrs = append(a.Addrs, netip.MustParseAddr(v))
	}
	if v := args["mac"]; v != nil {
		mac, err := swarmnet.ParseMAC(v[0])
		if err != nil {
			return nil, err
		}
		a.MAC = mac
	}
	id, called := c.whom(name)
	cmd := state.CreateAttachment{Sandbox: id, Name: called, Node: node, Attachment: a}
	if v := args["service"]; v != nil {
		cmd.Service = v[0]
	}
	return cmd, nil
}

// whom finds the task SERVICE.SLOT that has not ended; any other name is a sandbox's.
func (c *cluster) whom(name string) (id swarmnet.TaskID, called string) {
	for t := range c.s.Tasks() {
		if !t.Standalone() && !t.Status.State.Terminal() && fmt.Sprintf("%s.%d", t.ServiceName, t.Slot) == name {
			return t.ID, t.ServiceName
		}
	}
	return sandboxID(name), name
}

func (c *cluster) sandboxes() []string {
	out := []string{}
	for t := range c.s.Tasks() {
		if !t.Standalone() {
			continue
		}
		n, _ := c.s.Node(t.Node)
		line := fmt.Sprintf("%s %s %s", t.Name(), n.Name(), t.Status.State)
		if v, ok := c.s.Service(t.Member); ok {
			line += " in " + v.Spec.Name
		}
		if t.Desired != swarmnet.DesireRunning {
			line += " " + t.Desired.String()
		}
		var eps []string
		for e := range c.s.EndpointsByTask(t.ID) {
			n, _ := c.s.Network(e.Network)
			addrs := make([]string, len(e.Addrs))
			for i, a := range e.Addrs {
				addrs[i] = a.String()
			}
			eps = append(eps, fmt.Sprintf(" %s=%s %s", n.Spec.Name, strings.Join(addrs, ","), e.MAC))
			if e.Service != "" {
				eps[len(eps)-1] += " joined"
			}
			if e.DefaultRoute {
				eps[len(eps)-1] += " route"
			}
			if len(e.Aliases) > 0 {
				eps[len(eps)-1] += " (" + strings.Join(e.Aliases, ",") + ")"
			}
		}
		slices.Sort(eps)
		out = append(out, line+strings.Join(eps, ""))
	}
	slices.Sort(out)
	return out
}

func (c *cluster) randomAttachment(t *rapid.T) state.Command {
	pick := func(what string, from ...string) string { return rapid.SampledFrom(from).Draw(t, what) }
	name, node := pick("sandbox", "x", "y", "z"), nodeID(pick("node", "n1", "n2", "n3"))
	n, ok := c.s.NetworkByName(pick("network", "app", "back", "ingress"))
	if !ok {
		return nil
	}
	if rapid.Bool().Draw(t, "detach") {
		cmd := state.RemoveAttachment{Sandbox: sandboxID(name), Node: node, Network: n.ID}
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 4:
			return state.DrainAttachment{Sandbox: cmd.Sandbox, Node: node}
		case 0:
			cmd.Network = ""
		case 1:
			cmd.Sandbox = ""
		}
		return cmd
	}
	a := swarmnet.NetworkAttachment{Network: n.ID}
	if len(n.Subnets) > 0 && rapid.Bool().Draw(t, "fixed") {
		addr := n.Subnets[0].Prefix.Addr()
		for range rapid.IntRange(0, 9).Draw(t, "nth") {
			addr = addr.Next()
		}
		a.Addrs = []netip.Addr{addr}
	}
	return state.CreateAttachment{Sandbox: sandboxID(name), Name: name, Node: node, Attachment: a, Service: pick("service", "", "", "ext", "a")}
}
