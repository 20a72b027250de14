package trace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// name resolves a name as the sandbox does, and holds it against what the resolver should say.
func (t *tracer) name(name string) {
	want, known := t.names.Lookup(t.networks, name)
	got, err := t.probe.Resolve(t.ctx, t.stack, name)
	switch {
	case !known && err == nil && len(got) > 0:
		if t.ok("name", fmt.Sprintf("%s is no name of its networks; the name servers outside answer %s", name, list(got))) {
			t.address(got[0])
		}
	case !known && t.byShortName(name):
	case !known:
		t.fail("name", name, t.unknown(name, err))
	case err != nil:
		t.fail("name", name, fmt.Sprintf("its resolver should answer %s, and does not: %v", list(want.Addrs), err))
	case len(want.Addrs) == 0:
		t.empty(name)
	case !slices.ContainsFunc(got, func(a netip.Addr) bool { return slices.Contains(want.Addrs, a) }):
		t.fail("name", name, fmt.Sprintf("its resolver answers %s where %s is right: it has not caught up with the managers", list(got), list(want.Addrs)))
	default:
		if !t.ok("name", name+" is "+list(got)) {
			return
		}
		if !want.Rotate {
			got = oneOfEach(got)
		}
		for _, a := range got { // the client takes any
			if !t.address(a) {
				return
			}
		}
	}
}

// oneOfEach are the first address of either family: a client may take either.
func oneOfEach(addrs []netip.Addr) []netip.Addr {
	out := addrs[:1:1]
	for _, a := range addrs[1:] {
		if a.Is6() != out[0].Is6() {
			return append(out, a)
		}
	}
	return out
}

// byShortName goes to a task that is named as tables do, without its id: that is no name which resolves. It reports whether there is one.
func (t *tracer) byShortName(name string) bool {
	for _, id := range sorted(t.set.Endpoints) {
		ep := t.set.Endpoints[id]
		if ep.Service == "" || len(ep.Addrs) == 0 || t.set.Networks[ep.Network].Spec.Ingress || !strings.EqualFold(short(ep.TaskName), name) {
			continue
		}
		if t.note("name", name+" is "+addrsOf(ep), "it does not resolve: the task's name is "+ep.TaskName) {
			t.address(ep.Addrs[0].Addr())
		}
		return true
	}
	return false
}

func list(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "nothing"
	}
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return strings.Join(out, ", ")
}

// unknown says why a name is not known to a sandbox.
func (t *tracer) unknown(name string, err error) string {
	if task, n := t.find(name); n == 1 && task.Status.State.Terminal() {
		return fmt.Sprintf("%s of this node has that name and does not run: it is %s", t.describe(task), task.Status.State)
	}
	var elsewhere []string
	for _, id := range sorted(t.set.Networks) {
		if slices.Contains(t.networks, id) {
			continue
		}
		if _, ok := t.names.Lookup([]swarmnet.NetworkID{id}, name); ok {
			elsewhere = append(elsewhere, t.network(id))
		}
	}
	slices.Sort(elsewhere)
	on := t.networkNames()
	switch {
	case len(elsewhere) > 0 && t.from.Standalone():
		return fmt.Sprintf("it is a name of network %s, and %s is on %s only: `swarmnet network connect %s %s`", strings.Join(elsewhere, ", "), t.from.Name(), on, elsewhere[0], t.from.Name())
	case len(elsewhere) > 0:
		return fmt.Sprintf("it is a name of network %s, and %s is on %s only: `swarmnet service update --network-add %s %s`", strings.Join(elsewhere, ", "), short(t.from.Name()), on, elsewhere[0], t.from.ServiceName)
	case t.elsewhere(name) != "":
		return t.elsewhere(name)
	case t.onDefaultBridge():
		return "the default network bridge resolves no names: use addresses, or a network of your own"
	}
	outside := "the name servers outside do not know it either"
	if err != nil && !errors.Is(err, ErrNoName) {
		outside = "of names outside its resolver says: " + err.Error()
	}
	why := fmt.Sprintf("no service, task or sandbox on network %s has that name, and %s", on, outside)
	if t.in.Elsewhere == nil {
		why += "; what has ended, or is on networks that this node is not on, only managers know: `swarmnet service ls` there"
	}
	return why
}

func (t *tracer) elsewhere(name string) string {
	if t.in.Elsewhere == nil {
		return ""
	}
	return t.in.Elsewhere(name)
}

func (t *tracer) networkNames() string {
	if len(t.networks) == 0 {
		return "none"
	}
	out := make([]string, len(t.networks))
	for i, id := range t.networks {
		out[i] = t.network(id)
	}
	return strings.Join(out, ", ")
}

func (t *tracer) onDefaultBridge() bool {
	return len(t.networks) > 0 && !slices.ContainsFunc(t.networks, func(id swarmnet.NetworkID) bool {
		s := t.set.Networks[id].Spec
		return s.Driver != swarmnet.DriverBridge || s.Name != swarmnet.DriverBridge
	})
}

// empty says of a name that is known and has no address what is wrong with what should have one.
func (t *tracer) empty(name string) {
	bare := strings.TrimPrefix(name, "tasks.")
	for _, id := range sorted(t.set.Services) {
		s := t.set.Services[id]
		for _, n := range t.networks {
			suffix := "." + strings.ToLower(t.network(n))
			if strings.EqualFold(s.Spec.Name, bare) || strings.EqualFold(s.Spec.Name, strings.TrimSuffix(bare, suffix)) {
				t.say("name", OK, fmt.Sprintf("%s is service %s", name, s.Spec.Name), "")
				t.backends("vip", s, n)
				return
			}
		}
	}
	t.fail("name", name, "it is known and has no address: nothing that has the name runs")
}

// backends names every task of a service on a network and says which take connections; those are returned. When none does, the way ends.
func (t *tracer) backends(step string, s swarmnet.Service, n swarmnet.NetworkID) []swarmnet.PeerEndpoint {
	var all []swarmnet.PeerEndpoint
	for _, id := range sorted(t.set.Endpoints) {
		if ep := t.set.Endpoints[id]; ep.Service == s.ID && ep.Network == n {
			all = append(all, ep)
		}
	}
	slices.SortFunc(all, func(a, b swarmnet.PeerEndpoint) int { return strings.Compare(a.TaskName, b.TaskName) })
	usable := gossip.Usable(t.set, t.in.View, all)
	var words []string
	for _, ep := range all {
		state := "usable"
		if !slices.ContainsFunc(usable, func(u swarmnet.PeerEndpoint) bool { return u.ID == ep.ID }) {
			state = "not usable, " + t.unusable(ep)
		}
		words = append(words, fmt.Sprintf("%s at %s (%s)", short(ep.TaskName), addrsOf(ep), state))
	}
	found := fmt.Sprintf("service %s on network %s: %s", s.Spec.Name, t.network(n), strings.Join(words, "; "))
	switch {
	case len(all) == 0:
		t.fail(step, "service "+s.Spec.Name+" on network "+t.network(n), "it has no task with an address: it is scaled to 0, or its tasks wait or have ended: `swarmnet service ps "+s.Spec.Name+"`")
	case len(usable) == 0:
		t.fail(step, found, "none of its tasks takes connections")
	case !t.ok(step, found):
		return nil
	}
	return usable
}

// unusable says why an endpoint takes no connections.
func (t *tracer) unusable(ep swarmnet.PeerEndpoint) string {
	row, has := t.in.View.Row(ep.ID, ep.Node)
	switch {
	case ep.Node == "":
		return "it has no node yet"
	case ep.State.Terminal() || ep.Desired > swarmnet.DesireDraining:
		return "it is " + ep.State.String()
	case ep.Desired != swarmnet.DesireRunning:
		return "it is " + ep.Desired.String()
	case ep.Node != t.set.Self && t.set.Nodes[ep.Node].Status.State == swarmnet.NodeDown:
		return "its node " + t.node(ep.Node) + " is down"
	case has && row.State == gossip.EndpointDraining:
		return "it drains"
	case has && row.State == gossip.EndpointUp:
		return "it is not healthy yet"
	case ep.State != swarmnet.TaskRunning && !has:
		return "it is " + ep.State.String()
	}
	return "its node " + t.node(ep.Node) + " is in doubt"
}
