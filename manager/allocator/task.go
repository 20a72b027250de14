package allocator

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// tasks gives every new task its endpoints.
func (p *planner) tasks() {
	var todo []swarmnet.Task
	for t := range p.d.View().WaitingTasks(swarmnet.TaskNew) {
		if t.Desired <= swarmnet.DesireRunning {
			todo = append(todo, t)
		}
	}
	for _, t := range todo {
		endpoints, why := p.endpoints(t)
		if why == "" {
			if r := p.d.Do(state.AllocateTask{Task: t.ID, Endpoints: endpoints}); r.Err == nil {
				continue
			} else {
				why = r.Err.Message
			}
		}
		p.d.Do(state.SetTaskMessage{Task: t.ID, Message: why})
	}
}

// endpoints chooses an endpoint on every network of a task, or says why there is none.
func (p *planner) endpoints(t swarmnet.Task) ([]swarmnet.Endpoint, string) {
	v, ok := p.d.View().Service(t.Service)
	if !ok {
		return nil, "its service does not exist"
	}
	attached := t.Networks
	if p.d.View().NeedsIngressEndpoint(v.Spec) {
		ingress, ok := p.d.View().IngressNetwork()
		if !ok {
			return nil, "there is no ingress network to publish its ports on: make one with network create --ingress"
		}
		attached = append(slices.Clip(slices.Clone(attached)), swarmnet.NetworkAttachment{Network: ingress.ID})
	}
	networks := make([]swarmnet.Network, len(attached))
	for i, a := range attached {
		n, ok := p.d.View().Network(a.Network)
		switch {
		case !ok:
			return nil, fmt.Sprintf("network %s does not exist", swarmnet.ShortID(a.Network))
		case !n.Allocated():
			return nil, fmt.Sprintf("network %s has no subnet: the cluster's address pools are used up, add one with cluster update --default-addr-pool", n.Spec.Name)
		}
		networks[i] = n
	}
	if v.Allocated != v.SpecVersion {
		return nil, "its service has no addresses or ports yet: its networks or the range of published ports are used up"
	}
	route := defaultRoute(networks)
	out := make([]swarmnet.Endpoint, 0, len(attached))
	for i, a := range attached {
		addrs, ok := p.addrs(networks[i])
		if !ok {
			return nil, fmt.Sprintf("network %s has no free address: remove tasks or use a larger subnet", networks[i].Spec.Name)
		}
		out = append(out, swarmnet.Endpoint{
			ID:      swarmnet.EndpointID(swarmnet.DeriveID("endpoint", string(t.ID), string(a.Network))),
			Network: a.Network, Task: t.ID, Service: t.Service,
			MAC: swarmnet.MACFor(addrs[0].Addr()), Addrs: addrs, Aliases: a.Aliases,
			DefaultRoute: a.Network == route,
		})
	}
	return out, ""
}

// defaultRoute is the network that carries a task's default route: the first by name of those with a gateway.
func defaultRoute(networks []swarmnet.Network) swarmnet.NetworkID {
	open := slices.DeleteFunc(slices.Clone(networks), func(n swarmnet.Network) bool { return !n.HasGateway() })
	if len(open) == 0 {
		return ""
	}
	return slices.MinFunc(open, func(a, b swarmnet.Network) int { return cmp.Compare(a.Spec.Name, b.Spec.Name) }).ID
}
