package state

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
)

func (c CreateAttachment) apply(x *tx) *Rejection {
	if !swarmnet.ValidID(c.Sandbox) {
		return reject(InvalidArgument, "%q is not the id of a sandbox", c.Sandbox)
	}
	if err := swarmnet.ValidateSandboxName(c.Name); err != nil {
		return invalid(err)
	}
	if err := c.Attachment.Validate(); err != nil {
		return invalid(err)
	}
	if _, r := x.node(c.Node); r != nil {
		return r
	}
	n, r := x.network(c.Attachment.Network)
	if r != nil {
		return r
	}
	t, there := x.s.Task(c.Sandbox)
	switch {
	case there && !t.Standalone():
		return c.connect(x, t, n)
	case there && t.Node != c.Node:
		return reject(AlreadyExists, "sandbox %s is on another node", t.Name())
	case !there:
		t = swarmnet.Task{ID: c.Sandbox, ServiceName: c.Name, Node: c.Node, Desired: swarmnet.DesireRunning,
			Status: swarmnet.TaskStatus{State: swarmnet.TaskAssigned, At: x.m.At}}
	}
	if t, r = x.join(t, n, c.Service); r != nil {
		return r
	}
	for _, e := range x.s.endpointsOf(t.ID) {
		if e.Network == n.ID {
			return c.again(x, t, n, e)
		}
	}
	e, r := c.endpoint(x, t, n)
	if r != nil {
		return r
	}
	t.Networks = append(slices.Clip(t.Networks), c.Attachment)
	x.putTask(t)
	x.putEndpoint(e)
	x.enrol(t)
	x.result.ID = string(e.ID)
	return nil
}

// endpoint chooses what the attachment gets.
func (c CreateAttachment) endpoint(x *tx, t swarmnet.Task, n swarmnet.Network) (e swarmnet.Endpoint, r *Rejection) {
	if r := mayAttach(n); r != nil {
		return e, r
	}
	addrs, r := x.attachmentAddrs(n, c.Attachment.Addrs)
	if r != nil {
		return e, r
	}
	mac := c.Attachment.MAC
	if mac.IsZero() {
		mac = swarmnet.MACFor(addrs[0].Addr())
	} else if r := x.freeMAC(n, mac, addrs); r != nil {
		return e, r
	}
	return swarmnet.Endpoint{
		ID:      swarmnet.EndpointID(swarmnet.DeriveID("endpoint", string(t.ID), string(n.ID))),
		Network: n.ID, Task: t.ID, Node: t.Node, MAC: mac, Addrs: addrs, Aliases: c.Attachment.Aliases,
	}, nil
}

// again answers a command whose attachment is there: nothing is done when it asks for what there is, but that the sandbox may join a service
// now. A node that repeats itself may ask for the addresses that it was given the first time.
func (c CreateAttachment) again(x *tx, t swarmnet.Task, n swarmnet.Network, e swarmnet.Endpoint) *Rejection {
	same := t.ServiceName == c.Name && slices.Equal(e.Aliases, c.Attachment.Aliases) &&
		(c.Attachment.MAC.IsZero() || c.Attachment.MAC == e.MAC)
	for _, a := range c.Attachment.Addrs {
		same = same && slices.ContainsFunc(e.Addrs, func(p netip.Prefix) bool { return p.Addr() == a })
	}
	if !same {
		return reject(AlreadyExists, "sandbox %s is on network %s already, with other settings: disconnect it first", t.Name(), n.Spec.Name)
	}
	if was, _ := x.s.Task(t.ID); was.Member != t.Member {
		x.putTask(t)
		x.enrol(t)
	}
	x.result.ID = string(e.ID)
	return nil
}

func mayAttach(n swarmnet.Network) *Rejection {
	switch {
	case n.Spec.Ingress:
		return reject(FailedPrecondition, "network %s carries the routing mesh: no sandbox can be on it", n.Spec.Name)
	case !n.Spec.Attachable:
		return reject(FailedPrecondition, "network %s is not attachable: make one with --attachable, or run a service on it", n.Spec.Name)
	case !n.Allocated():
		return reject(FailedPrecondition, "network %s has no subnet yet: try again in a moment; if it stays so, the cluster's address pools are used up", n.Spec.Name)
	}
	return nil
}

// attachmentAddrs are an address on every subnet of a network: the one asked for, else the next one. A person who names an address
// need not wait until it has rested.
func (x *tx) attachmentAddrs(n swarmnet.Network, fixed []netip.Addr) ([]netip.Prefix, *Rejection) {
	for _, a := range fixed {
		if r := x.checkUnheld(n, a.Unmap(), ""); r != nil {
			return nil, r
		}
	}
	var out []netip.Prefix
	for _, sub := range n.Subnets {
		is6 := sub.Prefix.Addr().Is6()
		i := slices.IndexFunc(fixed, func(a netip.Addr) bool { return a.Unmap().Is6() == is6 })
		if i >= 0 {
			out = append(out, netip.PrefixFrom(fixed[i].Unmap(), sub.Prefix.Bits()))
			continue
		}
		a, due := x.s.FreeAddr(n.ID, is6, x.m.At)
		switch {
		case !a.IsValid() && due.IsZero():
			return nil, reject(FailedPrecondition, "network %s has no free address: remove tasks or use a larger subnet", n.Spec.Name)
		case !a.IsValid():
			return nil, reject(FailedPrecondition, "network %s has no free address: the next one has rested in %s", n.Spec.Name, due.Sub(x.m.At))
		}
		out = append(out, netip.PrefixFrom(a, sub.Prefix.Bits()))
	}
	return out, nil
}

// freeMAC checks a MAC that a person asks for: neither another endpoint of the network has it, nor will one get it with its address.
func (x *tx) freeMAC(n swarmnet.Network, mac swarmnet.MAC, own []netip.Prefix) *Rejection {
	if mac == swarmnet.GatewayMAC(n.VNI) {
		return reject(FailedPrecondition, "Ethernet address %s is the gateway's of network %s: choose another", mac, n.Spec.Name)
	}
	for e := range x.s.EndpointsByNetwork(n.ID) {
		if e.MAC == mac {
			return reject(FailedPrecondition, "Ethernet address %s of network %s is held by %s", mac, n.Spec.Name, x.s.holding(holdEndpoint+string(e.ID)))
		}
	}
	if mac[0] != 0x02 || mac[1] != 0x42 {
		return nil
	}
	a := netip.AddrFrom4([4]byte(mac[2:]))
	if _, inside := x.s.subnet(string(n.ID), a); inside && !slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr() == a }) {
		return reject(FailedPrecondition, "Ethernet address %s of network %s goes with the address %s: choose another", mac, n.Spec.Name, a)
	}
	return nil
}

func (c RemoveAttachment) apply(x *tx) *Rejection {
	if c.Sandbox == "" {
		for _, t := range x.standalone(c.Node) {
			x.detach(t, c.Network)
		}
		return nil
	}
	t, ok := x.s.Task(c.Sandbox)
	switch {
	case !ok || !t.Standalone() && t.Node != c.Node:
		return nil
	case !t.Standalone():
		return x.disconnect(t, c.Network)
	case t.Node != c.Node:
		return reject(FailedPrecondition, "sandbox %s is on another node", t.Name())
	}
	x.detach(t, c.Network)
	return nil
}

// detach takes a sandbox off one network, or all; with the last one it is forgotten.
func (x *tx) detach(t swarmnet.Task, network swarmnet.NetworkID) {
	gone := func(n swarmnet.NetworkID) bool { return network == "" || n == network }
	left := slices.DeleteFunc(slices.Clone(t.Networks), func(a swarmnet.NetworkAttachment) bool { return gone(a.Network) })
	if len(left) == len(t.Networks) {
		return
	}
	for _, e := range x.s.endpointsOf(t.ID) {
		if gone(e.Network) {
			x.deleteEndpoint(e.ID)
		}
	}
	if t.Networks = left; len(left) == 0 {
		x.deleteTask(t.ID)
		return
	}
	if t.Desired == swarmnet.DesireDraining { // it was drained for this, and takes connections again by what is left
		t = x.balanced(t)
		t.Desired = swarmnet.DesireRunning
	}
	x.putTask(t)
	x.enrol(t)
}

// standalone lists the sandboxes of a node that are on networks of the cluster.
func (x *tx) standalone(n swarmnet.NodeID) []swarmnet.Task {
	var out []swarmnet.Task
	for t := range x.s.StandaloneTasks(n) {
		out = append(out, t)
	}
	return out
}

// owner names a sandbox and the node that it is on.
func (s *State) owner(t swarmnet.Task) string {
	if n, ok := s.Node(t.Node); ok {
		return fmt.Sprintf("sandbox %s on node %s", t.Name(), n.Name())
	}
	return "sandbox " + t.Name()
}
