package simulation

import (
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/dns/records"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/overlay"
)

// kernel is what a node's kernel has in force.
type kernel struct {
	revision uint64
	set      swarmnet.AssignmentSet // that it follows from
	overlay  overlay.Desired
	mesh     ingress.Mesh
	sandbox  map[swarmnet.TaskID]desired.Sandbox
	vips     map[swarmnet.TaskID]ingress.VIPs
	at       time.Duration
}

// changed has the daemon plan soon: the set, the gossip, or something on the node is new.
func (d *daemon) changed() {
	if d.planning {
		return
	}
	d.planning = true
	d.w.after(planAfter, d.guard(func() {
		d.planning = false
		d.plan()
	}))
}

func (d *daemon) plan() {
	if !d.have {
		return
	}
	d.gossip.configure()
	view := d.gossip.view()
	d.want = desired.Compute(d.set, view, desired.Local{UnderlayMTU: 1500})
	d.names, d.planned = records.Compute(d.set, view), d.set
	assigned := map[swarmnet.TaskID]bool{}
	for _, t := range d.want.Tasks {
		assigned[t.ID] = true
		r := d.runners[t.ID]
		if r == nil {
			r = newRunner(d, t.ID)
			d.runners[t.ID] = r
		}
		r.update(t, d.want.Revision)
	}
	if d.live {
		d.prune(assigned)
	}
	d.apply()
}

// prune takes away what nobody assigned.
func (d *daemon) prune(assigned map[swarmnet.TaskID]bool) {
	var gone []swarmnet.TaskID
	for id := range d.loads {
		if !assigned[id] {
			gone = append(gone, id)
		}
	}
	for id := range d.runners {
		if !assigned[id] && !slices.Contains(gone, id) {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	for _, id := range gone {
		if r := d.runners[id]; r != nil {
			r.withdraw()
			delete(d.runners, id)
		}
		delete(d.loads, id)
	}
}

// apply brings what is wanted into force, one pass at a time.
func (d *daemon) apply() {
	if d.applying {
		d.dirty = true
		return
	}
	d.applying, d.dirty = true, false
	want, set := d.want, d.planned
	d.w.after(d.w.between(kernelFirst, kernelLast), d.guard(func() {
		d.applying = false
		k := kernel{revision: want.Revision, set: set, overlay: want.Overlay, mesh: want.Mesh, at: d.w.now,
			sandbox: map[swarmnet.TaskID]desired.Sandbox{}, vips: map[swarmnet.TaskID]ingress.VIPs{}}
		for _, t := range want.Tasks {
			if r := d.runners[t.ID]; t.Ready && r != nil && r.sandbox {
				k.sandbox[t.ID], k.vips[t.ID] = t.Sandbox, t.VIPs
			}
		}
		d.kernel = k
		d.acknowledge(want.Revision)
		for _, t := range want.Tasks {
			if r := d.runners[t.ID]; r != nil {
				r.poke()
			}
		}
		if d.dirty {
			d.apply()
		}
	}))
}
