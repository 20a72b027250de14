package desired

import (
	"reflect"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/changes"
	"github.com/swarmnet/swarmnet/overlay"
)

// Planner computes what Compute does, one state after the other, at the cost of what changed: where nothing differs but some services, their tasks
// and endpoints, and what gossip says of them, these services alone are computed, and put in the place of what they were. It is used by one
// goroutine; what it returns shares memory with what it returned before, and must not be changed. The zero value is ready.
type Planner struct {
	last  *changes.Step // nil: none yet
	local Local
	vips  map[swarmnet.NetworkID]ingress.VIPs
	state NodeState
}

// Compute returns what must be on the node that is the reading's Self.
func (p *Planner) Compute(to *changes.Step, local Local) NodeState {
	if !p.step(to, local) {
		p.vips = ingress.NetworkVIPs(to.Set, to.View)
		p.state = compute(to.Set, to.View, local, p.vips)
	}
	p.last, p.local = to, local
	return p.state
}

// step goes on from the last state, or reports false, and nothing has changed.
func (p *Planner) step(to *changes.Step, local Local) bool {
	changed, ok := to.Since(p.last)
	if !ok || !reflect.DeepEqual(p.local, local) {
		return false
	}
	next, vips := p.state, p.vips
	next.Revision = to.Set.Revision
	if !changed.None() {
		was, is := changed.Was, changed.Is
		var ok1, ok2, ok3 bool
		next.Overlay, ok1 = overlay.Splice(next.Overlay, overlay.Compute(was.Own, local.UnderlayMTU, local.PathMTU), overlay.Compute(is.Own, local.UnderlayMTU, local.PathMTU))
		next.Mesh, ok2 = ingress.SpliceMesh(next.Mesh, ingress.ComputeMesh(was.Own, was.View), ingress.ComputeMesh(is.Own, is.View))
		vips, ok3 = ingress.SpliceVIPs(vips, ingress.NetworkVIPs(was.Own, was.View), ingress.NetworkVIPs(is.Own, is.View))
		if !ok1 || !ok2 || !ok3 {
			return false
		}
		next.Tasks = tasksOf(is.Own, local, next.Overlay, ingress.TaskVIPs(is.Own, vips))
	}
	p.state, p.vips = next, vips
	return true
}
