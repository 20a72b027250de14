package trace

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
)

// address goes to an address, whatever it is. It reports whether the way got there.
func (t *tracer) address(a netip.Addr) bool {
	a = a.Unmap()
	for _, n := range t.networks {
		if s, ok := t.vipOn(n, a); ok {
			return t.vip(a, s, n)
		}
		if ep, ok := t.endpointAt(n, a); ok {
			return t.endpoint(ep, a) && t.connect(a, t.port, "")
		}
		if sub, ok := t.subnetOf(n, a); ok {
			if a == sub.Gateway {
				return t.ok("address", fmt.Sprintf("%s is the gateway of network %s, in the fabric of this node", a, t.network(n))) && t.connect(a, t.port, "")
			}
			return t.fail("address", a.String(), fmt.Sprintf("nothing on network %s has that address", t.network(n)))
		}
	}
	for _, id := range sorted(t.set.Networks) {
		if _, ok := t.subnetOf(id, a); ok {
			who := "an address"
			if s, ok := t.vipOn(id, a); ok {
				who = "the virtual address of service " + s.Spec.Name
			} else if ep, ok := t.endpointAt(id, a); ok {
				who = "the address of " + short(ep.TaskName)
			}
			return t.fail("address", a.String(), fmt.Sprintf("it is %s on network %s, and %s is on %s only: networks are kept apart", who, t.network(id), short(t.from.Name()), t.networkNames()))
		}
	}
	return t.outside(a)
}

// outside leaves the networks by the default route.
func (t *tracer) outside(a netip.Addr) bool {
	if !t.in.Host[t.stack] {
		i := slices.IndexFunc(t.endpointsOf(t.stack), func(ep swarmnet.PeerEndpoint) bool { return ep.DefaultRoute })
		if i < 0 {
			return t.fail("route", a.String(), "it is outside its networks, none of which has a way out: they are internal")
		}
		ep := t.endpointsOf(t.stack)[i]
		if !t.ok("route", fmt.Sprintf("%s is outside: by the gateway of network %s, then as this node", a, t.network(ep.Network))) {
			return false
		}
	}
	return t.connect(a, t.port, "the way out of this host: see `swarmnet doctor`")
}

func (t *tracer) vipOn(n swarmnet.NetworkID, a netip.Addr) (swarmnet.Service, bool) {
	for _, id := range sorted(t.set.Services) {
		if s := t.set.Services[id]; slices.Contains(s.VIPOn(n), a) {
			return s, true
		}
	}
	return swarmnet.Service{}, false
}

func (t *tracer) endpointAt(n swarmnet.NetworkID, a netip.Addr) (swarmnet.PeerEndpoint, bool) {
	for _, id := range sorted(t.set.Endpoints) {
		ep := t.set.Endpoints[id]
		if ep.Network == n && slices.ContainsFunc(ep.Addrs, func(p netip.Prefix) bool { return p.Addr().Unmap() == a }) {
			return ep, true
		}
	}
	return swarmnet.PeerEndpoint{}, false
}

func (t *tracer) subnetOf(n swarmnet.NetworkID, a netip.Addr) (swarmnet.Subnet, bool) {
	for _, sub := range t.set.Networks[n].Subnets {
		if sub.Prefix.Contains(a) {
			return sub, true
		}
	}
	return swarmnet.Subnet{}, false
}

// most bounds how many tasks of a service are gone to, one after the other.
const most = 8

// vip goes to each task that a virtual address balances to, then to the address itself.
func (t *tracer) vip(a netip.Addr, s swarmnet.Service, n swarmnet.NetworkID) bool {
	usable := t.backends("vip", s, n)
	port := t.port
	if port == 0 {
		port = knock(s)
	}
	for i, ep := range usable {
		if i == most {
			t.note("vip", fmt.Sprintf("%d more tasks", len(usable)-most), "they are not gone to")
			break
		}
		to := ep.Addr(a.Is6())
		if !to.IsValid() || !t.endpoint(ep, to) || !t.connect(to, port, "") {
			return false
		}
	}
	return len(usable) > 0 && t.connect(a, port, "the balancing in the sandbox is not in force: see the daemon's log")
}

// knock is a port at which a service's tasks are likely to listen.
func knock(s swarmnet.Service) uint16 {
	for _, p := range s.Ports {
		if p.Protocol == swarmnet.TCP {
			return p.Target
		}
	}
	return 0
}
