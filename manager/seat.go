package manager

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// seat is what a manager remembers of its place in the raft group, beside the log. It is written before the log is made, so
// that a log is never opened under another number or key.
type seat struct {
	ID  uint64 // its number in the group
	Key []byte // 32 octets; seals the log and the snapshots
}

const seatFile = "seat.json"

// errNoSeat says that the manager was never part of a group.
var errNoSeat = errors.New("the manager has no place in the group")

func newSeat(id uint64) seat {
	s := seat{ID: id, Key: make([]byte, 32)}
	rand.Read(s.Key) // never fails: crypto/rand ends the process instead
	return s
}

func loadSeat(fsys vfs.FS, dir string) (seat, error) {
	name := path.Join(dir, seatFile)
	b, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return seat{}, errNoSeat
	}
	if err != nil {
		return seat{}, fmt.Errorf("cannot read %s: %w", name, err)
	}
	var s seat
	if err := json.Unmarshal(b, &s); err != nil || s.ID == 0 || len(s.Key) != 32 {
		return seat{}, fmt.Errorf("%s is damaged: remove %s on this node and join the cluster again, the other managers have the data", name, dir)
	}
	return s, nil
}

// save keeps the seat in one step: a crash leaves none or a whole one.
func (s seat) save(fsys vfs.FS, dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	name := path.Join(dir, seatFile)
	if err := replaceFile(fsys, name, b); err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return nil
}

func replaceFile(fsys vfs.FS, name string, b []byte) error {
	if err := fsys.MkdirAll(path.Dir(name)); err != nil {
		return err
	}
	f, err := fsys.Create(name + ".tmp")
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.Rename(name+".tmp", name)
	}
	if err == nil {
		err = fsys.SyncDir(path.Dir(name))
	}
	return err
}
