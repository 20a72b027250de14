package desired

import (
	"reflect"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/changes"
	"github.com/swarmnet/swarmnet/overlay"
)

// Planner computes what Compute does, one state after the other, at the cost of what changed: where nothing differs but some services, their tasks
// and endpoints, and what gossip says of them, these services alone are computed, and put in the place of what they were. It is used by one
// goroutine; what it returns shares memory with what it returned before, and must not be changed. Neither must what it was given. The zero
// value is ready.
type Planner struct {
	have  bool
	set   swarmnet.AssignmentSet
	view  gossip.View
	local Local
	vips  map[swarmnet.NetworkID]ingress.VIPs
	state NodeState
}

// Compute returns what must be on the node set.Self.
func (p *Planner) Compute(set swarmnet.AssignmentSet, view gossip.View, local Local) NodeState {
	if !p.step(set, view, local) {
		p.vips = ingress.NetworkVIPs(set, view)
		p.state = compute(set, view, local, p.vips)
	}
	p.have, p.set, p.view, p.local = true, set, view, local
	return p.state
}

// step goes on from the last state, or reports false, and nothing has changed.
func (p *Planner) step(set swarmnet.AssignmentSet, view gossip.View, local Local) bool {
	if !p.have || !reflect.DeepEqual(p.local, local) || !changes.InServices(p.set, set, p.view, view) {
		return false
	}
	changed, ok := changes.Owners(p.set, set, p.view, view)
	if !ok {
		return false
	}
	next, vips := p.state, p.vips
	next.Revision = set.Revision
	if len(changed) > 0 {
		was, is := changes.Only(p.set, changed, true), changes.Only(set, changed, true)
		var ok1, ok2, ok3 bool
		next.Overlay, ok1 = overlay.Splice(next.Overlay, overlay.Compute(was, local.UnderlayMTU, local.PathMTU), overlay.Compute(is, local.UnderlayMTU, local.PathMTU))
		next.Mesh, ok2 = ingress.SpliceMesh(next.Mesh, ingress.ComputeMesh(was, p.view), ingress.ComputeMesh(is, view))
		vips, ok3 = ingress.SpliceVIPs(vips, ingress.NetworkVIPs(was, p.view), ingress.NetworkVIPs(is, view))
		if !ok1 || !ok2 || !ok3 {
			return false
		}
		next.Tasks = tasksOf(is, local, next.Overlay, ingress.TaskVIPs(is, vips))
	}
	p.state, p.vips = next, vips
	return true
}
