package wal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

func one(index uint64, data string) Batch {
	return Batch{Entries: []*pb.Entry{entry(index, 1, data)}}
}

// A sync that failed is never tried again: the kernel may have dropped what it could not write.
func TestFailedSyncStops(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := mustOpen(t, fs)
	if err := l.Append(one(1, "a"), true); err != nil {
		t.Fatal(err)
	}
	syncs := 0
	broken := errors.New("input/output error")
	fs.Inject(func(op vfs.Op) error {
		if op.Kind == "sync" {
			syncs++
			return broken
		}
		return nil
	})
	for range 3 {
		if err := l.Append(one(2, "b"), true); !errors.Is(err, ErrStopped) || !errors.Is(err, broken) {
			t.Errorf("append: %v", err)
		}
	}
	if err := l.Mark(); !errors.Is(err, ErrStopped) {
		t.Errorf("mark: %v", err)
	}
	l.Close()
	if syncs != 1 {
		t.Errorf("synced %d times", syncs)
	}
	fs.Inject(nil)
	// What was acknowledged is there; what was not may be.
	_, rec := mustOpen(t, fs.Crash(nil))
	if n := len(rec.Entries); n != 1 {
		t.Errorf("recovered %d entries", n)
	}
}

// A full disk is known before anything is lost: the rest of the segment still takes votes, and with room it goes on.
func TestFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := mustOpen(t, fs)
	if l.Full() {
		t.Fatal("a new log is full")
	}
	fs.SetCapacity(fs.Used())
	index, last := uint64(0), error(nil)
	for index < 1000 && !l.Full() {
		index++
		if last = l.Append(one(index, strings.Repeat("x", 100)), true); last != nil {
			break
		}
	}
	if !l.Full() || last != nil {
		t.Fatalf("after %d entries full is %v: %v", index, l.Full(), last)
	}
	if err := l.Append(Batch{Hard: &HardState{9, 2, 0}}, true); err != nil {
		t.Errorf("a full log takes no vote: %v", err)
	}
	for range 100 {
		if last = l.Append(one(index+1, strings.Repeat("x", 100)), true); last != nil {
			break
		}
		index++
	}
	if !errors.Is(last, vfs.ErrNoSpace) {
		t.Fatalf("at the end: %v", last)
	}
	fs.SetCapacity(0)
	l.Reserve()
	if l.Full() {
		t.Error("full with room")
	}
	if err := l.Append(one(index+1, "again"), true); err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, rec := mustOpen(t, fs)
	if rec.Last() != index+1 || rec.Hard.Vote != 2 {
		t.Errorf("recovered up to %d of %d, %+v", rec.Last(), index+1, rec.Hard)
	}
}

// A full disk does not keep the log from opening: the next segment was set aside.
func TestOpenOnFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := mustOpen(t, fs)
	if err := l.Append(one(1, "a"), true); err != nil {
		t.Fatal(err)
	}
	l.Close()
	fs.SetCapacity(fs.Used())
	l, rec := mustOpen(t, fs)
	if rec.Last() != 1 {
		t.Errorf("recovered up to %d", rec.Last())
	}
	if err := l.Append(Batch{Hard: &HardState{2, 2, 1}}, true); err != nil {
		t.Error(err)
	}
}

func TestForeignLog(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"key":     func(c *Config) { c.Key = make([]byte, 32) },
		"cluster": func(c *Config) { c.ID.Cluster = "other" },
		"member":  func(c *Config) { c.ID.Member++ },
	} {
		for _, heads := range []bool{true, false} {
			fs := vfs.NewMem()
			l, _ := mustOpen(t, fs)
			l.Close()
			if !heads {
				for i := range uint64(2) {
					_ = fs.Remove("log/" + headName(i))
				}
			}
			cfg := testConfig(fs)
			change(&cfg)
			if _, _, err := Open(cfg); !errors.Is(err, ErrKey) {
				t.Errorf("another %s: %v", name, err)
			}
		}
	}
}

// A frame that was moved, within a segment or from another log with the same key, is not taken.
func TestMovedFrame(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := mustOpen(t, fs)
	var offs []int64
	for i := range uint64(4) {
		offs = append(offs, l.off)
		if err := l.Append(one(i+1, "same"), true); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	b, err := vfs.ReadFile(fs, "log/"+segmentName(1))
	if err != nil {
		t.Fatal(err)
	}
	edit(t, fs, "log/"+segmentName(1), func(f vfs.File) error {
		_, err := f.WriteAt(b[offs[1]:offs[2]], offs[2])
		return err
	})
	if _, _, err := Open(testConfig(fs)); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

func FuzzReplay(f *testing.F) {
	f.Add(appendBatch(nil, Batch{Hard: &HardState{1, 2, 3}, Install: &Pointer{4, 5}, Entries: []*pb.Entry{entry(5, 1, "x")}}))
	f.Add(appendBase(nil, HardState{1, 2, 3}, 7, []Pointer{{1, 1}, {2, 2}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var rec Recovered
		if rec.replay(b) == nil {
			for i, e := range rec.Entries {
				if e.GetIndex() != rec.Entries[0].GetIndex()+uint64(i) {
					t.Fatal("entries do not follow on each other")
				}
			}
		}
	})
}

func FuzzFrame(f *testing.F) {
	s, err := seal.NewFile(make([]byte, 32), make([]byte, 16), seal.Identity{}, "log", 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(appendFrame(nil, header{seq: 1}, s, 64, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, size, ok := parseFrame(b); ok && (size < headerSize || int(h.length) > len(b)) {
			t.Fatal(fmt.Sprint(h, size))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 10000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, _, err := Open(Config{FS: vfs.OS{}, Dir: b.TempDir(), Key: make([]byte, 32)})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			data := strings.Repeat("x", size)
			b.SetBytes(int64(size))
			for i := range b.N {
				if err := l.Append(one(uint64(i)+1, data), true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A segment that is whole in itself, and of a past that was given up, does not fit to the next one.
func TestChain(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := mustOpen(t, fs)
	l.Close()
	second := func(fs *vfs.Mem, data string) {
		l, _ := mustOpen(t, fs)
		if err := l.Append(one(1, data), true); err != nil {
			t.Fatal(err)
		}
		l.Close()
		l, _ = mustOpen(t, fs)
		l.Close()
	}
	other := fs.Copy()
	second(fs, "a")
	second(other, "b")
	b, err := vfs.ReadFile(other, "log/"+segmentName(2))
	if err != nil {
		t.Fatal(err)
	}
	edit(t, fs, "log/"+segmentName(2), func(f vfs.File) error {
		_, err := f.WriteAt(b, 0)
		return err
	})
	if _, _, err := Open(testConfig(fs)); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "does not follow") {
		t.Error(err)
	}
}

// What a crash has torn is cut off for good: later starts, for which its segment is not the newest any more, read the log.
func TestTornTailStaysCut(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := mustOpen(t, fs)
	if err := l.Append(one(1, "a"), true); err != nil {
		t.Fatal(err)
	}
	if _, err := l.file.WriteAt([]byte("half a frame"), l.off); err != nil {
		t.Fatal(err)
	}
	fs = fs.Kill()
	for start := range 3 {
		l, rec := mustOpen(t, fs)
		if rec.Last() != 1 || start == 0 && rec.Torn == 0 || start > 0 && rec.Torn != 0 {
			t.Errorf("start %d: %d entries, %d bytes torn", start, rec.Last(), rec.Torn)
		}
		l.Close()
	}
}
