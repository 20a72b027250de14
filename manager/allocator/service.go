package allocator

import (
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// services gives every service what its present spec asks for. What it has and still needs it keeps.
func (p *planner) services() {
	var todo []swarmnet.Service
	for v := range p.d.View().Services() {
		if v.Allocated != v.SpecVersion && !v.Removing {
			todo = append(todo, v)
		}
	}
	for _, v := range todo {
		vips, ok := p.vips(v)
		if !ok {
			continue // its tasks say why
		}
		ports, ok := p.ports(v)
		if !ok {
			continue
		}
		p.d.Do(state.AllocateService{ID: v.ID, Version: v.SpecVersion, VIPs: vips, Ports: ports})
	}
}

func (p *planner) vips(v swarmnet.Service) ([]swarmnet.VIP, bool) {
	if v.Spec.EndpointMode != swarmnet.EndpointVIP {
		return nil, true
	}
	var out []swarmnet.VIP
	for _, a := range v.Spec.Networks {
		n, ok := p.d.View().Network(a.Network)
		if !ok || !n.Allocated() {
			return nil, false
		}
		if has := v.VIPOn(n.ID); len(has) == len(n.Subnets) {
			for _, addr := range has {
				out = append(out, swarmnet.VIP{Network: n.ID, Addr: addr})
			}
			continue
		}
		addrs, ok := p.addrs(n)
		if !ok {
			return nil, false
		}
		for _, addr := range addrs {
			out = append(out, swarmnet.VIP{Network: n.ID, Addr: addr.Addr()})
		}
	}
	return out, true
}

// ports chooses a number for the ports that name none: the one that the service has, else the lowest that is free.
func (p *planner) ports(v swarmnet.Service) ([]swarmnet.PortSpec, bool) {
	wishes := v.Spec.UniquePorts()
	out := make([]swarmnet.PortSpec, 0, len(wishes))
	taken := func(q swarmnet.PortSpec) bool {
		same := func(o swarmnet.PortSpec) bool { return o.Protocol == q.Protocol && o.Published == q.Published }
		if slices.ContainsFunc(out, same) || slices.ContainsFunc(wishes, same) {
			return true
		}
		holder, ok := p.d.View().PortHolder(q.Protocol, q.Published)
		return ok && holder.ID != v.ID
	}
	for _, q := range wishes {
		if q.Published == 0 {
			q.Published = kept(v.Ports, q, slices.Concat(out, wishes))
		}
		for port := swarmnet.FirstDynamicPort; q.Published == 0 && port <= swarmnet.LastDynamicPort; port++ {
			try := q
			if try.Published = uint16(port); !taken(try) {
				q = try
			}
		}
		if q.Published == 0 {
			return nil, false
		}
		out = append(out, q)
	}
	return out, true
}

// kept returns the dynamic port that a service has for a wish, unless another of its wishes has it.
func kept(has []swarmnet.PortSpec, wish swarmnet.PortSpec, others []swarmnet.PortSpec) uint16 {
	for _, h := range has {
		wish.Published = h.Published
		if h == wish && h.Published >= swarmnet.FirstDynamicPort && h.Published <= swarmnet.LastDynamicPort && !slices.Contains(others, h) {
			return h.Published
		}
	}
	return 0
}
