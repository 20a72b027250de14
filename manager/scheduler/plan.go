// Package scheduler says which node runs which task. It is a pure planner: all that it knows is in the state.
package scheduler

import (
	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// Run plans on a draft. A task that cannot be placed says why; it is tried again with every change.
func Run(d *state.Draft) {
	var todo []swarmnet.Task
	for t := range d.View().WaitingTasks(swarmnet.TaskPending) {
		if t.Desired <= swarmnet.DesireRunning {
			todo = append(todo, t)
		}
	}
	if len(todo) == 0 {
		return
	}
	p := &planner{d: d, groups: map[groupKey]*group{}, total: map[swarmnet.NodeID]int{}}
	for n := range d.View().Nodes() {
		p.nodes = append(p.nodes, n)
	}
	for t := range d.View().Tasks() {
		if t.Wanted() && t.Node != "" && !t.Standalone() {
			p.total[t.Node]++
		}
	}
	for _, t := range todo {
		p.place(t)
	}
}

type planner struct {
	d      *state.Draft
	nodes  []swarmnet.Node
	total  map[swarmnet.NodeID]int // tasks on each node
	groups map[groupKey]*group
}

// groupKey names tasks that fit the same nodes: those of one service made from one spec.
type groupKey struct {
	service swarmnet.ServiceID
	version uint64
}

type group struct {
	match []swarmnet.Node // that meet the constraints
	count map[swarmnet.NodeID]int
	stuck string // why the last one could not be placed; what it lacked has not come back since
}

func (p *planner) group(t swarmnet.Task) *group {
	k := groupKey{t.Service, t.SpecVersion}
	if g := p.groups[k]; g != nil {
		return g
	}
	g := &group{count: map[swarmnet.NodeID]int{}}
	p.groups[k] = g
	var constraints []swarmnet.Constraint
	for _, c := range t.Spec.Placement.Constraints {
		if c, err := swarmnet.ParseConstraint(c); err == nil {
			constraints = append(constraints, c)
		}
	}
	for _, n := range p.nodes {
		if matches(constraints, n) {
			g.match = append(g.match, n)
		}
	}
	for o := range p.d.View().TasksByService(t.Service) {
		if o.Wanted() && o.Node != "" {
			g.count[o.Node]++
		}
	}
	return g
}

func matches(constraints []swarmnet.Constraint, n swarmnet.Node) bool {
	for _, c := range constraints {
		if !c.Match(n) {
			return false
		}
	}
	return true
}

// place puts a task on the node with the fewest tasks of its service, of those on the one with the fewest tasks at all.
func (p *planner) place(t swarmnet.Task) {
	g := p.group(t)
	if t.Node != "" {
		p.placeOn(t, t.Node)
		return
	}
	why := g.stuck
	if why == "" {
		var best *swarmnet.Node
		for i := range g.match {
			n := &g.match[i]
			if best != nil && !p.before(g, n, best) || p.d.View().Unfit(t, *n) != "" {
				continue
			}
			best = n
		}
		if best != nil {
			if r := p.d.Do(state.AssignTask{Task: t.ID, Node: best.ID}); r.Err == nil {
				g.count[best.ID]++
				p.total[best.ID]++
				return
			}
		}
		why = p.reason(t, g)
		g.stuck = why
	}
	p.d.Do(state.SetTaskMessage{Task: t.ID, Message: why})
}

func (p *planner) before(g *group, a, b *swarmnet.Node) bool {
	if x, y := g.count[a.ID], g.count[b.ID]; x != y {
		return x < y
	}
	if x, y := p.total[a.ID], p.total[b.ID]; x != y {
		return x < y
	}
	return a.Index < b.Index
}

// placeOn puts a task of a global service on its node.
func (p *planner) placeOn(t swarmnet.Task, id swarmnet.NodeID) {
	n, ok := p.d.View().Node(id)
	why := "its node is gone"
	if ok {
		if why = p.d.View().Unfit(t, n); why == "" {
			p.d.Do(state.AssignTask{Task: t.ID, Node: id})
			return
		}
		why = "node " + n.Name() + ": " + why
	}
	p.d.Do(state.SetTaskMessage{Task: t.ID, Message: why})
}
