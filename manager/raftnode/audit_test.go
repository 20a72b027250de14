package raftnode

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// audited makes a group that compares its states every three entries.
func audited(t *testing.T, voters uint64) *group {
	g := newGroup(t)
	g.audit = 3
	g.grow(voters)
	return g
}

// work has some entries applied, and a check made.
func (g *group) work(name string) {
	g.t.Helper()
	for i := range 4 {
		p := g.propose(g.leader().id, fmt.Sprint(name, i))
		g.stabilize()
		if a := p.answer(); !strings.HasPrefix(a, "ok") {
			g.t.Fatalf("%s: %s", name, a)
		}
	}
	g.tick(2)
}

// corrupt changes what a member has applied, behind everybody's back.
func (g *group) corrupt(id uint64) { g.nodes[id].state.Items[0] += " or so" }

func TestAuditFindsTheMinority(t *testing.T) {
	for wrong := uint64(1); wrong <= 3; wrong++ { // 1 leads
		t.Run(fmt.Sprint(wrong), func(t *testing.T) {
			g := audited(t, 3)
			g.work("a")
			for _, id := range g.ids() {
				if c := g.nodes[id].node.core; len(c.audits.checks) == 0 {
					t.Fatalf("%d made no check", id)
				}
			}
			g.corrupt(wrong)
			g.work("b")
			m := g.nodes[wrong]
			if m.node != nil || !errors.Is(m.err, ErrQuarantined) || !strings.Contains(m.err.Error(), "2 of the 3 managers; remove raft on this node") {
				t.Fatalf("the wrong one goes on: %v", m.err)
			}
			g.awaitLeader()
			g.work("c")
			for id := uint64(1); id <= 3; id++ {
				if id != wrong && (g.nodes[id].node == nil || len(g.nodes[id].state.Items) != 12) {
					t.Error(g.describe(id))
				}
			}
			g.crash(wrong, nil)
			if err := g.start(wrong, false); !errors.Is(err, ErrQuarantined) || !strings.Contains(err.Error(), "its state at entry") {
				t.Errorf("it comes back: %v", err)
			}
		})
	}
}

// Two can't tell who of them is wrong, and neither goes.
func TestAuditNeedsAMajority(t *testing.T) {
	g := audited(t, 2)
	g.work("a")
	g.corrupt(2)
	g.work("b")
	g.work("c")
	for _, id := range g.ids() {
		if g.nodes[id].node == nil {
			t.Error(g.describe(id))
		}
	}
}

// A state machine of another version may encode the same state in another way.
func TestAuditComparesOneBuildOnly(t *testing.T) {
	g := newGroup(t)
	g.audit = 3
	g.build = func(id uint64) string { return fmt.Sprint(id / 3) } // 1 and 2 have one, 3 has another
	g.grow(3)
	g.work("a")
	g.corrupt(3)
	g.work("b")
	if g.nodes[3].node == nil {
		t.Error(g.describe(3))
	}
	g.corrupt(2)
	g.work("c")
	if g.nodes[1].node == nil || g.nodes[2].node == nil {
		t.Error(g.describe(1), g.describe(2))
	}
}

// A member that diverges while it was down is found when it comes back and reads its log again.
func TestAuditAfterRestart(t *testing.T) {
	g := audited(t, 3)
	g.work("a")
	g.crash(3, nil)
	if err := g.start(3, false); err != nil {
		t.Fatal(err)
	}
	for g.step(3, 0) { // nothing is applied yet
	}
	g.nodes[3].state.Items = []string{"stray"}
	g.work("b")
	if m := g.nodes[3]; m.node != nil || !errors.Is(m.err, ErrQuarantined) {
		t.Errorf("it goes on: %v", g.describe(3))
	}
}

// A little work is compared, too, if it takes its time.
func TestAuditByTime(t *testing.T) {
	g := newGroup(t)
	g.grow(3)
	p := g.propose(1, "x")
	g.stabilize()
	if a := p.answer(); a != "ok 0" {
		t.Fatal(a)
	}
	g.corrupt(2)
	applied := g.nodes[1].node.Status().Applied
	g.tick(700)
	if g.nodes[2].node != nil {
		t.Error(g.describe(2))
	}
	// One check and at most three reports; then there is nothing more to compare.
	if now := g.nodes[1].node.Status().Applied; now > applied+6 {
		t.Errorf("%d entries for one", now-applied)
	}
	idle := g.nodes[1].node.Status().Applied
	g.tick(1300)
	if now := g.nodes[1].node.Status().Applied; now != idle {
		t.Errorf("%d entries for nothing", now-idle)
	}
}
