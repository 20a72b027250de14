package simulation

import (
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/ingress"
)

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
