package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

func testConfig(fs vfs.FS) Config {
	return Config{FS: fs, Dir: "log", Key: bytes.Repeat([]byte{1}, 32), ID: seal.Identity{Cluster: "c", Member: 3}, SegmentSize: 2048}
}

func entry(index, term uint64, data string) *pb.Entry {
	return &pb.Entry{Index: &index, Term: &term, Type: pb.EntryNormal.Enum(), Data: []byte(data)}
}

// model is what a log must say, by the rules of its interface alone.
type model struct {
	hard    HardState
	snaps   []Pointer
	entries []*pb.Entry
}

func (m model) apply(b Batch) model {
	if b.Install != nil {
		m.snaps, m.entries = []Pointer{*b.Install}, nil
	}
	for _, e := range b.Entries {
		if len(m.entries) > 0 {
			m.entries = m.entries[: e.GetIndex()-m.entries[0].GetIndex() : e.GetIndex()-m.entries[0].GetIndex()]
		}
		m.entries = append(m.entries, e)
	}
	if b.Snapshot != nil {
		m.snaps = keepTwo(append(append([]Pointer(nil), m.snaps...), *b.Snapshot))
	}
	if b.Hard != nil {
		m.hard = *b.Hard
	}
	return m
}

func (m model) last() uint64 {
	if n := len(m.entries); n > 0 {
		return m.entries[n-1].GetIndex()
	}
	if n := len(m.snaps); n > 0 {
		return m.snaps[n-1].Index
	}
	return 0
}

// String leaves out the entries that the older snapshot covers: a log may have dropped them, or not yet.
func (m model) String() string {
	var b strings.Builder
	fmt.Fprint(&b, m.hard, m.snaps)
	for _, e := range m.entries {
		if len(m.snaps) < 2 || e.GetIndex() > m.snaps[0].Index {
			fmt.Fprintf(&b, " %d.%d:%s", e.GetIndex(), e.GetTerm(), e.GetData())
		}
	}
	return b.String()
}

func recovered(r *Recovered) model { return model{r.Hard, r.Snapshots, r.Entries} }

// play writes a random workload and returns the model after each batch, and up to which one is durable for certain.
func play(l *Log, r *rand.Rand, batches int) (states []model, durable int, err error) {
	m := model{}
	states = []model{m}
	for i := range batches {
		var b Batch
		switch last := m.last(); {
		case i > 20 && r.IntN(40) == 0:
			b.Install = &Pointer{last + 5, m.hard.Term + 1}
			b.Hard = &HardState{m.hard.Term + 1, 0, last + 5}
		case i%12 == 11 && m.hard.Commit > 0 && len(m.entries) > 0 && m.hard.Commit >= m.entries[0].GetIndex():
			b.Snapshot = &Pointer{m.hard.Commit, 1}
			if n := len(m.snaps); n > 0 && m.snaps[n-1].Index >= m.hard.Commit {
				b.Snapshot = nil
			}
		case r.IntN(3) == 0 && last > m.hard.Commit:
			b.Hard = &HardState{m.hard.Term, m.hard.Vote, m.hard.Commit + 1 + r.Uint64N(last-m.hard.Commit)}
		default:
			from := last + 1
			if last > m.hard.Commit && r.IntN(8) == 0 { // a new leader replaces what was not committed
				from = m.hard.Commit + 1 + r.Uint64N(last-m.hard.Commit)
			}
			term := m.hard.Term + 1
			for k := range 1 + r.Uint64N(4) {
				b.Entries = append(b.Entries, entry(from+k, term, strings.Repeat(string(rune('a'+i%26)), r.IntN(120))))
			}
			b.Hard = &HardState{term, 3, m.hard.Commit}
		}
		sync := b.Entries != nil || b.Install != nil || b.Snapshot != nil || r.IntN(4) == 0
		m = m.apply(b)
		states = append(states, m)
		if err := l.Append(b, sync); err != nil {
			return states, durable, err
		}
		if sync {
			durable = len(states) - 1
		}
		if b.Snapshot != nil && len(m.snaps) == 2 || b.Install != nil {
			if err := l.Compact(m.snaps[0].Index); err != nil {
				return states, durable, err
			}
		}
		if r.IntN(3) == 0 {
			if err := l.Mark(); err != nil {
				return states, durable, err
			}
		}
	}
	return states, durable, nil
}

func mustOpen(t *testing.T, fs vfs.FS) (*Log, *Recovered) {
	t.Helper()
	l, rec, err := Open(testConfig(fs))
	if err != nil {
		t.Fatal(err)
	}
	return l, rec
}

func TestReopen(t *testing.T) {
	fs := vfs.NewMem()
	l, rec := mustOpen(t, fs)
	if !rec.Fresh {
		t.Error("a new log is not fresh")
	}
	states, _, err := play(l, rand.New(rand.NewPCG(1, 1)), 200)
	if err != nil {
		t.Fatal(err)
	}
	want := states[len(states)-1].String()
	for range 3 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l, rec = mustOpen(t, fs); recovered(rec).String() != want {
			t.Fatalf("recovered\n%v\nwant\n%v", recovered(rec), want)
		}
		if rec.Torn != 0 || rec.Fresh {
			t.Errorf("%+v", rec)
		}
	}
	if names, _ := fs.List("log"); len(names) > 40 {
		t.Errorf("Compact leaves %d files", len(names))
	}
}

// Cut a workload before each of its operations on the disk: with nothing of what was not synced, and with parts of it by
// chance. Whatever was durable is there, nothing is invented, and it is never taken for damage.
func TestEveryPrefixOfWrites(t *testing.T) {
	const batches = 60
	for seed := range uint64(2) {
		fs := vfs.NewMem()
		l, _ := mustOpen(t, fs)
		begin := fs.Ops()
		if _, _, err := play(l, rand.New(rand.NewPCG(seed, 0)), batches); err != nil {
			t.Fatal(err)
		}
		for n := begin + 1; n <= fs.Ops()+1; n++ {
			for trial := range uint64(4) {
				fs := vfs.NewMem()
				l, _ := mustOpen(t, fs)
				fs.CrashAt(n)
				states, durable, err := play(l, rand.New(rand.NewPCG(seed, 0)), batches)
				if err != nil && !errors.Is(err, vfs.ErrCrashed) {
					t.Fatal(err)
				}
				var chance *rand.Rand
				if trial > 0 {
					chance = rand.New(rand.NewPCG(seed*1000+uint64(n), trial))
				}
				after := fs.Crash(chance)
				checkRecovered(t, after, states[durable:], fmt.Sprintf("seed %d, operation %d, trial %d", seed, n, trial))
				// A crash while it recovers changes nothing.
				again := fs.Crash(nil).Kill()
				again.CrashAt(1 + int(trial)*2)
				if l, _, err := Open(testConfig(again)); err == nil {
					l.Close()
				}
				checkRecovered(t, again.Crash(chance), states[durable:], fmt.Sprintf("seed %d, operation %d, crash in recovery %d", seed, n, trial))
			}
		}
	}
}

// checkRecovered opens a log and compares what it says with the states that are right.
func checkRecovered(t *testing.T, fs *vfs.Mem, states []model, what string) {
	t.Helper()
	l, rec, err := Open(testConfig(fs))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer l.Close()
	got := recovered(rec).String()
	for _, m := range states {
		if m.String() == got {
			return
		}
	}
	t.Fatalf("%s: recovered\n%s\nwhich is none of %d states; the durable one is\n%s", what, got, len(states), states[0])
}

// written returns a disk with a log that was closed, or killed after its last sync, and what the log said.
func written(t *testing.T, closed bool) (*vfs.Mem, string) {
	fs := vfs.NewMem()
	l, _ := mustOpen(t, fs)
	states, _, err := play(l, rand.New(rand.NewPCG(5, 5)), 80)
	if err != nil {
		t.Fatal(err)
	}
	last := states[len(states)-1]
	b := Batch{Entries: []*pb.Entry{entry(last.last()+1, last.hard.Term, "the last")}}
	if err := errors.Join(l.Append(b, true), l.Mark()); err != nil {
		t.Fatal(err)
	}
	if closed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs, last.apply(b).String()
}

// damaged opens a log that was tampered with: it says the same as before, or that it is damaged.
func damaged(t *testing.T, fs *vfs.Mem, want, what string) (refused bool) {
	t.Helper()
	l, rec, err := Open(testConfig(fs))
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrKey) {
			t.Fatalf("%s: %v", what, err)
		}
		return true
	}
	defer l.Close()
	if got := recovered(rec).String(); got != want {
		t.Fatalf("%s: a silent loss: recovered\n%s\nwant\n%s", what, got, want)
	}
	return false
}

func TestBitFlips(t *testing.T) {
	for _, closed := range []bool{true, false} {
		fs, want := written(t, closed)
		r := rand.New(rand.NewPCG(9, 9))
		refused := 0
		names, _ := fs.List("log")
		for _, name := range names {
			name = path.Join("log", name)
			b, err := vfs.ReadFile(fs, name)
			if err != nil {
				t.Fatal(err)
			}
			for at := range int64(len(b)) {
				hurt := fs.Copy()
				hurt.Flip(name, at*8+int64(r.IntN(8)))
				if damaged(t, hurt, want, fmt.Sprintf("closed %v, %s byte %d", closed, name, at)) {
					refused++
				}
			}
		}
		if refused < 1000 {
			t.Errorf("only %d flips were noticed", refused)
		}
	}
}

// A log that was closed notices when the end of a file is missing, a file is, or a sector is zero.
func TestMissingParts(t *testing.T) {
	fs, want := written(t, true)
	names, _ := fs.List("log")
	zeros := make([]byte, 512)
	for _, name := range names {
		name = path.Join("log", name)
		b, err := vfs.ReadFile(fs, name)
		if err != nil {
			t.Fatal(err)
		}
		for size := 0; size < len(b); size += 37 {
			hurt := fs.Copy()
			edit(t, hurt, name, func(f vfs.File) error { return f.Truncate(int64(size)) })
			damaged(t, hurt, want, fmt.Sprintf("%s cut at %d", name, size))
		}
		for off := 0; off < len(b); off += 256 {
			hurt := fs.Copy()
			edit(t, hurt, name, func(f vfs.File) error {
				_, err := f.WriteAt(zeros[:min(512, len(b)-off)], int64(off))
				return err
			})
			damaged(t, hurt, want, fmt.Sprintf("%s zero at %d", name, off))
		}
		hurt := fs.Copy()
		if err := hurt.Remove(name); err != nil {
			t.Fatal(err)
		}
		if refused := damaged(t, hurt, want, name+" is missing"); !refused && strings.HasSuffix(name, ".log") {
			t.Errorf("%s is missing and nobody notices", name)
		}
	}
}

func edit(t *testing.T, fs *vfs.Mem, name string, change func(vfs.File) error) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := change(f); err != nil {
		t.Fatal(err)
	}
}
