package simulation

import (
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/session"
	"github.com/swarmnet/swarmnet/dns/records"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/overlay"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// Delays of an agent.
const (
	pauseFirst, pauseLast   = 20 * time.Millisecond, time.Second // between attempts to open a session
	welcomeWithin           = 3 * time.Second
	planAfter               = 5 * time.Millisecond
	kernelFirst, kernelLast = 5 * time.Millisecond, 150 * time.Millisecond // until what is wanted is in force
	lookAgainEvery          = 5 * time.Second
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

// daemon is one life of a node's agent.
type daemon struct {
	*node
	since    time.Duration
	fold     session.Fold
	set      swarmnet.AssignmentSet
	have     bool // set means something
	live     bool // it came from a manager since this start
	epoch    uint64
	outbox   session.Outbox
	stream   *stream       // to a manager; nil: none
	welcomed bool          // the manager has accepted the session,
	sessions time.Duration // at that time
	next     int
	told     uint64 // revision that was acknowledged on the stream
	asked    bool   // for a complete set

	gossip   *gossiper
	runners  map[swarmnet.TaskID]*runner
	want     desired.NodeState
	planned  swarmnet.AssignmentSet // that want and names follow from
	names    *records.Records
	planning bool
	applying bool
	dirty    bool
}

func newDaemon(n *node) *daemon {
	d := &daemon{node: n, since: n.w.now, runners: map[swarmnet.TaskID]*runner{}, next: n.w.rnd.IntN(16)}
	d.set, d.have = n.disk, n.saved
	d.gossip = newGossiper(d)
	return d
}

func (d *daemon) begin() {
	d.changed()
	d.connect(0)
	d.periodic(lookAgainEvery, d.changed)
	d.gossip.begin()
}

// guard runs do only as long as this daemon lives.
func (d *daemon) guard(do func()) func() {
	return func() {
		if d.node.daemon == d {
			do()
		}
	}
}

// periodic repeats as long as the daemon lives.
func (d *daemon) periodic(every time.Duration, do func()) {
	var again func()
	again = d.guard(func() {
		do()
		d.w.after(every, again)
	})
	d.w.after(d.w.between(0, every), again)
}

// connect tries to open a session with the next manager.
func (d *daemon) connect(pause time.Duration) {
	d.w.after(pause, d.guard(func() {
		if d.stream != nil {
			return
		}
		var managers []*node
		for _, n := range d.w.nodes {
			if n.manager != nil {
				managers = append(managers, n)
			}
		}
		m := managers[d.next%len(managers)]
		d.next++
		again := d.w.between(pauseFirst, pauseLast)
		switch {
		case !d.w.reaches(d.node, m):
			d.connect(welcomeWithin)
		case m.daemon == nil: // refused at once
			d.connect(again)
		default:
			d.open(m)
		}
	}))
}

func (d *daemon) open(m *node) {
	s := d.w.newStream(d.node, m)
	d.stream = s
	welcomed := false
	s.agentEnd.closed = d.guard(func() {
		if d.stream == s {
			d.stream, d.welcomed = nil, false
			d.connect(d.w.between(pauseFirst, pauseLast))
		}
	})
	d.w.after(welcomeWithin, d.guard(func() {
		if !welcomed {
			s.close(s.agentEnd)
		}
	}))
	epoch := d.epoch
	s.ask(m.guard(func() {
		m.manager.open(s, d.description(), epoch, func(epoch uint64) {
			d.guard(func() {
				if d.stream != s {
					return
				}
				welcomed = true
				d.welcome(epoch)
			})()
		})
	}))
}

// welcome is when a manager has accepted the session.
func (d *daemon) welcome(epoch uint64) {
	d.epoch, d.told, d.asked, d.sessions, d.welcomed = epoch, 0, false, d.w.now, true
	d.fold = session.Fold{}
	d.outbox.NewStream()
	d.flush()
	d.changed()
}

func (d *daemon) complete(s *stream, set swarmnet.AssignmentSet) {
	if d.stream != s {
		return
	}
	d.asked = false
	d.fold.Complete(set)
	d.publish()
}

func (d *daemon) delta(s *stream, delta wire.Delta) {
	if d.stream != s {
		return
	}
	if !d.fold.Delta(delta) {
		if !d.asked {
			d.asked = true
			d.send(func(m *manager, ss *served) { m.sendComplete(ss) })
		}
		return
	}
	d.publish()
}

// publish puts what the stream has led to into force, unless it is older than what there is.
func (d *daemon) publish() {
	set, _ := d.fold.Set()
	if d.have && session.Older(set, d.set) {
		return
	}
	d.set, d.have, d.live = set, true, true
	d.outbox.Forget(func(id swarmnet.TaskID) bool { _, ok := set.Tasks[id]; return !ok })
	d.disk, d.saved = set, true
	d.changed()
}

// send carries something to the session's manager.
func (d *daemon) send(do func(m *manager, ss *served)) {
	s := d.stream
	if s == nil {
		return
	}
	m := s.manager
	s.ask(m.guard(func() {
		if ss := m.manager.sessions[d.id]; ss != nil && ss.stream == s {
			do(m.manager, ss)
		}
	}))
}

func (d *daemon) report(task swarmnet.TaskID, st swarmnet.TaskStatus) {
	d.outbox.Put(session.Update{Task: task, Status: st})
	d.flush()
}

func (d *daemon) flush() {
	if !d.welcomed {
		return
	}
	if updates := d.outbox.Next(); updates != nil {
		d.send(func(m *manager, ss *served) { m.report(ss, updates) })
	}
}

func (d *daemon) committed(s *stream, count uint64) {
	if d.stream == s {
		d.outbox.Committed(count)
	}
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

// acknowledge tells the managers which revision is in force.
func (d *daemon) acknowledge(revision uint64) {
	if d.welcomed && revision > d.told && d.live {
		d.told = revision
		d.send(func(m *manager, ss *served) { m.applied(ss, revision) })
	}
}
