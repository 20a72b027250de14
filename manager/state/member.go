package state

import (
	"cmp"
	"slices"

	"github.com/swarmnet/swarmnet"
)

// A sandbox that a person runs joins an external service by an endpoint on one of the service's networks. From then on that endpoint is the
// service's like a replica's: names, virtual addresses and published ports lead to it while it runs. Its task stays the person's: nobody but
// its node starts or stops it.

// external finds the external service that a sandbox asks to join.
func (x *tx) external(ref string) (swarmnet.Service, *Rejection) {
	v, r := x.s.FindService(ref)
	switch {
	case r != nil:
		return v, reject(r.Code, "%s: make it with `service create --mode external --name %s`, or leave the label out", r.Message, ref)
	case v.Removing:
		return v, reject(FailedPrecondition, "service %s is being removed", v.Spec.Name)
	case v.Spec.Mode != swarmnet.External:
		return v, reject(FailedPrecondition, "service %s is %s: its tasks are its own, and sandboxes join external services only", v.Spec.Name, v.Spec.Mode)
	}
	return v, nil
}

// join notes which service a sandbox is to be part of, if that is on the network which the sandbox comes on.
func (x *tx) join(t swarmnet.Task, n swarmnet.Network, ref string) (swarmnet.Task, *Rejection) {
	if ref == "" {
		return t, nil
	}
	v, r := x.external(ref)
	switch {
	case r != nil:
		return t, r
	case t.Member != "" && t.Member != v.ID:
		other, _ := x.s.Service(t.Member)
		return t, reject(FailedPrecondition, "sandbox %s has joined service %s: it can be part of one", t.Name(), other.Spec.Name)
	case v.On(n.ID):
		t.Member = v.ID
	}
	return t, nil
}

// enrol brings the endpoints of a sandbox in line with the service that it has joined. A sandbox that is on none of the service's networks
// any more has left it.
func (x *tx) enrol(t swarmnet.Task) {
	v, ok := x.s.Service(t.Member)
	route, joined := x.memberRoute(t, v), false
	for _, e := range x.s.endpointsOf(t.ID) {
		was := e
		e.Service, e.DefaultRoute = "", e.Network == route
		if ok && v.On(e.Network) {
			e.Service, joined = v.ID, true
		}
		if e.Service != was.Service || e.DefaultRoute != was.DefaultRoute {
			x.putEndpoint(e)
		}
	}
	if t.Member != "" && !joined {
		t.Member, t.Desired = "", swarmnet.DesireRunning
		x.putTask(t)
	}
}

// memberRoute is the network by which published ports lead to a sandbox that has joined a service: of those of the service that have a gateway
// the one of the highest priority, among equals the first by name, as its node chooses the default route.
func (x *tx) memberRoute(t swarmnet.Task, v swarmnet.Service) swarmnet.NetworkID {
	var open []swarmnet.Network
	for _, a := range t.Networks {
		if n, ok := x.s.Network(a.Network); ok && v.On(n.ID) && n.HasGateway() {
			open = append(open, n)
		}
	}
	if len(open) == 0 {
		return ""
	}
	priority := func(n swarmnet.Network) int {
		i := slices.IndexFunc(t.Networks, func(a swarmnet.NetworkAttachment) bool { return a.Network == n.ID })
		return t.Networks[i].GatewayPriority
	}
	return slices.MinFunc(open, func(a, b swarmnet.Network) int {
		return cmp.Or(-cmp.Compare(priority(a), priority(b)), cmp.Compare(a.Spec.Name, b.Spec.Name))
	}).ID
}

// members are the sandboxes that have joined a service.
func (s *State) members(id swarmnet.ServiceID) []swarmnet.Task {
	var out []swarmnet.Task
	for t := range s.TasksByService(id) {
		if t.Standalone() {
			out = append(out, t)
		}
	}
	return out
}

// checkExternal refuses what an external service cannot be.
func (x *tx) checkExternal(s swarmnet.ServiceSpec) *Rejection {
	if s.Mode != swarmnet.External {
		return nil
	}
	for _, a := range s.Networks {
		if n, ok := x.s.Network(a.Network); ok && !n.Spec.Attachable {
			return reject(FailedPrecondition, "network %s is not attachable, so no sandbox could join service %s on it: make one with --attachable", n.Spec.Name, s.Name)
		}
	}
	if x.s.NeedsIngressEndpoint(s) {
		return reject(FailedPrecondition, "service %s publishes ports, and all its networks are internal: answers could not leave them; add a network with a gateway", s.Name)
	}
	return nil
}

func (c DrainAttachment) apply(x *tx) *Rejection {
	t, ok := x.s.Task(c.Sandbox)
	switch {
	case !ok || t.Member == "":
		return nil
	case t.Node != c.Node:
		return reject(FailedPrecondition, "sandbox %s is on another node", t.Name())
	}
	x.result.ID = string(t.ID)
	if t.Desired < swarmnet.DesireDraining {
		t = x.balanced(t)
		t.Desired = swarmnet.DesireDraining
		x.putTask(t)
	}
	return nil
}

// report takes what a node says of a sandbox. It may run again after it has ended, and keeps its addresses all the while. A new run takes
// connections again.
func (x *tx) report(t swarmnet.Task, st swarmnet.TaskStatus) {
	old := t.Status
	if old == st {
		return
	}
	if t.Member != "" {
		anew := st.State < swarmnet.TaskRunning || old.State.Terminal() || st.PID != 0 && old.PID != 0 && st.PID != old.PID
		if anew && !st.State.Terminal() {
			t.Desired = swarmnet.DesireRunning
		}
		if st.State == swarmnet.TaskRunning && (anew || old.State < swarmnet.TaskRunning) {
			t = x.balanced(t)
		}
	}
	t.Status = st
	x.putTask(t)
}
