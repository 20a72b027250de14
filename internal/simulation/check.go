package simulation

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/dns/records"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/manager/dispatcher"
	"github.com/swarmnet/swarmnet/manager/state"
)

const (
	lookEvery = 200 * time.Millisecond
	// known is how long everything must have been as it is for a node to know it: longer than any of the delays before a name has an address.
	known = 3 * time.Second
	// steady is the same for who is gone: longer than a death takes to be noticed and to be in force.
	steady = 6 * time.Second
	// behind is how old what a node knows of the managers' truth may be.
	behind = 300 * time.Millisecond
)

// look holds every node against what must hold at every moment.
func (w *World) look() {
	for _, client := range w.nodes {
		if d := client.daemon; d != nil && d.have && d.names != nil && w.now-d.since > known {
			for _, id := range sorted(d.planned.Services) {
				d.lookAt(d.planned.Services[id])
			}
		}
	}
}

// lookAt: as long as a task of a service runs and is reached by a node that was told of it, the service's names have addresses there, and
// its published ports have somewhere to lead; once it is settled who is reached, something that answers is among them.
func (d *daemon) lookAt(s swarmnet.Service) {
	living := d.living(s.ID, d.planned)
	if s.Removing || len(living) == 0 { // a service that is being removed has given its names up
		return
	}
	settled := d.settled()
	for _, att := range s.Spec.Networks {
		if !slices.ContainsFunc(d.want.Tasks, func(t desired.Task) bool { return slices.Contains(t.Lookup, att.Network) }) {
			continue // nobody there asks
		}
		var names []string
		for _, name := range append([]string{s.Spec.Name}, att.Aliases...) {
			names = append(names, name, "tasks."+name)
		}
		for _, name := range names {
			a, ok := d.names.Lookup([]swarmnet.NetworkID{att.Network}, strings.ToLower(name))
			switch tasks := s.Spec.EndpointMode == swarmnet.EndpointDNSRR || strings.HasPrefix(name, "tasks."); {
			case !ok:
				d.w.fail("%s: %s is NXDOMAIN, and %s runs and is reached", d.name, name, living[0].task)
			case len(a.Addrs) == 0:
				d.w.fail("%s: %s has no address, and %s runs and is reached", d.name, name, living[0].task)
			case tasks && settled && !slices.ContainsFunc(a.Addrs, func(a netip.Addr) bool { return d.answers(s.ID, a) }):
				d.w.fail("%s: %s is %v, none of which answers, and %s runs and is reached", d.name, name, a.Addrs, living[0].task)
			}
		}
	}
	if living = d.living(s.ID, d.kernel.set); len(living) == 0 {
		return
	}
	for _, p := range d.kernel.mesh.Ports {
		if p.Service != s.ID || p.Mode != swarmnet.PublishIngress {
			continue
		}
		answers := func(b ingress.Backend) bool { return d.answers(s.ID, b.Addr) }
		if len(p.Backends) == 0 || settled && !slices.ContainsFunc(p.Backends, answers) {
			d.w.fail("%s: port %d leads to %v, and %s runs and is reached", d.name, p.Published, p.Backends, living[0].task)
		}
	}
}

// settled reports whether for long enough nothing has changed in whom the node reaches, and whose daemon is there.
func (d *daemon) settled() bool {
	if d.w.now-d.w.ended < time.Second {
		return false
	}
	for _, n := range d.w.nodes {
		if n != d.node && d.w.now-d.w.link(d.node, n).since < steady {
			return false
		}
		if n.daemon == nil && n.on || n.daemon != nil && d.w.now-n.daemon.since < steady {
			return false
		}
	}
	return true
}

type alive struct {
	ep   swarmnet.PeerEndpoint
	task string
}

// living are the endpoints of a service that the node was told of long ago, that are ready, and that it reaches.
func (d *daemon) living(id swarmnet.ServiceID, set swarmnet.AssignmentSet) []alive {
	var out []alive
	for _, epID := range sorted(set.Endpoints) {
		ep := set.Endpoints[epID]
		if ep.Service != id || ep.Desired != swarmnet.DesireRunning || ep.State != swarmnet.TaskRunning || set.Nodes[ep.Node].Status.State == swarmnet.NodeDown {
			continue
		}
		on := d.w.byID[ep.Node]
		if on.daemon == nil || !d.w.reaches(d.node, on) || d.w.now-d.w.reachesSince(d.node, on) < known || d.w.now-on.daemon.since < known {
			continue
		}
		r := on.daemon.runners[ep.Task]
		l := on.loads[ep.Task]
		if r != nil && l != nil && l.listens && !l.status.Stopping && d.w.now-l.since > known && r.rows[ep.ID] == gossip.EndpointReady {
			out = append(out, alive{ep, ep.TaskName})
		}
	}
	return out
}

// answers reports whether a task of the service at an address answers to the node, now.
func (d *daemon) answers(id swarmnet.ServiceID, a netip.Addr) bool {
	for _, ep := range d.planned.Endpoints {
		on := d.w.byID[ep.Node]
		if ep.Service != id || on == nil || !slices.ContainsFunc(ep.Addrs, func(p netip.Prefix) bool { return p.Addr() == a }) {
			continue
		}
		l := on.loads[ep.Task]
		return l != nil && l.status.Phase == executor.Running && d.w.reaches(d.node, on)
	}
	return false
}

// stopped is when a workload gets its stop signal: neither its own node nor one that the managers count may lead anybody there any more.
func (w *World) stopped(on *node, t desired.Task, addrs []netip.Prefix) {
	for _, p := range addrs {
		if where := on.kernel.leads(p.Addr()); where != "" {
			w.fail("%s is told to stop on %s, and %s there still leads to it", t.Name(), on.name, where)
		}
	}
	truth, ok := w.group.truth().Task(t.ID)
	if !ok || truth.Status.State.Terminal() || truth.Note != "" || truth.Desired < swarmnet.DesireShutdown {
		return // given up, or not waited for; or the node itself ends it
	}
	for _, n := range w.nodes {
		is, _ := w.group.truth().Node(n.id)
		if is.Status.State != swarmnet.NodeReady || is.Status.Since.After(truth.BalancedAt) || !w.reaches(n, on) {
			continue // one that came back since then could not be waited for
		}
		for _, p := range addrs {
			if where := n.kernel.leads(p.Addr()); where != "" {
				w.fail("%s is told to stop on %s, and %s of %s still leads to it: %s, drained as of %d at %v; the node has applied %d, it has in force what follows from %d",
					t.Name(), on.name, where, n.name, truth, truth.Balanced, truth.BalancedAt.Sub(began), is.Applied, n.kernel.revision)
			}
		}
	}
}

// leads says what takes new connections to an address.
func (k kernel) leads(a netip.Addr) string {
	for _, p := range k.mesh.Ports {
		if slices.ContainsFunc(p.Backends, func(b ingress.Backend) bool { return b.Addr == a }) {
			return "a published port"
		}
	}
	for _, id := range sorted(k.vips) {
		for _, v := range k.vips[id] {
			if slices.Contains(v.Backends, a) {
				return "a virtual address in a sandbox"
			}
		}
	}
	return ""
}

// follows is what a node must have in force by a state of the managers alone.
func (n *node) follows(s *state.State) (kernel, *records.Records) {
	set := dispatcher.Assignments(s, n.id)
	view := gossip.View{Nodes: map[swarmnet.NodeID]gossip.Liveness{}}
	for _, o := range n.w.nodes {
		if o.daemon != nil {
			view.Nodes[o.id] = gossip.Alive
		}
	}
	want := desired.Compute(set, view, desired.Local{UnderlayMTU: 1500})
	k := kernel{overlay: want.Overlay, mesh: want.Mesh, sandbox: map[swarmnet.TaskID]desired.Sandbox{}, vips: map[swarmnet.TaskID]ingress.VIPs{}}
	for _, t := range want.Tasks {
		if t.Ready && !t.Status.State.Terminal() {
			k.sandbox[t.ID], k.vips[t.ID] = t.Sandbox, t.VIPs
		}
	}
	return k, records.Compute(set, view)
}

// differs says what a node has in force otherwise than by a state of the managers.
func (n *node) differs(s *state.State) string {
	if n.daemon == nil {
		return "its daemon does not run"
	}
	want, names := n.follows(s)
	for _, part := range []struct {
		what      string
		got, want any
	}{
		{"FDB and neighbours", n.kernel.overlay, want.overlay},
		{"published ports", n.kernel.mesh, want.mesh},
		{"sandboxes", n.kernel.sandbox, want.sandbox},
		{"virtual addresses", n.kernel.vips, want.vips},
		{"names", n.daemon.names, names},
	} {
		if !reflect.DeepEqual(part.got, part.want) {
			return part.what + " are " + difference(fmt.Sprintf("%+v", part.got), fmt.Sprintf("%+v", part.want))
		}
	}
	return ""
}

// difference shows where two texts part.
func difference(got, want string) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	from := max(0, at-40)
	cut := func(s string) string { return s[min(from, len(s)):min(len(s), at+120)] }
	return fmt.Sprintf("…%s… instead of …%s…", cut(got), cut(want))
}

// follow lets time pass until every node has had in force what followed from the managers' truth of that moment: all of it, though roll-outs go on
// meanwhile. It fails those that have not after healWithin.
func (w *World) follow() {
	left := slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return !n.on })
	for end := w.now + healWithin; w.now < end && len(left) > 0; {
		w.run(lookEvery)
		left = slices.DeleteFunc(left, (*node).agrees)
	}
	for _, n := range left {
		w.fail("for %v %s has not been as the managers say: %s", healWithin, n.name, n.differs(w.group.truth()))
	}
}

// agrees reports whether a node has in force what follows from what the managers agreed on a moment ago, which it must have been told, too.
func (n *node) agrees() bool {
	for i := len(n.w.group.log) - 1; i >= 0 && n.daemon != nil; i-- {
		agreed := n.w.group.log[i]
		if dispatcher.Same(n.daemon.planned, dispatcher.Assignments(agreed.s, n.id)) && n.differs(agreed.s) == "" {
			return true
		}
		if agreed.at < n.w.now-behind {
			return false
		}
	}
	return false
}

// Behind names the nodes that do not know what the managers agreed on a moment ago.
func (w *World) Behind() (out []string) {
	for _, n := range w.nodes {
		if !n.on {
			continue
		}
		knows := false
		for i := len(w.group.log) - 1; i >= 0 && n.daemon != nil && !knows; i-- {
			knows = dispatcher.Same(n.daemon.planned, dispatcher.Assignments(w.group.log[i].s, n.id))
			if w.group.log[i].at < w.now-behind {
				break
			}
		}
		if !knows {
			out = append(out, n.name)
		}
	}
	return out
}

// Differing names the nodes that have something else in force than what follows from the managers' truth, and what.
func (w *World) Differing() (out []string) {
	for _, n := range w.nodes {
		if n.on {
			if why := n.differs(w.group.truth()); why != "" {
				out = append(out, n.name+": "+why)
			}
		}
	}
	return out
}

// rest lets time pass until the managers have said nothing new for a while. Every node follows what they say until then.
func (w *World) rest() {
	for end := w.now + 30*time.Second; w.now-w.group.log[len(w.group.log)-1].at < time.Second; w.follow() {
		if w.now > end {
			w.fail("the managers do not come to rest")
			return
		}
	}
}
