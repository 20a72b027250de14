package state

import (
	"slices"

	"github.com/swarmnet/swarmnet"
)

// connect puts one task of a service on a network that its service is not on. It is there by its own names alone: the service has no virtual
// address there, and its default route stays where it is. A task that replaces it is not on the network.
func (c CreateAttachment) connect(x *tx, t swarmnet.Task, n swarmnet.Network) *Rejection {
	switch {
	case t.Node != c.Node:
		return reject(FailedPrecondition, "task %s is on another node", t.Name())
	case t.Status.State != swarmnet.TaskRunning || t.Desired != swarmnet.DesireRunning:
		return reject(FailedPrecondition, "task %s does not run, or is being stopped: connect one that runs", t.Name())
	case c.Service != "":
		return reject(InvalidArgument, "task %s is of service %s: it cannot join another", t.Name(), t.ServiceName)
	case c.Attachment.GatewayPriority != 0:
		return reject(InvalidArgument, "task %s is of a service, whose networks decide where its default route goes: leave the gateway's priority out", t.Name())
	}
	for _, e := range x.s.endpointsOf(t.ID) {
		switch {
		case e.Network != n.ID:
		case e.Service != "":
			return reject(AlreadyExists, "task %s is on network %s already", t.Name(), n.Spec.Name)
		default:
			return c.again(x, t, n, e)
		}
	}
	e, r := c.endpoint(x, t, n)
	if r != nil {
		return r
	}
	t.Connected = append(slices.Clip(t.Connected), c.Attachment)
	x.putTask(t)
	x.putEndpoint(e)
	x.result.ID = string(e.ID)
	return nil
}

// disconnect takes a task off a network that connect put it on.
func (x *tx) disconnect(t swarmnet.Task, network swarmnet.NetworkID) *Rejection {
	left := slices.DeleteFunc(slices.Clone(t.Connected), func(a swarmnet.NetworkAttachment) bool { return a.Network == network })
	if len(left) == len(t.Connected) {
		return reject(FailedPrecondition, "task %s is on its networks by its service: take the service off, scale it or remove it", t.Name())
	}
	for _, e := range x.s.endpointsOf(t.ID) {
		if e.Network == network {
			x.deleteEndpoint(e.ID)
		}
	}
	if t.Connected = left; len(left) == 0 {
		t.Connected = nil
	}
	x.putTask(t)
	return nil
}
