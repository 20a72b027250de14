package raftnode

import (
	"testing"
	"time"
)

// A leader sleeps from heartbeat to heartbeat, who follows it until shortly before it would campaign; each counts every tick as soon as somebody waits
// for an answer.
func TestRestful(t *testing.T) {
	g := newGroup(t)
	g.grow(3)
	lead := g.leader().id
	follower := lead%3 + 1
	rest := func(id uint64) (out int) {
		if err := g.nodes[id].node.look(func(c *core) error {
			c.cfg.HeartbeatTicks = 3
			out = c.restful()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	g.tick(1)
	if rest(lead) != 3 || rest(follower) != 9 {
		t.Errorf("idle members rest %d and %d ticks instead of 3 and 9", rest(lead), rest(follower))
	}
	n := g.nodes[follower].node
	n.rest = rest(follower)
	g.propose(follower, "question") // and nothing is delivered
	select {
	case <-n.hurry:
	default:
		t.Error("who sleeps is not woken although somebody waits for an answer")
	}
	if n.rest != 1 {
		t.Errorf("it will sleep for %d ticks", n.rest)
	}
	if rest(follower) != 1 {
		t.Errorf("a member that waits for an answer rests %d ticks", rest(follower))
	}
	g.stabilize()
	silent := 0
	for ; silent+rest(follower) < n.cfg.ElectionTicks; silent++ {
		if err := n.tick(); err != nil {
			t.Fatal(err)
		}
	}
	if silent != n.cfg.ElectionTicks-1 {
		t.Errorf("after %d silent ticks a member rests for %d more, and campaigns after %d", silent, rest(follower), n.cfg.ElectionTicks)
	}
}

// Whatever is done with a core is done after all ticks that are over, and who was held up does not make up for them.
func TestCatchUp(t *testing.T) {
	g := newGroup(t)
	g.grow(1)
	n := g.nodes[1].node
	ticks := func() (out uint64) {
		if err := n.look(func(c *core) error { out = c.ticks; return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	was := ticks()
	for _, c := range []struct {
		rest int
		over time.Duration
		want uint64
	}{{3, 0, 0}, {3, 2*time.Hour + 30*time.Minute, 2}, {3, 50 * time.Hour, 3}, {1, 50 * time.Hour, 1}} {
		n.cfg.TickInterval, n.rest, n.beat = time.Hour, c.rest, time.Now().Add(-c.over)
		if got := ticks() - was; got != c.want {
			t.Errorf("%v with a rest of %d is %d ticks instead of %d", c.over, c.rest, got, c.want)
		}
		if since := time.Since(n.beat); since < 0 || since >= time.Hour {
			t.Errorf("the last tick was %v ago", since)
		}
		was = ticks()
	}
}
