package state

import (
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
)

func (c OpenSession) apply(x *tx) *Rejection {
	n, r := x.node(c.Node)
	if r != nil {
		return r
	}
	n.Description = c.Description
	n.Status = swarmnet.NodeStatus{State: swarmnet.NodeReady, Since: x.m.At, Manager: c.Manager}
	if c.NewEpoch {
		n.Epoch++
		n.Applied = 0    // it may have started from an older set than its predecessor had in force
		n.Degraded = nil // a new start says anew what it cannot publish
	}
	x.putNode(n)
	x.result.Epoch = n.Epoch
	return nil
}

func (c Acknowledge) apply(x *tx) *Rejection {
	n, r := x.node(c.Node)
	if r != nil {
		return r
	}
	if n.Status.State != swarmnet.NodeReady || n.Epoch != c.Epoch || c.Revision <= n.Applied {
		return nil
	}
	if c.Revision > x.s.revision {
		return reject(InvalidArgument, "node %s cannot have revision %d in force: this is %d", n.Name(), c.Revision, x.s.revision)
	}
	n.Applied = c.Revision
	x.putNodeAsIs(n)
	return nil
}

func (c CloseSession) apply(x *tx) *Rejection {
	n, r := x.node(c.Node)
	if r != nil {
		return r
	}
	if n.Status.State != swarmnet.NodeReady || n.Status.Manager != c.Manager || n.Epoch != c.Epoch {
		return nil
	}
	n.Status = swarmnet.NodeStatus{State: swarmnet.NodeDisconnected, Since: x.m.At, Message: "its session with the managers ended"}
	x.putNode(n)
	return nil
}

// maxDegraded bounds what a node may say of its ports: as many as there are of one protocol.
const maxDegraded = 1 << 16

func (c ReportPorts) apply(x *tx) *Rejection {
	n, r := x.node(c.Node)
	switch {
	case r != nil:
		return r
	case len(c.Ports) > maxDegraded:
		return reject(InvalidArgument, "node %s reports %d ports: it has not got as many", n.Name(), len(c.Ports))
	case c.Epoch != n.Epoch || slices.Equal(n.Degraded, c.Ports):
		return nil // of an earlier start, or known
	}
	n.Degraded = c.Ports
	x.putNode(n)
	return nil
}

func (c MarkNodeDown) apply(x *tx) *Rejection {
	n, r := x.node(c.Node)
	if r != nil {
		return r
	}
	if n.Status.State != swarmnet.NodeDisconnected || !n.Status.Since.Equal(c.Since) {
		return reject(FailedPrecondition, "node %s was heard of meanwhile", n.Name())
	}
	n.Status = swarmnet.NodeStatus{State: swarmnet.NodeDown, Since: x.m.At, Message: "not heard of for too long"}
	x.putNode(n)
	x.orphan(n, "its node is down")
	return nil
}

// orphan ends the tasks of a node that nothing is known of any more. Its sandboxes outside services have no place to go to: they keep
// what they have, for they may run on, until the node is removed.
func (x *tx) orphan(n swarmnet.Node, why string) {
	var tasks []swarmnet.Task
	for t := range x.s.TasksByNode(n.ID) {
		if !t.Status.State.Terminal() && !t.Standalone() {
			tasks = append(tasks, t)
		}
	}
	for _, t := range tasks {
		t.Status = swarmnet.TaskStatus{State: swarmnet.TaskOrphaned, At: x.m.At, Message: "given up: " + why}
		x.endTask(t)
	}
}

func (c AllocateNodeIngress) apply(x *tx) *Rejection {
	n, r := x.node(c.Node)
	if r != nil {
		return r
	}
	id, _ := x.s.index[byIngress].get("")
	it, ok := x.s.networks.get(id)
	if !ok {
		return reject(FailedPrecondition, "there is no ingress network")
	}
	if r := x.checkAddrs(it.v, c.Addrs, holdNode+string(n.ID)); r != nil {
		return r
	}
	n.Ingress = c.Addrs
	x.putNode(n)
	return nil
}

// checkAddrs checks the addresses of one interface: at most one of each family, each with its subnet's prefix length.
func (x *tx) checkAddrs(n swarmnet.Network, addrs []netip.Prefix, holder string) *Rejection {
	for i, p := range addrs {
		a := p.Addr()
		if r := x.checkAddr(n, a, holder); r != nil {
			return r
		}
		if sub, _ := x.s.subnet(string(n.ID), a); sub.Prefix.Bits() != p.Bits() {
			return reject(InvalidArgument, "address %s does not have the prefix length of its subnet %s", p, sub.Prefix)
		}
		for _, q := range addrs[:i] {
			if q.Addr().Is6() == a.Is6() {
				return reject(InvalidArgument, "%s and %s are two addresses of one family on network %s", q.Addr(), a, n.Spec.Name)
			}
		}
	}
	return nil
}
