package simulation

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/ingress"
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
			case tasks && settled && !slices.ContainsFunc(a.Addrs, func(a netip.Addr) bool { return d.answers(s.ID, a, d.planned) }):
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
		answers := func(b ingress.Backend) bool { return d.answers(s.ID, b.Addr, d.kernel.set) }
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

// answers reports whether a task of the service at an address, by what the node was told in a set, answers to it, now.
func (d *daemon) answers(id swarmnet.ServiceID, a netip.Addr, set swarmnet.AssignmentSet) bool {
	for _, ep := range set.Endpoints {
		on := d.w.byID[ep.Node]
		if ep.Service != id || on == nil || !slices.ContainsFunc(ep.Addrs, func(p netip.Prefix) bool { return p.Addr() == a }) {
			continue
		}
		l := on.loads[ep.Task]
		return l != nil && l.status.Phase == executor.Running && d.w.reaches(d.node, on)
	}
	return false
}
