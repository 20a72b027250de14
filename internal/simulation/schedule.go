package simulation

import (
	"fmt"
	"strconv"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
)

// healWithin is how long after a heal every node must be as the managers say.
const healWithin = 5 * time.Second

// Run makes a cluster, lets the schedule of the seed happen to it and returns what was wrong, and all that was done.
func Run(seed uint64) (failures, trace []string) {
	w := New(seed, 4)
	w.loss = 0.2 * w.rnd.Float64()
	s := &schedule{World: w}
	w.run(4 * time.Second)
	s.user(s.network("app"), s.network("back"))
	w.run(time.Second)
	for i := range 2 + w.rnd.IntN(3) {
		s.user(s.create("s" + strconv.Itoa(i)))
	}
	w.run(8 * time.Second)
	if l := w.Differing(); len(l) > 0 {
		w.fail("before anything happened: %v", l)
	}
	s.cuts()
	healed := w.now
	w.follow()
	w.run(healed + healWithin - w.now)
	if l := w.Behind(); len(l) > 0 {
		w.fail("%v after the heal these nodes do not know what the managers do: %v", healWithin, l)
	}
	w.rest() // roll-outs may go on
	if l := w.Differing(); len(l) > 0 {
		w.fail("after the heal, and %v after the managers' last word: %v", time.Second, l)
	}
	w.run(20 * time.Second)
	w.quiet()
	return w.failures, w.trace
}

// quiet checks what must hold when nothing happens any more.
func (w *World) quiet() {
	if l := w.Differing(); len(l) > 0 {
		w.fail("when all is quiet: %v", l)
	}
	if err := w.group.truth().Check(); err != nil {
		w.fail("the managers' state: %v", err)
	}
	for t := range w.group.truth().Tasks() {
		if t.Desired == swarmnet.DesireRunning && t.Status.State < swarmnet.TaskRunning && t.Node != "" && w.byID[t.Node].on {
			w.fail("when all is quiet: %s on %s does not come to run", t, w.byID[t.Node].name)
		}
	}
	for _, n := range w.nodes {
		for _, id := range sorted(n.loads) {
			t, ok := w.group.truth().Task(id)
			if n.on && n.loads[id].status.Phase < executor.Ended && (!ok || t.Node != n.id || t.Status.State != swarmnet.TaskRunning) {
				w.fail("when all is quiet: %s runs on %s, and the managers know of %s", id, n.name, t)
			}
		}
	}
}

// schedule is what a seed has happen.
type schedule struct {
	*World
	changes int
}

// cuts has things happen while nodes are cut off, and heals all.
func (s *schedule) cuts() {
	end := s.now + 10*time.Second + s.between(0, 35*time.Second)
	for range 1 + s.rnd.IntN(3) {
		s.after(s.between(0, end-s.now), s.cut)
	}
	s.after(s.between(0, 2*time.Second), s.cut)
	for s.now < end {
		s.run(s.between(50*time.Millisecond, 2500*time.Millisecond))
		s.happen()
	}
	s.note("all is healed")
	for _, n := range s.nodes {
		n.side = 0
	}
	s.relink()
	for _, n := range s.nodes {
		is, _ := s.group.truth().Node(n.id)
		if known := is.Status.State == swarmnet.NodeDown && n.manager == nil && !n.on; known && s.rnd.IntN(2) == 0 {
			continue // a worker that is known to be dead may stay so
		}
		n.powerOn()
	}
	s.relink()
}

// cut puts every node on a side at random, most often only one on its own.
func (s *schedule) cut() {
	what := ""
	one := s.rnd.IntN(len(s.nodes))
	kind := s.rnd.IntN(4)
	for i, n := range s.nodes {
		switch {
		case kind == 0:
			n.side = s.rnd.IntN(2)
		case i == one:
			n.side = 1 + i // a link of a node is cut: it reaches nobody
		}
		what += fmt.Sprintf(" %s=%d", n.name, n.side)
	}
	s.note("cut:%s", what)
	s.relink()
}

// happen does one random thing.
func (s *schedule) happen() {
	n := s.nodes[s.rnd.IntN(len(s.nodes))]
	switch p := s.rnd.IntN(20); {
	case p < 8:
		s.user(s.change())
	case p < 13:
		s.kill(n)
	case p < 15 && n.daemon != nil:
		s.note("the daemon of %s is killed", n.name)
		n.stop()
		s.after(s.between(100*time.Millisecond, 4*time.Second), n.start)
	case p < 16 && n.on:
		s.note("%s loses its power", n.name)
		n.powerOff()
		if s.rnd.IntN(2) == 0 {
			s.after(s.between(2*time.Second, 20*time.Second), n.powerOn)
		}
	case p < 17:
		s.note("%s is healed", n.name)
		n.side = 0
		s.relink()
	case p < 18:
		s.cut()
	default:
		s.user(s.availability(n))
	}
}

// kill ends a workload of a node.
func (s *schedule) kill(n *node) {
	for _, id := range sorted(n.loads) {
		if l := n.loads[id]; l.there() && s.rnd.IntN(2) == 0 {
			s.note("a task of %s ends: %s", n.name, id)
			l.end(1)
			return
		}
	}
}
