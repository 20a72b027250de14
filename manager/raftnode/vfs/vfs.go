// Package vfs is the one seam between the replicated log and the disk: everything that the log and the snapshots do to
// files goes through FS, so that tests can crash it, tear its writes, fill it up and flip its bits.
//
// The promise of an FS is that of POSIX, and no more: what was written is durable after Sync of the file, a name after
// SyncDir of its directory. Until then a crash may keep it, drop it or keep parts of it, in any order.
package vfs

import (
	"errors"
	"io"
)

// ErrNoSpace is returned by writes and by Reserve when the disk is full.
var ErrNoSpace = errors.New("no space left on the disk")

// FS is a file system. Names are paths with forward slashes.
type FS interface {
	// Create makes an empty file, or empties the one that is there, open for reading and writing.
	Create(name string) (File, error)
	// Open opens a file for reading and writing; fs.ErrNotExist when there is none.
	Open(name string) (File, error)
	Remove(name string) error
	// Rename replaces what has the new name, at once.
	Rename(old, new string) error
	// List returns the names in a directory, sorted; none when there is no such directory.
	List(dir string) ([]string, error)
	// MkdirAll makes a directory, readable by its owner only, and its parents, and makes them durable.
	MkdirAll(dir string) error
	// SyncDir makes durable which names the directory holds.
	SyncDir(dir string) error
	// Lock takes a file as a sign that the directory is in use; an error when another process holds it.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the content and the size durable. After a failure nothing is known of what is on the disk: what uses
	// the file must stop, never call Sync again.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	// Reserve makes the file size bytes long, if it is shorter, with blocks of the disk behind them: writes below size
	// don't fail with ErrNoSpace. The new bytes read as zeros.
	Reserve(size int64) error
}

// ReadFile returns the content of a file.
func ReadFile(fs FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err != nil && !(errors.Is(err, io.EOF) && int64(n) == size) {
		return nil, err
	}
	return b, nil
}
