package ingress

import (
	"cmp"
	"fmt"
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
	return TaskVIPs(set, NetworkVIPs(set, view))
}

// NetworkVIPs returns the virtual addresses on each network that has any, ordered.
func NetworkVIPs(set swarmnet.AssignmentSet, view gossip.View) map[swarmnet.NetworkID]VIPs {
	members := map[netService][]swarmnet.PeerEndpoint{}
	for _, ep := range set.Endpoints {
		if ep.Service != "" && ep.Node != "" && !ep.State.Terminal() {
			k := netService{ep.Network, ep.Service}
			members[k] = append(members[k], ep)
		}
	}
	out := map[swarmnet.NetworkID]VIPs{}
	for id, s := range set.Services {
		if s.Spec.EndpointMode != swarmnet.EndpointVIP {
			continue
		}
		for _, v := range s.VIPs {
			if v.Addr.IsValid() {
				out[v.Network] = append(out[v.Network], vip(set, view, id, v, members[netService{v.Network, id}]))
			}
		}
	}
	for id := range out {
		out[id] = inOrder(out[id])
	}
	return out
}

// inOrder sorts by address; an address is one service's.
func inOrder(v VIPs) VIPs {
	slices.SortFunc(v, func(a, b VIP) int { return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Service, b.Service)) })
	return slices.CompactFunc(v, func(a, b VIP) bool { return a.Addr == b.Addr })
}

// TaskVIPs gives each task of the node set.Self the virtual addresses of its networks.
func TaskVIPs(set swarmnet.AssignmentSet, byNetwork map[swarmnet.NetworkID]VIPs) map[swarmnet.TaskID]VIPs {
	networks := map[swarmnet.TaskID][]swarmnet.NetworkID{}
	for _, ep := range set.Endpoints {
		if _, mine := set.Tasks[ep.Task]; mine && ep.Node == set.Self && len(byNetwork[ep.Network]) > 0 {
			networks[ep.Task] = append(networks[ep.Task], ep.Network)
		}
	}
	out, joined := map[swarmnet.TaskID]VIPs{}, map[string]VIPs{}
	for task, nets := range networks {
		slices.Sort(nets)
		key := fmt.Sprint(nets)
		if _, ok := joined[key]; !ok {
			joined[key] = join(nets, byNetwork)
		}
		out[task] = joined[key]
	}
	return out
}

func join(nets []swarmnet.NetworkID, byNetwork map[swarmnet.NetworkID]VIPs) VIPs {
	if len(nets) == 1 {
		return byNetwork[nets[0]]
	}
	var all VIPs
	for _, n := range nets {
		all = append(all, byNetwork[n]...)
	}
	return inOrder(all)
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
