package allocator

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ipam"
	"github.com/swarmnet/swarmnet/manager/state"
)

// Run plans on a draft and returns when it wants to plan again though nothing changes; zero: not by itself.
func Run(d *state.Draft) time.Time {
	cluster, ok := d.View().Cluster()
	if !ok {
		return time.Time{}
	}
	p := &planner{d: d, pools: pools(cluster)}
	p.networks()
	p.nodes()
	p.services()
	p.tasks()
	return p.due
}

// pools are the cluster's, and where it has none of a family the default ones: networks want addresses of both.
func pools(c swarmnet.Cluster) []swarmnet.AddrPool {
	out := slices.Clone(c.Spec.AddrPools)
	has := func(is6 bool) bool {
		return slices.ContainsFunc(c.Spec.AddrPools, func(p swarmnet.AddrPool) bool { return p.Base.Addr().Is6() == is6 })
	}
	if !has(false) {
		out = append(out, swarmnet.DefaultClusterSpec().AddrPools...)
	}
	if !has(true) {
		out = append(out, ipam.ULA("cluster", string(c.ID)))
	}
	return out
}

type planner struct {
	d     *state.Draft
	pools []swarmnet.AddrPool
	due   time.Time
}

// networks gives VNIs and subnets.
func (p *planner) networks() {
	var todo []swarmnet.Network
	for n := range p.d.View().Networks() {
		if !n.Allocated() {
			todo = append(todo, n)
		}
	}
	slices.SortFunc(todo, func(a, b swarmnet.Network) int { return cmp.Compare(a.Meta.Created, b.Meta.Created) })
	for _, n := range todo {
		vni, _ := n.Spec.WantedVNI()
		if vni == 0 {
			var ok bool
			if vni, ok = p.d.View().FreeVNI(); !ok {
				continue
			}
		}
		if subnets, ok := p.subnets(n); ok {
			p.d.Do(state.AllocateNetwork{ID: n.ID, VNI: vni, Subnets: subnets})
		}
	}
}

// subnets chooses what a network does not name, IPv4 always and IPv6 when it is wanted. Where the cluster has no pool of IPv6 addresses, they are
// unique local ones of its own.
func (p *planner) subnets(n swarmnet.Network) ([]swarmnet.Subnet, bool) {
	var out []swarmnet.Subnet
	for i, wish := range ipam.Wishes(n.Spec) {
		prefix := wish.Subnet
		if !prefix.IsValid() {
			var used []netip.Prefix
			for o := range p.d.View().Networks() {
				used = append(used, state.Prefixes(o)...)
			}
			var ok bool
			if prefix, ok = ipam.NextSubnet(p.pools, i == 1, used); !ok {
				return nil, false
			}
		}
		out = append(out, ipam.Make(prefix, wish, n.Spec.Internal))
	}
	return out, true
}

// nodes gives every node that carries VXLAN an address on the ingress network.
func (p *planner) nodes() {
	ingress, ok := p.d.View().IngressNetwork()
	if !ok || !ingress.Allocated() {
		return
	}
	var todo []swarmnet.Node
	for n := range p.d.View().Nodes() {
		if len(n.Ingress) == 0 && n.Description.VTEP.IsValid() {
			todo = append(todo, n)
		}
	}
	slices.SortFunc(todo, func(a, b swarmnet.Node) int { return cmp.Compare(a.Index, b.Index) })
	for _, n := range todo {
		if addrs, ok := p.addrs(ingress); ok {
			p.d.Do(state.AllocateNodeIngress{Node: n.ID, Addrs: addrs})
		}
	}
}

// addrs chooses an address on every subnet of a network.
func (p *planner) addrs(n swarmnet.Network) ([]netip.Prefix, bool) {
	var out []netip.Prefix
	for _, sub := range n.Subnets {
		a, due := p.d.View().FreeAddr(n.ID, sub.Prefix.Addr().Is6(), p.d.Now())
		if !a.IsValid() {
			if !due.IsZero() && (p.due.IsZero() || due.Before(p.due)) {
				p.due = due
			}
			return nil, false
		}
		out = append(out, netip.PrefixFrom(a, sub.Prefix.Bits()))
	}
	return out, len(out) > 0
}
