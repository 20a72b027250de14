package records

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/internal/changes"
)

// Compute derives the names of a node's networks:
//
//	SERVICE, its aliases              its virtual address, or with dnsrr those of its usable tasks, in random order
//	tasks.SERVICE, tasks.ALIAS        the addresses of its usable tasks
//	_PORT._PROTO.SERVICE, …ALIAS      for SRV: the published ports, at the service's name, or with dnsrr at those of its usable tasks
//	_PORT._PROTO.tasks.SERVICE        the same, at those of its usable tasks
//	task name, 12-character task id,
//	aliases of an endpoint            the endpoint's addresses, while its task is there
//
// A service's names are known until it is removed, so that a service without a usable task is not asked for elsewhere. Some networks
// have no names: see swarmnet.Network.HasNames.
func Compute(set swarmnet.AssignmentSet, view gossip.View) *Records {
	r := &Records{zones: make(map[swarmnet.NetworkID]*zone, len(set.Networks))}
	for id, n := range set.Networks {
		if n.HasNames() {
			r.zones[id] = newZone(n)
		}
	}
	members := map[attachment][]swarmnet.PeerEndpoint{}
	for _, id := range slices.Sorted(maps.Keys(set.Endpoints)) {
		ep := set.Endpoints[id]
		z := r.zones[ep.Network]
		if z == nil || !present(set, ep) {
			continue
		}
		z.addEndpoint(set.Services[ep.Service], ep, addresses(ep))
		if ep.Service != "" {
			at := attachment{ep.Service, ep.Network}
			members[at] = append(members[at], ep)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(set.Services), func(a, b swarmnet.ServiceID) int { return cmp.Compare(a, b) }) {
		if set.Services[id].Removing {
			continue // its name is another's to take
		}
		for _, att := range set.Services[id].Spec.Networks {
			if z := r.zones[att.Network]; z != nil {
				z.addService(set.Services[id], att, gossip.Usable(set, view, members[attachment{id, att.Network}]))
			}
		}
	}
	return r
}

type attachment struct {
	service swarmnet.ServiceID
	network swarmnet.NetworkID
}

func (z *zone) addService(s swarmnet.Service, att swarmnet.NetworkAttachment, usable []swarmnet.PeerEndpoint) {
	vips := s.VIPOn(att.Network)
	var tasks []netip.Addr
	var names []string
	for _, ep := range usable {
		tasks, names = append(tasks, addresses(ep)...), append(names, cmp.Or(ep.TaskName, swarmnet.ShortID(ep.Task)))
	}
	z.reverse(s.Spec.Name, vips...)
	for _, name := range append([]string{s.Spec.Name}, att.Aliases...) {
		if s.Spec.EndpointMode == swarmnet.EndpointDNSRR {
			z.add(changes.Owner{Service: s.ID}, name, true, tasks...)
			z.addPorts(s, name, names)
		} else {
			z.add(changes.Owner{Service: s.ID}, name, false, vips...)
			z.addPorts(s, name, []string{name})
		}
		z.add(changes.Owner{Service: s.ID}, "tasks."+name, true, tasks...)
		z.addPorts(s, "tasks."+name, names)
	}
}

func (z *zone) addEndpoint(s swarmnet.Service, ep swarmnet.PeerEndpoint, addrs []netip.Addr) {
	short := swarmnet.ShortID(ep.Task)
	z.add(changes.OwnerOf(ep.Service, ep.Task), ep.TaskName, false, addrs...)
	if short != ep.TaskName {
		z.add(changes.OwnerOf(ep.Service, ep.Task), short, false, addrs...)
	}
	for _, alias := range ep.Aliases {
		if !serviceAlias(s, ep.Network, alias) {
			z.add(changes.OwnerOf(ep.Service, ep.Task), alias, false, addrs...)
		}
	}
	z.reverse(cmp.Or(ep.TaskName, short), addrs...)
}

// serviceAlias reports whether an alias of a task's endpoint is its service's: then it stands for the service.
func serviceAlias(s swarmnet.Service, n swarmnet.NetworkID, alias string) bool {
	for _, att := range s.Spec.Networks {
		if att.Network == n && slices.Contains(att.Aliases, alias) {
			return true
		}
	}
	return false
}

// present reports whether an endpoint's own names resolve: its task is placed and not over, and its node is not known to be gone.
// Such a task may be starting or draining, its node in doubt: its own names still say where it is.
func present(set swarmnet.AssignmentSet, ep swarmnet.PeerEndpoint) bool {
	if ep.Node == "" || ep.State.Terminal() || ep.Desired == swarmnet.DesireRemove {
		return false
	}
	return ep.Node == set.Self || set.Nodes[ep.Node].Status.State != swarmnet.NodeDown
}

func addresses(ep swarmnet.PeerEndpoint) []netip.Addr {
	out := make([]netip.Addr, len(ep.Addrs))
	for i, p := range ep.Addrs {
		out[i] = p.Addr().Unmap()
	}
	return out
}
