package raftnode

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// flipNewest damages the newest file of a directory in the middle.
func flipNewest(t *testing.T, fs *vfs.Mem, dir, suffix string) {
	t.Helper()
	names, _ := fs.List(dir)
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, suffix) })
	name := path.Join(dir, names[len(names)-1])
	b, err := vfs.ReadFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	if !fs.Flip(name, int64(len(b)/2)*8) {
		t.Fatal("nothing to flip")
	}
}

// The newest snapshot is damaged: the older one and the log do. Both are: the node must not take part, and says what to do.
func TestDamagedSnapshots(t *testing.T) {
	g := newGroup(t)
	g.every = 10
	if err := g.start(1, true); err != nil {
		t.Fatal(err)
	}
	for range 40 { // so long that the log drops segments
		g.propose(1, strings.Repeat("x", 700))
		g.stabilize()
	}
	want := slices.Clone(g.nodes[1].state.Items)
	g.crash(1, nil)
	flipNewest(t, g.nodes[1].fs, "raft/snap", ".snap")
	if err := g.start(1, false); err != nil {
		t.Fatal(err)
	}
	g.stabilize()
	if got := g.nodes[1].state.Items; !slices.Equal(got, want) {
		t.Errorf("%d items of %d", len(got), len(want))
	}
	// It goes on, and the next snapshots replace the damaged one.
	for range 25 {
		g.propose(1, "y")
		g.stabilize()
	}
	g.crash(1, nil)
	if err := g.start(1, false); err != nil {
		t.Fatal(err)
	}
	g.stabilize()
	if got := len(g.nodes[1].state.Items); got != len(want)+25 {
		t.Errorf("%d items of %d", got, len(want)+25)
	}
	g.crash(1, nil)
	names, _ := g.nodes[1].fs.List("raft/snap")
	for _, name := range names {
		g.nodes[1].fs.Flip(path.Join("raft/snap", name), 8*100)
	}
	err := g.start(1, false)
	if !errors.Is(err, ErrQuarantined) || !strings.Contains(err.Error(), "remove raft on this node and start it again") {
		t.Errorf("with no snapshot: %v", err)
	}
}

// A follower has acknowledged an entry that nobody knows to be committed. A flipped bit in it, after the process was
// killed, is noticed.
func TestFlipInNewestFrame(t *testing.T) {
	g := newGroup(t)
	g.grow(3)
	g.cut = func(from, to uint64) bool { return from == 2 || to == 3 || from == 3 } // 2 hears, and is not heard
	g.propose(1, strings.Repeat("a", 300))
	g.stabilize()
	if got := g.nodes[1].state.Items; len(got) != 0 {
		t.Fatal("it was committed")
	}
	m := g.nodes[2]
	last, _ := m.node.storage.LastIndex()
	disk := m.fs.Kill()
	names, _ := disk.List("raft/log")
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".log") })
	name := path.Join("raft/log", names[len(names)-1])
	b, err := vfs.ReadFile(disk, name)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := range b {
		m.fs = disk.Copy()
		m.fs.Flip(name, int64(8*at))
		err := g.start(2, false)
		if err == nil {
			if got, _ := m.node.storage.LastIndex(); got < last {
				t.Fatalf("a flip at byte %d loses entry %d in silence", at, last)
			}
			continue
		}
		if !errors.Is(err, ErrQuarantined) {
			t.Fatal(err)
		}
		refused++
	}
	if refused < 300 {
		t.Errorf("%d flips were noticed", refused)
	}
}

// A group of one that lost power does not know how far it had committed. A read waits until it knows again.
func TestReadAfterRestartAlone(t *testing.T) {
	g := newGroup(t)
	if err := g.start(1, true); err != nil {
		t.Fatal(err)
	}
	g.stabilize()
	for range 5 {
		g.propose(1, "x")
		g.stabilize()
	}
	g.crash(1, nil)
	if err := g.start(1, false); err != nil {
		t.Fatal(err)
	}
	m := g.nodes[1]
	done := m.node.core.reads.add()
	for step := 0; ; step++ {
		select {
		case err := <-done:
			if err != nil || len(m.state.Items) != 5 {
				t.Errorf("after %d steps the read sees %d of 5: %v", step, len(m.state.Items), err)
			}
			return
		default:
		}
		if step == 1000 {
			t.Fatal("no answer")
		}
		g.step(1, step%3)
	}
}

func TestQuarantine(t *testing.T) {
	g := newGroup(t)
	g.grow(3)
	p := g.propose(2, "x")
	if err := g.nodes[2].node.Quarantine("its state differs at 7"); err != nil {
		t.Fatal(err)
	}
	if a := p.answer(); !strings.Contains(a, ErrQuarantined.Error()) {
		t.Error(a)
	}
	if st := g.nodes[2].node.Status(); st.Quarantined == "" {
		t.Error("the status does not say so")
	}
	g.crash(2, nil)
	err := g.start(2, false)
	if !errors.Is(err, ErrQuarantined) || !strings.Contains(err.Error(), "differs at 7") || !strings.Contains(err.Error(), "remove raft") {
		t.Error(err)
	}
}

// What raft would panic on is refused.
func TestStepMalformed(t *testing.T) {
	g := newGroup(t)
	g.grow(2)
	for _, m := range malformed() {
		if err := g.nodes[1].node.Step(m); err == nil {
			t.Errorf("%v was taken", m)
		}
	}
	g.propose(1, "x")
	g.stabilize()
	if len(g.nodes[2].state.Items) != 1 {
		t.Error("the group does not go on")
	}
}

func TestOverload(t *testing.T) {
	g := newGroup(t)
	g.grow(3)
	g.cut = func(_, _ uint64) bool { return true }
	n := g.nodes[1].node
	n.core.cfg.MaxInflightBytes = 1000
	answers := map[bool]int{}
	for range 20 {
		p := g.propose(1, strings.Repeat("x", 100))
		g.stabilize()
		answers[strings.Contains(p.answer(), ErrOverloaded.Error())]++
	}
	if answers[true] == 0 || answers[false] == 0 {
		t.Error(answers)
	}
}

// A member whose directory was emptied has forgotten its votes.
func TestMustExist(t *testing.T) {
	open := func(fs *vfs.Mem, must bool) error {
		n, err := Open(Config{ID: 1, ClusterID: "c", FS: fs, Dir: "raft", Key: testKey, StateMachine: newList(), Transport: wire{}, Bootstrap: !must, MustExist: must})
		if err == nil {
			n.Close()
		}
		return err
	}
	fs := vfs.NewMem()
	if err := open(fs, true); !errors.Is(err, ErrQuarantined) {
		t.Errorf("empty: %v", err)
	}
	if err := open(fs, false); err != nil {
		t.Fatal(err)
	}
	if err := open(fs, true); err != nil {
		t.Errorf("there: %v", err)
	}
}

// A snapshot from the leader comes while entries from before it wait to be applied: they go first, not on top of it.
func TestInstallAfterWhatWaits(t *testing.T) {
	g := newGroup(t)
	g.every = 10
	g.grow(3)
	lazy := func() { // as stabilize, but node 3 applies nothing
		for busy := true; busy; {
			busy = len(g.net) > 0
			for _, id := range g.ids() {
				for kind := range 4 {
					busy = (id != 3 || kind != 2) && g.step(id, kind) || busy
				}
			}
			for len(g.net) > 0 {
				g.deliver(0)
			}
		}
	}
	g.propose(1, "early")
	lazy()
	if g.nodes[3].node.applies.empty() {
		t.Fatal("nothing waits")
	}
	g.cut = func(from, to uint64) bool { return from == 3 || to == 3 }
	for range 40 {
		g.propose(1, "x")
		lazy()
	}
	g.cut = func(_, _ uint64) bool { return false }
	for range 5 {
		for _, id := range g.ids() {
			if n := g.nodes[id].node; n != nil {
				_ = n.tick()
			}
		}
		lazy()
	}
	if m := g.nodes[3]; m.node == nil || m.node.storage.snapIndex() == 0 {
		t.Fatalf("no snapshot came: %v", m.err)
	}
	g.tick(5)
	m := g.nodes[3]
	if m.node == nil {
		t.Fatal(m.err)
	}
	if got, want := m.node.Status().Applied, g.nodes[1].node.Status().Applied; got != want || !slices.Equal(m.state.Items, g.nodes[1].state.Items) {
		t.Errorf("it has applied %d of %d: %v", got, want, m.state.Items)
	}
}
