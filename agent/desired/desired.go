// Package desired computes what must be on this node, from what the managers assigned and what the gossip tables say. It is pure: the
// same inputs, the same state.
package desired

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/overlay"
)

// Local is what only the node itself knows.
type Local struct {
	// UnderlayMTU in octets, of the device that carries VXLAN; PathMTU is what gets through to the other nodes, 0: not known.
	UnderlayMTU, PathMTU int
	// Stacks say where the tasks that a person runs have their network stack from. A task that is not in it has one of its own.
	Stacks map[swarmnet.TaskID]Stack
}

// NodeState is everything that must be on this node; what is not in it must not be.
type NodeState struct {
	Revision uint64
	Overlay  overlay.Desired
	Mesh     ingress.Mesh
	// Tasks are this node's, those to be stopped included, ordered by id.
	Tasks []Task
}

// Task is one task with the sandbox that it runs in.
type Task struct {
	swarmnet.Task
	// Endpoints are the task's, ordered as its networks.
	Endpoints []swarmnet.PeerEndpoint
	Sandbox   Sandbox
	// Ready says that everything which the sandbox needs is known: each network has its endpoint, addresses and VNI.
	Ready bool
	VIPs  ingress.VIPs
	Stack Stack
	// Expected are the ports to which connections will come: the task's own, and those of the service that it has joined.
	Expected []swarmnet.PortSpec
	// Lookup are the task's networks in the order in which a name is looked for on them.
	Lookup []swarmnet.NetworkID
}

// Sandbox is a network namespace, as it must be.
type Sandbox struct {
	Name       string
	Interfaces []Interface // eth0, eth1, …
}

// Interface is one interface of a sandbox, on one network.
type Interface struct {
	Name  string
	MAC   swarmnet.MAC
	Addrs []netip.Prefix
	MTU   int // octets; 0 with Parent only: the parent's
	VNI   swarmnet.VNI
	// Isolated keeps it from the other members of the network.
	Isolated bool
	// Parent is the host's device whose network a macvlan interface is on, Mode how; empty for all others.
	Parent, Mode string
	// Via are the gateways of the network, at most one of each family: what has an address of this interface leaves by them, wherever the
	// default routes go.
	Via []netip.Addr
	// Wish, unless nil, is for a driver that makes the interface itself. Nothing of the above counts then but Name.
	Wish *driver.Wish
	// DefaultVia are the gateways of the sandbox's default routes, at most one of each family; empty on all but one interface.
	DefaultVia []netip.Addr
}

// Compute returns what must be on the node set.Self.
func Compute(set swarmnet.AssignmentSet, view gossip.View, local Local) NodeState {
	return compute(set, view, local, ingress.NetworkVIPs(set, view))
}

func compute(set swarmnet.AssignmentSet, view gossip.View, local Local, vips map[swarmnet.NetworkID]ingress.VIPs) NodeState {
	s := NodeState{
		Revision: set.Revision,
		Overlay:  overlay.Compute(set, local.UnderlayMTU, local.PathMTU),
		Mesh:     ingress.ComputeMesh(set, view),
	}
	s.Tasks = tasksOf(set, local, s.Overlay, ingress.TaskVIPs(set, vips))
	return s
}

// tasksOf are the node's own tasks, with their sandboxes on the fabric's networks.
func tasksOf(set swarmnet.AssignmentSet, local Local, fabric overlay.Desired, vips map[swarmnet.TaskID]ingress.VIPs) (out []Task) {
	endpoints := map[swarmnet.TaskID][]swarmnet.PeerEndpoint{}
	for _, ep := range set.Endpoints {
		if _, here := set.Tasks[ep.Task]; here && ep.Node == set.Self {
			endpoints[ep.Task] = append(endpoints[ep.Task], ep)
		}
	}
	for id, t := range set.Tasks {
		task := Task{Task: t, VIPs: vips[id], Endpoints: ordered(t, endpoints[id]), Stack: local.Stacks[id], Lookup: lookupOrder(set, t), Expected: t.Ports}
		if v, ok := set.Services[t.Member]; ok {
			task.Expected = append(slices.Clip(task.Expected), v.Ports...)
		}
		switch stack := task.Stack; stack.Mode {
		case swarmnet.ModeHost:
			task.Ready = true
		case swarmnet.ModeShared:
			task.Sandbox.Name, task.Ready = string(stack.Owner), stack.OwnerUp
		default:
			task.Sandbox, task.Ready = sandboxOf(set, t, task.Endpoints, fabric, stack)
		}
		out = append(out, task)
	}
	slices.SortFunc(out, func(a, b Task) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// lookupOrder puts overlay networks first, then goes by the priority of their gateways and by name, as the default route does.
func lookupOrder(set swarmnet.AssignmentSet, t swarmnet.Task) []swarmnet.NetworkID {
	atts := slices.Clone(t.Attachments())
	overlay := func(id swarmnet.NetworkID) int {
		if set.Networks[id].Spec.Driver == swarmnet.DriverOverlay {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(atts, func(a, b swarmnet.NetworkAttachment) int {
		return cmp.Or(
			cmp.Compare(overlay(a.Network), overlay(b.Network)), -cmp.Compare(a.GatewayPriority, b.GatewayPriority),
			cmp.Compare(set.Networks[a.Network].Spec.Name, set.Networks[b.Network].Spec.Name),
		)
	})
	var out []swarmnet.NetworkID
	for _, a := range atts {
		out = append(out, a.Network)
	}
	return out
}

// ordered sorts a task's endpoints by the order of its networks; one on the ingress network comes then, and last what the task alone is connected to.
func ordered(t swarmnet.Task, eps []swarmnet.PeerEndpoint) []swarmnet.PeerEndpoint {
	place := func(ep swarmnet.PeerEndpoint) int {
		i := slices.IndexFunc(t.Networks, func(n swarmnet.NetworkAttachment) bool { return n.Network == ep.Network })
		if i < 0 {
			return len(t.Networks) + 1 + connection(t, ep.Network)
		}
		return i
	}
	slices.SortFunc(eps, func(a, b swarmnet.PeerEndpoint) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.ID, b.ID))
	})
	return eps
}

// connection is where a network is among those that a task alone is connected to; -1: it is not.
func connection(t swarmnet.Task, n swarmnet.NetworkID) int {
	return slices.IndexFunc(t.Connected, func(a swarmnet.NetworkAttachment) bool { return a.Network == n })
}

// interfaceName is what the i-th endpoint's interface is called if nothing else is known: one that comes and goes while the others stay has a
// name by its network's number.
func interfaceName(t swarmnet.Task, n swarmnet.Network, i int) string {
	if connection(t, n.ID) >= 0 {
		return "eth" + n.VNI.String()
	}
	return "eth" + strconv.Itoa(i)
}

// sandboxOf reports false while something is missing: a sandbox is made once it is whole. Interfaces without a name in stack are eth0, eth1, …
func sandboxOf(set swarmnet.AssignmentSet, t swarmnet.Task, eps []swarmnet.PeerEndpoint, fabric overlay.Desired, stack Stack) (Sandbox, bool) {
	sb := Sandbox{Name: string(t.ID)}
	for _, n := range t.Networks {
		if !slices.ContainsFunc(eps, func(ep swarmnet.PeerEndpoint) bool { return ep.Network == n.Network }) {
			return sb, false
		}
	}
	for i, ep := range eps {
		n := set.Networks[ep.Network]
		ifc := Interface{Name: stack.Interfaces[n.ID], MAC: ep.MAC, Addrs: ep.Addrs, VNI: n.VNI}
		if ifc.Name == "" {
			ifc.Name = interfaceName(t, n, i)
		}
		wish, theirs := stack.Wishes[n.ID]
		switch {
		case theirs:
			ifc.Wish = &wish
		case n.Spec.Options[driver.Parent] != "":
			ifc.Parent, ifc.Mode = n.Spec.Options[driver.Parent], n.Spec.Options[driver.MacvlanMode]
			ifc.MTU, _ = strconv.Atoi(n.Spec.Options[swarmnet.OptionMTU])
		default:
			at := slices.IndexFunc(fabric.Networks, func(o overlay.Network) bool { return o.ID == n.ID })
			if at < 0 {
				return sb, false
			}
			ifc.MTU, ifc.Isolated = fabric.Networks[at].MTU, fabric.Networks[at].Isolated
		}
		if !n.Allocated() || len(ep.Addrs) == 0 && !theirs {
			return sb, false
		}
		if ep.DefaultRoute || n.HasGateway() {
			ifc.Via = gateways(set, n, ep)
		}
		if ep.DefaultRoute {
			ifc.DefaultVia = ifc.Via
		}
		sb.Interfaces = append(sb.Interfaces, ifc)
	}
	return sb, true
}

// gateways are those of the network's subnets, or those that its driver gave; on the ingress network this node's own addresses, since its
// fabric is the router there.
func gateways(set swarmnet.AssignmentSet, n swarmnet.Network, ep swarmnet.PeerEndpoint) []netip.Addr {
	if n.Conf != "" {
		return ep.Gateways
	}
	var out []netip.Addr
	if n.Spec.Ingress {
		for _, p := range set.Nodes[set.Self].Ingress {
			out = append(out, p.Addr())
		}
		return out
	}
	for _, sub := range n.Subnets {
		if sub.Gateway.IsValid() {
			out = append(out, sub.Gateway)
		}
	}
	return out
}
