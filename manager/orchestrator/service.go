package orchestrator

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// slot is one place for a task of a service: a number, or for a global service a node. tasks are all that were made for
// it, oldest first.
type slot struct {
	number uint32
	node   swarmnet.NodeID
	tasks  []swarmnet.Task
	frozen bool // its node takes no tasks now: what it has stays, nothing is replaced
}

func (s *slot) current() []swarmnet.Task {
	return slices.DeleteFunc(slices.Clone(s.tasks), func(t swarmnet.Task) bool { return t.Desired > swarmnet.DesireRunning })
}

func (s *slot) hasCurrent() bool {
	return slices.ContainsFunc(s.tasks, func(t swarmnet.Task) bool { return t.Desired <= swarmnet.DesireRunning })
}

// service plans the tasks of one service.
type service struct {
	*planner
	swarmnet.Service
	clean map[cleanKey]bool
	roll  *rollout
}

func (p *planner) service(id swarmnet.ServiceID) {
	v, ok := p.d.View().Service(id)
	if !ok {
		return
	}
	s := &service{planner: p, Service: v, clean: map[cleanKey]bool{}}
	if v.Spec.Mode == swarmnet.External { // its tasks are others'
		if v.Removing {
			p.d.Do(state.ForgetService{ID: v.ID})
		}
		return
	}
	all := s.slots()
	if v.Removing {
		s.remove(all)
		return
	}
	var slots []*slot
	if v.Spec.Mode == swarmnet.Global {
		slots = s.followNodes(all)
	} else {
		slots = s.scale(all)
	}
	s.roll = s.rollout(slots)
	for _, sl := range slots {
		if !sl.frozen {
			s.reconcile(sl)
		}
	}
	s.endDrained(all)
	s.finish(s.roll)
	s.trim(all)
}

// slots groups the tasks of the service.
func (s *service) slots() []*slot {
	var out []*slot
	byNode := map[swarmnet.NodeID]*slot{}
	for t := range s.d.View().TasksByService(s.ID) {
		var sl *slot
		switch {
		case t.Slot == 0:
			if sl = byNode[t.Node]; sl == nil {
				sl = &slot{node: t.Node}
				byNode[t.Node] = sl
				out = append(out, sl)
			}
		case len(out) > 0 && out[len(out)-1].number == t.Slot:
			sl = out[len(out)-1]
		default:
			sl = &slot{number: t.Slot}
			out = append(out, sl)
		}
		sl.tasks = append(sl.tasks, t)
	}
	slices.SortFunc(out, func(a, b *slot) int { return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.node, b.node)) })
	return out
}

// remove stops all tasks of a service that is to go and forgets it when none is left.
func (s *service) remove(slots []*slot) {
	left := false
	for _, sl := range slots {
		left = s.clear(sl) || left
	}
	if !left {
		s.d.Do(state.ForgetService{ID: s.ID})
	}
}

// clear stops and forgets all tasks of a slot, and reports whether some still run.
func (s *service) clear(sl *slot) (left bool) {
	for _, t := range sl.tasks {
		if t.Desired < swarmnet.DesireRemove {
			s.end(t, swarmnet.DesireRemove)
		}
		if t, ok := s.d.View().Task(t.ID); ok && t.Status.State.Terminal() {
			s.d.Do(state.RemoveTask{ID: t.ID})
		} else {
			left = left || ok
		}
	}
	return left
}

// scale brings the number of slots to the number of replicas and returns those that stay.
func (s *service) scale(slots []*slot) []*slot {
	var live []*slot
	taken := map[uint32]*slot{}
	for _, sl := range slots {
		taken[sl.number] = sl
		if sl.hasCurrent() {
			live = append(live, sl)
		}
	}
	gone := s.surplus(live, len(live)-int(s.Spec.Replicas))
	live = slices.DeleteFunc(live, func(sl *slot) bool { return gone[sl] })
	for number := uint32(1); len(live) < int(s.Spec.Replicas); number++ {
		sl := taken[number]
		if sl == nil {
			sl = &slot{number: number}
		} else if sl.hasCurrent() && !gone[sl] {
			continue
		}
		delete(taken, number)
		live = append(live, sl)
	}
	keep := map[*slot]bool{}
	for _, sl := range live {
		keep[sl] = true
	}
	for _, sl := range slots {
		if !keep[sl] {
			s.clear(sl)
		}
	}
	return live
}

// surplus picks the slots to give up: those that don't run first, then those on nodes with many tasks of the service,
// then the highest.
func (s *service) surplus(live []*slot, n int) map[*slot]bool {
	gone := map[*slot]bool{}
	if n <= 0 {
		return gone
	}
	running := map[*slot]swarmnet.NodeID{}
	load := map[swarmnet.NodeID]int{}
	for _, sl := range live {
		for _, t := range sl.current() {
			if t.Status.State == swarmnet.TaskRunning {
				running[sl] = t.Node
			}
		}
		if node, ok := running[sl]; ok {
			load[node]++
		}
	}
	for range min(n, len(live)) {
		var pick *slot
		weight := -1
		for _, sl := range live {
			if gone[sl] {
				continue
			}
			w := 1 << 30
			if node, ok := running[sl]; ok {
				w = load[node]
			}
			if w >= weight { // later slots have higher numbers
				pick, weight = sl, w
			}
		}
		gone[pick] = true
		if node, ok := running[pick]; ok {
			load[node]--
		}
	}
	return gone
}

// followNodes returns the slots of a global service: one on every node that may run it.
func (s *service) followNodes(slots []*slot) []*slot {
	byNode := map[swarmnet.NodeID]*slot{}
	for _, sl := range slots {
		byNode[sl.node] = sl
	}
	var constraints []swarmnet.Constraint
	for _, c := range s.Spec.Task.Placement.Constraints {
		if c, err := swarmnet.ParseConstraint(c); err == nil {
			constraints = append(constraints, c)
		}
	}
	var out []*slot
	for n := range s.d.View().Nodes() {
		sl := byNode[n.ID]
		has := sl != nil && sl.hasCurrent()
		may := n.Spec.Availability == swarmnet.AvailabilityActive && n.Status.State == swarmnet.NodeReady
		keep := n.Spec.Availability != swarmnet.AvailabilityDrain && n.Status.State != swarmnet.NodeDown
		for _, c := range constraints {
			if !c.Match(n) {
				may, keep = false, false
			}
		}
		if n.Status.State == swarmnet.NodeDown && n.Spec.Availability != swarmnet.AvailabilityDrain {
			delete(byNode, n.ID) // its task of then is history; a new one is made when it is back
			continue
		}
		if !(may || has && keep) {
			continue
		}
		delete(byNode, n.ID)
		if sl == nil {
			sl = &slot{node: n.ID}
		}
		sl.frozen = !may
		out = append(out, sl)
	}
	for _, sl := range slots {
		if byNode[sl.node] == sl {
			s.clear(sl)
		}
	}
	return out
}

// create makes a task in a slot: at once, at a time, or when the others of the slot have ended.
func (s *service) create(sl *slot, desired swarmnet.DesiredState, notBefore time.Time) {
	rev := strconv.FormatUint(s.d.View().Revision(), 10)
	t := swarmnet.Task{
		ID:      swarmnet.TaskID(swarmnet.DeriveID("task", string(s.ID), strconv.Itoa(int(sl.number)), string(sl.node), rev)),
		Service: s.ID, ServiceName: s.Spec.Name, Slot: sl.number, Node: sl.node,
		Spec: s.Spec.Task, SpecVersion: s.SpecVersion, Networks: s.Spec.Networks, Ports: s.Ports,
		Desired: desired, NotBefore: notBefore,
	}
	s.d.Do(state.CreateTask{Task: t})
}

func (s *service) stop(t swarmnet.Task) {
	s.end(t, swarmnet.DesireShutdown)
}
