package raftnode

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// TestChaos lets a group run under faults, by a seed: machines that lose power in the middle of a write, partitions,
// messages that are lost, late and out of order, elections at any time. Throughout, all nodes apply the same list, a term
// has one leader, and a read sees everything that was acknowledged before it. In the end everything acknowledged is there,
// once, on every node.
func TestChaos(t *testing.T) {
	seeds := uint64(50)
	if testing.Short() {
		seeds = 10
	}
	acked := 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newChaos(t, seed)
			c.run(800)
			acked += len(c.acked)
		})
	}
	if acked < 20*int(seeds) && !t.Failed() {
		t.Errorf("only %d proposals were acknowledged: the test tests nothing", acked)
	}
}

type chaos struct {
	*group
	t       *testing.T
	r       *rand.Rand
	size    uint64
	waiting map[string]*proposal
	acked   []string
	longest []string // the list as far as anybody has applied it
	leaders map[uint64]uint64
	reads   []pendingRead
	count   int
}

type pendingRead struct {
	at    *member1
	node  *Node
	acked int // of those acknowledged when it was asked
	done  chan error
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{group: newGroup(t), t: t, r: rand.New(rand.NewPCG(seed, 42)), waiting: map[string]*proposal{}, leaders: map[uint64]uint64{}}
	c.every, c.audit = 15, 7
	c.size = 3 + 2*(seed%2)
	c.grow(c.size)
	return c
}

func (c *chaos) some() *member1 { return c.nodes[1+c.r.Uint64N(c.size)] }

func (c *chaos) down() (n uint64) {
	for _, m := range c.nodes {
		if m.node == nil {
			n++
		}
	}
	return n
}

func (c *chaos) run(steps int) {
	for range steps {
		c.fault()
		for range 10 + c.r.IntN(30) {
			c.progress()
		}
		c.check()
	}
	c.settle()
}

// progress does a bit of somebody's work, in no particular order.
func (c *chaos) progress() {
	if len(c.net) > 0 && c.r.IntN(2) == 0 {
		at := 0
		if c.r.IntN(10) == 0 {
			at = c.r.IntN(len(c.net))
		}
		if p := c.net[at]; p.done == nil && c.r.IntN(50) == 0 {
			c.net = slices.Delete(c.net, at, at+1)
			return
		}
		c.deliver(at)
		return
	}
	c.step(c.some().id, c.r.IntN(4))
}

func (c *chaos) fault() {
	m := c.some()
	switch k := c.r.IntN(100); {
	case k < 45:
		if m.node != nil {
			c.count++
			data := fmt.Sprint("v", c.count)
			c.waiting[data] = c.propose(m.id, data)
		}
	case k < 60:
		if m.node != nil {
			read := pendingRead{at: m, node: m.node, acked: len(c.acked)}
			if m.node.with(func(co *core) error { read.done = co.reads.add(); return nil }) == nil {
				c.reads = append(c.reads, read)
			}
		}
	case k < 80:
		for _, id := range c.ids() {
			if n := c.nodes[id].node; n != nil {
				_ = n.tick()
			}
		}
	case k < 83:
		if m.node != nil {
			c.elect(m.id)
		}
	case k < 86: // it loses power some writes from now
		if m.node != nil && c.down() < c.size/2 {
			m.fs.CrashAt(m.fs.Ops() + 1 + c.r.IntN(8))
		}
	case k < 88:
		if m.node != nil && c.down() < c.size/2 {
			c.crash(m.id, c.r)
		}
	case k < 96:
		if m.node == nil {
			c.restart(m)
		}
	case k < 97:
		side := c.some().id
		c.cut = func(a, b uint64) bool { return (a == side) != (b == side) }
	case k < 99:
		c.cut = func(_, _ uint64) bool { return false }
	default: // the lights go out everywhere
		for _, id := range c.ids() {
			c.crash(id, c.r)
		}
	}
}

// restart opens a node again; one whose disk failed under it has lost power.
func (c *chaos) restart(m *member1) {
	if m.err != nil && !errors.Is(m.err, vfs.ErrCrashed) {
		c.t.Fatalf("node %d: %v", m.id, m.err)
	}
	if m.err != nil {
		c.crash(m.id, c.r)
	}
	if err := c.start(m.id, false); err != nil {
		c.t.Fatalf("node %d: %v", m.id, err)
	}
}

func (c *chaos) check() {
	for _, id := range c.ids() {
		m := c.nodes[id]
		if m.node == nil {
			continue
		}
		n := min(len(m.state.Items), len(c.longest))
		if !slices.Equal(m.state.Items[:n], c.longest[:n]) {
			c.t.Fatalf("node %d has applied\n%v\nand another\n%v", id, m.state.Items, c.longest)
		}
		if len(m.state.Items) > n {
			c.longest = slices.Clone(m.state.Items)
		}
		if st := m.node.Status(); st.IsLeader {
			if other, ok := c.leaders[st.Term]; ok && other != id {
				c.t.Fatalf("%d and %d lead in term %d", other, id, st.Term)
			}
			c.leaders[st.Term] = id
		}
	}
	for data, p := range c.waiting {
		select {
		case r := <-p.done:
			delete(c.waiting, data)
			if r.err == nil {
				c.acked = append(c.acked, data)
			}
		default:
		}
	}
	c.reads = slices.DeleteFunc(c.reads, c.checkRead)
}

// checkRead looks whether a read is answered; its node then has what was acknowledged before it.
func (c *chaos) checkRead(r pendingRead) bool {
	select {
	case err := <-r.done:
		if err == nil && r.at.node == r.node {
			for _, want := range c.acked[:r.acked] {
				if !slices.Contains(r.at.state.Items, want) {
					c.t.Fatalf("a read at %d does not see %s, which was acknowledged before", r.at.id, want)
				}
			}
		}
		return true
	default:
		return r.at.node != r.node
	}
}

// settle heals everything and looks at the outcome.
func (c *chaos) settle() {
	c.cut = func(_, _ uint64) bool { return false }
	for _, id := range c.ids() {
		m := c.nodes[id]
		m.fs.Inject(nil)
		if m.node == nil {
			c.restart(m)
		}
	}
	c.stabilize()
	c.elect(1)
	c.tick(60)
	c.check()
	if c.leader() == nil {
		c.t.Fatal("there is no leader after all was healed")
	}
	for _, id := range c.ids() {
		m := c.nodes[id]
		if m.node == nil {
			c.t.Fatalf("node %d ended: %v", id, m.err)
		}
		if !slices.Equal(m.state.Items, c.longest) {
			c.t.Fatalf("node %d has not caught up: %d of %d", id, len(m.state.Items), len(c.longest))
		}
	}
	seen := map[string]int{}
	for _, v := range c.longest {
		seen[v]++
	}
	for _, v := range c.acked {
		if seen[v] != 1 {
			c.t.Errorf("%s was acknowledged and is there %d times", v, seen[v])
		}
	}
	// Who asked and is still there has an answer.
	if left := len(c.reads); left > 0 {
		c.t.Errorf("%d reads were never answered", left)
	}
}
