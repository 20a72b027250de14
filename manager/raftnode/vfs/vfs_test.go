package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"testing"
)

// Both file systems keep the same promises.
func TestConformance(t *testing.T) {
	for name, f := range map[string]struct {
		fs  FS
		dir string
	}{"os": {OS{}, t.TempDir()}, "mem": {NewMem(), "tmp"}} {
		t.Run(name, func(t *testing.T) { conform(t, f.fs, path.Join(f.dir, "a", "b")) })
	}
}

func conform(t *testing.T, fsys FS, dir string) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if names, err := fsys.List(dir); err != nil || len(names) != 0 {
		t.Errorf("a directory that is not there: %v, %v", names, err)
	}
	check(fsys.MkdirAll(dir))
	check(fsys.MkdirAll(dir))
	if _, err := fsys.Open(path.Join(dir, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what is not there: %v", err)
	}
	if err := fsys.Remove(path.Join(dir, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove what is not there: %v", err)
	}
	f, err := fsys.Create(path.Join(dir, "x"))
	check(err)
	check(f.Reserve(1000))
	_, err = f.WriteAt([]byte("hello"), 998)
	check(err)
	if size, _ := f.Size(); size != 1003 {
		t.Errorf("size %d", size)
	}
	b := make([]byte, 10)
	if n, err := f.ReadAt(b, 995); n != 8 || !errors.Is(err, io.EOF) || string(b[:n]) != "\x00\x00\x00hello" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	check(f.Truncate(999))
	check(f.Sync())
	check(f.Close())
	check(fsys.Rename(path.Join(dir, "x"), path.Join(dir, "y")))
	check(fsys.SyncDir(dir))
	if names, _ := fsys.List(dir); !slices.Equal(names, []string{"y"}) {
		t.Errorf("%v", names)
	}
	if b, err := ReadFile(fsys, path.Join(dir, "y")); err != nil || len(b) != 999 || b[998] != 'h' {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	l, err := fsys.Lock(path.Join(dir, "lock"))
	check(err)
	if _, err := fsys.Lock(path.Join(dir, "lock")); err == nil {
		t.Error("locked twice")
	}
	check(l.Close())
	l, err = fsys.Lock(path.Join(dir, "lock"))
	check(err)
	check(l.Close())
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	kept, lost, torn := 0, 0, 0
	for seed := range uint64(200) {
		m := NewMem()
		f, _ := m.Create("x")
		f.WriteAt(make([]byte, 2048), 0)
		if err := errors.Join(f.Sync(), m.SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		full := slices.Repeat([]byte{1}, 2048)
		f.WriteAt(full, 0)
		g, _ := m.Create("y")
		if err := g.Sync(); err != nil {
			t.Fatal(err)
		}
		after := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		if _, err := f.WriteAt(full, 0); !errors.Is(err, ErrCrashed) {
			t.Fatal(err)
		}
		b, err := ReadFile(after, "x")
		if err != nil || len(b) != 2048 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		switch ones := len(slices.DeleteFunc(b, func(c byte) bool { return c == 0 })); ones {
		case 0:
			lost++
		case 2048:
			kept++
		default:
			torn++
			if ones%sector != 0 {
				t.Fatalf("torn at %d", ones)
			}
		}
	}
	if kept == 0 || lost == 0 || torn == 0 {
		t.Errorf("kept %d, lost %d, torn %d", kept, lost, torn)
	}
	m := NewMem()
	f, _ := m.Create("x")
	f.WriteAt([]byte("a"), 0)
	if names, _ := m.Crash(nil).List("."); len(names) != 0 {
		t.Errorf("a name survives that no SyncDir made durable: %v", names)
	}
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	f, _ := m.Create("x")
	m.SetCapacity(100)
	if err := f.Reserve(80); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 80), 0); err != nil {
		t.Errorf("a write where it was reserved: %v", err)
	}
	if _, err := f.WriteAt(make([]byte, 30), 80); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a write behind it: %v", err)
	}
}
