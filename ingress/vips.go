package ingress

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// netService is a service on a network.
type netService struct {
	network swarmnet.NetworkID
	service swarmnet.ServiceID
}

// ComputeVIPs returns the balancing of each sandbox of the node set.Self: every service in VIP mode on each network of the task. Tasks
// on the same networks share one value.
func ComputeVIPs(set swarmnet.AssignmentSet, view gossip.View) map[swarmnet.TaskID]VIPs {
	members, networks := map[netService][]swarmnet.PeerEndpoint{}, map[swarmnet.TaskID][]swarmnet.NetworkID{}
	for _, ep := range set.Endpoints {
		if ep.Service != "" && ep.Node != "" && !ep.State.Terminal() {
			k := netService{ep.Network, ep.Service}
			members[k] = append(members[k], ep)
		}
		if _, mine := set.Tasks[ep.Task]; mine && ep.Node == set.Self {
			networks[ep.Task] = append(networks[ep.Task], ep.Network)
		}
	}
	byNetwork := map[swarmnet.NetworkID]VIPs{}
	for id, s := range set.Services {
		if s.Spec.EndpointMode != swarmnet.EndpointVIP {
			continue
		}
		for _, v := range s.VIPs {
			if v.Addr.IsValid() {
				byNetwork[v.Network] = append(byNetwork[v.Network], vip(set, view, id, v, members[netService{v.Network, id}]))
			}
		}
	}
	out := map[swarmnet.TaskID]VIPs{}
	for task, nets := range networks {
		var all VIPs
		for _, n := range nets {
			all = append(all, byNetwork[n]...)
		}
		slices.SortFunc(all, func(a, b VIP) int { return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Service, b.Service)) })
		all = slices.CompactFunc(all, func(a, b VIP) bool { return a.Addr == b.Addr }) // an address is one service's
		if len(all) > 0 {
			out[task] = all
		}
	}
	return out
}

func vip(set swarmnet.AssignmentSet, view gossip.View, id swarmnet.ServiceID, v swarmnet.VIP, members []swarmnet.PeerEndpoint) VIP {
	out := VIP{Service: id, Addr: v.Addr}
	usable := map[swarmnet.EndpointID]bool{}
	for _, ep := range gossip.Usable(set, view, members) {
		usable[ep.ID] = true
	}
	for _, ep := range members {
		addr := ep.Addr(v.Addr.Is6())
		switch {
		case !addr.IsValid():
		case usable[ep.ID]:
			out.Backends = append(out.Backends, addr)
		case ep.Desired >= swarmnet.DesireShutdown:
			out.Lost = append(out.Lost, addr)
		case ep.Node == set.Self || view.Nodes[ep.Node] != gossip.Dead && set.Nodes[ep.Node].Status.State != swarmnet.NodeDown:
			out.Draining = append(out.Draining, addr)
		default:
			out.Lost = append(out.Lost, addr)
		}
	}
	slices.SortFunc(out.Backends, netip.Addr.Compare)
	slices.SortFunc(out.Draining, netip.Addr.Compare)
	slices.SortFunc(out.Lost, netip.Addr.Compare)
	return out
}
