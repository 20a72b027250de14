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
	out := v.Spec.UniquePorts()
	// What is named and what is kept comes first, so that no other wish is given its number.
	for i, q := range out {
		if q.Published == 0 {
			out[i].Published = kept(v.Ports, q, out)
		}
	}
	for i, q := range out {
		for port := swarmnet.FirstDynamicPort; out[i].Published == 0; port++ {
			if port > swarmnet.LastDynamicPort {
				return nil, false
			}
			holder, held := p.d.View().PortHolder(q.Protocol, uint16(port))
			if q.Published = uint16(port); !(held && holder.ID != v.ID) && !numbered(out, q) {
				out[i] = q
			}
		}
	}
	return out, true
}

// numbered reports whether one of ports has the number of p.
func numbered(ports []swarmnet.PortSpec, p swarmnet.PortSpec) bool {
	return slices.ContainsFunc(ports, func(o swarmnet.PortSpec) bool { return o.Protocol == p.Protocol && o.Published == p.Published })
}

// kept returns the dynamic port that a service has for a wish, unless another of its wishes has it.
func kept(has []swarmnet.PortSpec, wish swarmnet.PortSpec, others []swarmnet.PortSpec) uint16 {
	for _, h := range has {
		wish.Published = h.Published
		if h == wish && h.Published >= swarmnet.FirstDynamicPort && h.Published <= swarmnet.LastDynamicPort && !numbered(others, h) {
			return h.Published
		}
	}
	return 0
}
