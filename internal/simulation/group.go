package simulation

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/planner"
	"github.com/swarmnet/swarmnet/manager/state"
)

// Delays of the managers' group.
const (
	commitMost                  = 20 * time.Millisecond
	electFirst, electLast       = time.Second, 2 * time.Second
	refusedAfter                = 200 * time.Millisecond
	catchUpFirst, catchUpLast   = 100 * time.Millisecond, 800 * time.Millisecond
	memberLook, memberGrace     = 250 * time.Millisecond, 1500 * time.Millisecond
	planRetry                   = 500 * time.Millisecond
	closeGoneEvery, coalesceFor = time.Second, 20 * time.Millisecond
)

// group is what the managers agree on: a log of states. A command is in as soon as a leader with a majority has taken it.
type group struct {
	w        *World
	log      []past
	entries  uint64
	leader   *node
	term     int
	heard    map[*node]time.Duration
	led      time.Duration // since when there is this leader
	planning bool
	again    bool // something has changed while a plan was under way
	wake     uint64
}

// past is a state of the managers, and since when it has been the newest.
type past struct {
	at time.Duration
	s  *state.State
}

func newGroup(w *World) *group {
	g := &group{w: w, log: []past{{0, state.New()}}}
	g.commit(w.genesis())
	for _, n := range w.nodes {
		if n.manager != nil {
			n.manager.view, n.manager.index = g.truth(), len(g.log)-1
		}
	}
	w.every(memberLook, g.watchMembers)
	w.after(electFirst, func() { g.elect(0) })
	return g
}

// truth is what the managers agree on now.
func (g *group) truth() *state.State { return g.log[len(g.log)-1].s }

// majority reports whether a manager can talk to more than half of them, itself included.
func (g *group) majority(m *node) bool {
	managers, there := 0, 0
	for _, n := range g.w.nodes {
		if n.manager != nil {
			managers++
			if g.w.talks(m, n) {
				there++
			}
		}
	}
	return m.daemon != nil && there > managers/2
}

// reconsider sees to it that there is a leader if there can be, and that managers that are back catch up.
func (g *group) reconsider() {
	if g == nil {
		return
	}
	if g.leader != nil && !g.majority(g.leader) {
		g.leader = nil
		g.term++
		term := g.term
		g.w.after(g.w.between(electFirst, electLast), func() { g.elect(term) })
	}
	if g.leader == nil {
		return
	}
	g.catchUp()
}

func (g *group) catchUp() {
	for _, n := range g.w.nodes {
		if n.manager != nil && n.manager.index < len(g.log)-1 && g.w.talks(g.leader, n) {
			g.w.after(g.w.between(catchUpFirst, catchUpLast), n.guard(func() {
				if g.leader != nil && g.w.talks(g.leader, n) {
					n.manager.learn(len(g.log) - 1)
				}
			}))
		}
	}
}

func (g *group) elect(term int) {
	if g.term != term || g.leader != nil {
		return
	}
	var able []*node
	for _, n := range g.w.nodes {
		if n.manager != nil && g.majority(n) {
			able = append(able, n)
		}
	}
	if len(able) == 0 {
		g.w.after(electFirst, func() { g.elect(term) })
		return
	}
	g.leader = able[g.w.rnd.IntN(len(able))]
	g.led, g.planning, g.heard = g.w.now, false, map[*node]time.Duration{}
	for _, n := range g.w.nodes {
		g.heard[n] = g.w.now
	}
	g.leader.manager.learn(len(g.log) - 1) // it was elected because it has all
	g.catchUp()
	g.plan()
}

// propose returns to a manager, by done, whether its commands are applied there.
func (g *group) propose(from *node, cmds []state.Command, done func(results []state.Result, ok bool)) {
	w := g.w
	w.after(w.between(time.Millisecond, commitMost), from.guard(func() {
		if g.leader == nil || !w.talks(from, g.leader) {
			w.after(refusedAfter, from.guard(func() { done(nil, false) }))
			return
		}
		results := g.commit(cmds)
		index := len(g.log) - 1
		for _, n := range w.nodes {
			if n.manager == nil || !w.talks(g.leader, n) {
				continue
			}
			n.manager.due = max(n.manager.due, w.now+w.between(0, commitMost))
			w.after(n.manager.due-w.now, n.guard(func() {
				n.manager.learn(index)
				if n == from {
					done(results, true)
				}
			}))
		}
	}))
}

func (g *group) commit(cmds []state.Command) []state.Result {
	var id [16]byte
	g.entries++
	binary.BigEndian.PutUint64(id[:], g.entries)
	s, results, _, err := state.ApplyBatch(g.truth(), state.Batch{At: g.w.time(), Actor: "simulation", Commands: cmds}, id)
	if err != nil {
		panic(fmt.Sprintf("an entry cannot be applied: %v", err))
	}
	g.log = append(g.log, past{g.w.now, s})
	return results
}

// plan is the leader's loop: one plan at a time, each from what came of the one before.
func (g *group) plan() {
	if g.leader == nil {
		return
	}
	if g.planning {
		g.again = true
		return
	}
	g.again = false
	g.wake++
	wake, leader := g.wake, g.leader
	next := func(d time.Duration) {
		g.w.after(d, leader.guard(func() {
			if g.wake == wake && g.leader == leader {
				g.plan()
			}
		}))
	}
	r := planner.Run(leader.manager.view, g.w.time(), began.Add(g.led))
	if len(r.Commands) == 0 {
		if !r.Next.IsZero() {
			next(max(r.Next.Sub(g.w.time()), time.Millisecond))
		}
		return
	}
	g.planning = true
	g.propose(leader, r.Commands, func(results []state.Result, ok bool) {
		if g.leader != leader {
			return
		}
		g.planning = false
		progress := slices.ContainsFunc(results, func(r state.Result) bool { return r.Changed })
		if ok && progress || g.again {
			g.plan()
			return
		}
		next(planRetry)
	})
}

// watchMembers is the leader's: it closes the sessions that managers hold which are not heard of.
func (g *group) watchMembers() {
	if g.leader == nil {
		return
	}
	var cmds []state.Command
	for _, m := range g.w.nodes {
		if m.manager == nil {
			continue
		}
		if g.w.talks(g.leader, m) {
			g.heard[m] = g.w.now
		}
		if g.w.now-g.heard[m] < memberGrace {
			continue
		}
		for n := range g.leader.manager.view.Nodes() {
			if n.Status.State == swarmnet.NodeReady && n.Status.Manager == m.id {
				cmds = append(cmds, state.CloseSession{Node: n.ID, Epoch: n.Epoch, Manager: m.id})
			}
		}
	}
	if len(cmds) > 0 {
		g.propose(g.leader, cmds, func([]state.Result, bool) {})
	}
}
