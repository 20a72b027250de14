package simulation

import (
	"net/netip"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/task"
	"github.com/swarmnet/swarmnet/gossip"
)

// Delays of a workload.
const (
	startFirst, startLast = 20 * time.Millisecond, 200 * time.Millisecond
	settleMost            = 50 * time.Millisecond // until it listens
	stopFirst, stopLast   = 5 * time.Millisecond, time.Second
)

// workload is what runs in a task. It outlives its daemon.
type workload struct {
	n       *node
	status  executor.Status
	listens bool
	since   time.Duration // of listens
	addrs   []netip.Prefix
}

// changed tells the node's daemon, if there is one.
func (l *workload) changed() {
	if d := l.n.daemon; d != nil {
		if r := d.runners[l.status.ID]; r != nil {
			r.poke()
		}
	}
}

func (l *workload) end(code int) {
	if l.status.Phase < executor.Ended {
		l.status.Phase, l.status.EndedAt, l.status.ExitCode, l.listens = executor.Ended, l.n.w.time(), code, false
		l.n.w.ended = l.n.w.now
		l.changed()
	}
}

func (l *workload) powerCut() {
	if l.status.Phase < executor.Ended {
		l.status.Phase, l.status.Err, l.listens = executor.Lost, "node restarted", false
	}
}

// there reports whether the workload still is what is in its place: it may have been removed, or lost its power.
func (l *workload) there() bool {
	return l.n.on && l.n.loads[l.status.ID] == l && l.status.Phase < executor.Ended
}

// runner carries out task.Decide for one task, as the agent's does.
type runner struct {
	d        *daemon
	id       swarmnet.TaskID
	want     desired.Task
	have     bool   // want means something
	told     uint64 // the revision in which the managers said what is wanted now
	rows     map[swarmnet.EndpointID]gossip.EndpointState
	nets     map[swarmnet.EndpointID]swarmnet.NetworkID
	reported swarmnet.TaskStatus
	sandbox  bool // is wanted
	poked    bool
}

func newRunner(d *daemon, id swarmnet.TaskID) *runner {
	return &runner{d: d, id: id, rows: map[swarmnet.EndpointID]gossip.EndpointState{}, nets: map[swarmnet.EndpointID]swarmnet.NetworkID{}}
}

func (r *runner) poke() {
	if r.poked {
		return
	}
	r.poked = true
	r.d.w.after(0, r.d.guard(func() {
		r.poked = false
		if r.d.runners[r.id] == r {
			r.step()
		}
	}))
}

func (r *runner) step() {
	in := task.Input{Desired: r.want.Desired, Told: r.want.Status.State, Spread: true}
	load := r.d.loads[r.id]
	if load != nil {
		in.Workload, in.Settling = load.status, !load.listens
	}
	stops := r.want.Desired >= swarmnet.DesireShutdown || r.want.Status.State.Terminal()
	in.Leading = stops && r.d.kernel.revision < r.told
	_, in.Network = r.d.kernel.sandbox[r.id]
	out := task.Decide(in)
	r.report(out.Status)
	if r.sandbox != out.Sandbox {
		r.sandbox = out.Sandbox
		r.d.apply()
	}
	r.publish(out.Row)
	switch {
	case out.Action == task.Start && load == nil:
		r.start()
	case out.Action == task.Stop:
		r.stop(load)
	}
}

// update says what the managers want of the task.
func (r *runner) update(t desired.Task, revision uint64) {
	if !r.have || r.want.Desired != t.Desired || r.want.Status.State != t.Status.State {
		r.told = revision
	}
	r.want, r.have = t, true
	r.poke()
}

// report tells the managers what they do not know yet.
func (r *runner) report(st swarmnet.TaskStatus) {
	was, told := r.reported, r.want.Status.State
	same := st.State == was.State && st.Err == was.Err && st.Message == was.Message
	if same || st.State < told || st.State == told && was == (swarmnet.TaskStatus{}) {
		return
	}
	if st.At.IsZero() {
		st.At = r.d.w.time()
	}
	r.reported = st
	r.d.report(r.id, st)
}

func (r *runner) publish(state gossip.EndpointState) {
	if state == gossip.EndpointUnknown {
		r.withdraw()
		return
	}
	for _, ep := range r.want.Endpoints {
		if r.rows[ep.ID] != state {
			r.rows[ep.ID], r.nets[ep.ID] = state, ep.Network
			r.d.gossip.put(ep.Network, ep.ID, state)
		}
	}
}

func (r *runner) withdraw() {
	for _, id := range sorted(r.rows) {
		r.d.gossip.remove(r.nets[id], id)
		delete(r.rows, id)
	}
}

func (r *runner) start() {
	w := r.d.w
	l := &workload{n: r.d.node, status: executor.Status{ID: r.id, Phase: executor.Starting}}
	for _, ep := range r.want.Endpoints {
		l.addrs = append(l.addrs, ep.Addrs...)
	}
	r.d.loads[r.id] = l
	w.after(w.between(startFirst, startLast), func() {
		if !l.there() {
			return
		}
		l.status.Phase, l.status.StartedAt, l.status.PID = executor.Running, w.time(), 1
		l.changed()
		w.after(w.between(0, settleMost), func() {
			if l.there() {
				l.listens, l.since = true, w.now
				l.changed()
			}
		})
	})
	r.poke()
}

// stop is the signal: from here on a connection that is new to the workload may fail.
func (r *runner) stop(l *workload) {
	if l == nil || l.status.Stopping {
		return
	}
	l.status.Stopping = true
	r.d.w.stopped(r.d.node, r.want, l.addrs)
	w := r.d.w
	w.after(w.between(stopFirst, stopLast), func() {
		if l.there() {
			l.end(0)
		}
	})
	l.changed()
}
