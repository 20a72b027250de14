package simulation

import (
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/session"
	"github.com/swarmnet/swarmnet/proto/wire"
)

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

// acknowledge tells the managers which revision is in force.
func (d *daemon) acknowledge(revision uint64) {
	if d.welcomed && revision > d.told && d.live {
		d.told = revision
		d.send(func(m *manager, ss *served) { m.applied(ss, revision) })
	}
}
