package snap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

func testStore(t *testing.T, fs vfs.FS, newest uint64) *Store {
	t.Helper()
	s, err := Open(Config{FS: fs, Dir: "snap", Key: bytes.Repeat([]byte{1}, 32), ID: seal.Identity{Cluster: "c", Member: 1}}, newest)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testImage(size int) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func write(s *Store, index uint64, image []byte) error {
	w, err := s.Create(Meta{Index: index, Term: 2, Conf: &pb.ConfState{Voters: []uint64{1, 2}}, Members: []byte("members")})
	if err != nil {
		return err
	}
	for chunk := 1; len(image) > 0; chunk *= 3 {
		n := min(chunk, len(image))
		if _, err := w.Write(image[:n]); err != nil {
			w.Abort()
			return err
		}
		image = image[n:]
	}
	return w.Commit()
}

func read(s *Store, index uint64) (Meta, []byte, error) {
	r, err := s.Read(index, 2)
	if err != nil {
		return Meta{}, nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return r.Meta, b, err
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, frameData - 1, frameData, frameData + 1, 1 << 20} {
		s := testStore(t, vfs.NewMem(), 0)
		image := testImage(size)
		if err := write(s, 7, image); err != nil {
			t.Fatal(err)
		}
		m, got, err := read(s, 7)
		if err != nil || !bytes.Equal(got, image) {
			t.Errorf("%d bytes: read %d: %v", size, len(got), err)
		}
		if m.Index != 7 || m.Term != 2 || len(m.Conf.GetVoters()) != 2 || string(m.Members) != "members" {
			t.Errorf("%+v", m)
		}
	}
}

// A crash at any operation leaves the whole snapshot or none.
func TestCrash(t *testing.T) {
	image := testImage(200 << 10)
	count := func() int {
		fs := vfs.NewMem()
		if err := write(testStore(t, fs, 0), 7, image); err != nil {
			t.Fatal(err)
		}
		return fs.Ops()
	}()
	for n := 1; n <= count+1; n++ {
		for trial := range uint64(4) {
			fs := vfs.NewMem()
			s := testStore(t, fs, 0)
			fs.CrashAt(n)
			done := write(s, 7, image)
			after := fs.Crash(rand.New(rand.NewPCG(uint64(n), trial)))
			s = testStore(t, after, 7)
			_, got, err := read(s, 7)
			if has := s.Has(7, 2); has != (err == nil) || done == nil && !has {
				t.Fatalf("operation %d: written: %v, there: %v, read: %v", n, done, has, err)
			}
			if err == nil && !bytes.Equal(got, image) {
				t.Fatalf("operation %d: another image", n)
			}
			if names, _ := after.List("snap"); len(names) > 1 {
				t.Fatalf("operation %d leaves %v", n, names)
			}
		}
	}
}

func TestDamage(t *testing.T) {
	fs := vfs.NewMem()
	image := testImage(3000)
	if err := write(testStore(t, fs, 0), 7, image); err != nil {
		t.Fatal(err)
	}
	name := path.Join("snap", fileName(7, 2))
	b, err := vfs.ReadFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, change func(*vfs.Mem) error) {
		t.Helper()
		hurt := fs.Copy()
		if err := change(hurt); err != nil {
			t.Fatal(err)
		}
		if _, got, err := read(testStore(t, hurt, 7), 7); err == nil && !bytes.Equal(got, image) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for at := range len(b) {
		try(fmt.Sprint("flip at ", at), func(m *vfs.Mem) error { m.Flip(name, int64(at*8+at%8)); return nil })
		try(fmt.Sprint("cut at ", at), func(m *vfs.Mem) error {
			f, err := m.Open(name)
			if err != nil {
				return err
			}
			return f.Truncate(int64(at))
		})
	}
	hurt := fs.Copy()
	hurt.Flip(name, int64(len(b)/2)*8)
	if _, _, err := read(testStore(t, hurt, 7), 7); !errors.Is(err, ErrDamaged) {
		t.Errorf("a flip in the image: %v", err)
	}
}

func TestKeep(t *testing.T) {
	fs := vfs.NewMem()
	s := testStore(t, fs, 0)
	for _, i := range []uint64{1, 2, 3, 9} {
		if err := write(s, i, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Keep(2, 3); err != nil {
		t.Fatal(err)
	}
	// 9 came from the leader and is not taken over yet.
	for i, want := range map[uint64]bool{1: false, 2: true, 3: true, 9: true} {
		if s.Has(i, 2) != want {
			t.Errorf("%d: %v", i, !want)
		}
	}
	if s = testStore(t, fs, 3); s.Has(9, 2) || !s.Has(3, 2) {
		t.Error("what was not taken over is still there")
	}
}
