// Package snap keeps the snapshots of a member: images of the state, each in a file of sealed frames with a digest at its
// end. A file has its name only when it is whole and durable.
//
//	magic [8]byte | salt [16]byte | CRC32C u32, padded to 64 bytes
//	frames: length u32 | kind u32 | sealed; the first is the meta, then data, then the footer
//
// The footer has the SHA-256 of all bytes of the file before it, and the length of the data.
package snap

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// ErrDamaged says that a snapshot is not what was written.
var ErrDamaged = errors.New("the snapshot is damaged")

// Meta says what a snapshot is of.
type Meta struct {
	Index, Term uint64
	Conf        *pb.ConfState
	// Members is the table of members, in the form of the caller.
	Members []byte
}

// Config says where the snapshots are and whose.
type Config struct {
	FS  vfs.FS
	Dir string
	Key []byte
	ID  seal.Identity
}

// Store is a directory of snapshots. Safe for concurrent use on different snapshots.
type Store struct{ cfg Config }

// Open opens the directory, or makes it, and drops what is unfinished and what is newer than the newest that the log
// counts on: an image that came from the leader and was not taken over.
func Open(cfg Config, newest uint64) (*Store, error) {
	s := &Store{cfg}
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("snap: make %s: %w", cfg.Dir, err)
	}
	names, err := cfg.FS.List(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("snap: list %s: %w", cfg.Dir, err)
	}
	for _, name := range names {
		index, ok := parseName(name)
		if strings.HasSuffix(name, ".tmp") || ok && index > newest {
			if err := cfg.FS.Remove(path.Join(cfg.Dir, name)); err != nil {
				return nil, fmt.Errorf("snap: remove %s: %w", name, err)
			}
		}
	}
	return s, nil
}

func fileName(index, term uint64) string { return fmt.Sprintf("%016x-%016x.snap", index, term) }

func parseName(name string) (index uint64, ok bool) {
	var term uint64
	_, err := fmt.Sscanf(name, "%016x-%016x.snap", &index, &term)
	return index, err == nil && name == fileName(index, term)
}

// Has reports whether there is a snapshot with that index and term.
func (s *Store) Has(index, term uint64) bool {
	f, err := s.cfg.FS.Open(path.Join(s.cfg.Dir, fileName(index, term)))
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// Keep drops the snapshots up to the newest named that are not named.
func (s *Store) Keep(indexes ...uint64) error {
	keep, newest := map[uint64]bool{}, uint64(0)
	for _, i := range indexes {
		keep[i], newest = true, max(newest, i)
	}
	names, err := s.cfg.FS.List(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("snap: list %s: %w", s.cfg.Dir, err)
	}
	for _, name := range names {
		if index, ok := parseName(name); ok && index < newest && !keep[index] {
			if err := s.cfg.FS.Remove(path.Join(s.cfg.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("snap: remove %s: %w", name, err)
			}
		}
	}
	return nil
}
