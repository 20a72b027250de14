package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"
)

// ErrCrashed is returned by everything on a Mem after its crash.
var ErrCrashed = errors.New("the machine has crashed")

// Op is an operation that changes the disk, as an injected fault sees it.
type Op struct {
	Kind string // create, write, sync, truncate, reserve, remove, rename, syncdir, mkdir
	Name string
	Off  int64
	Len  int
	// N counts the operations of the Mem, from 1.
	N int
}

// Mem is a file system in memory that can crash. It knows, beside what a reader sees, what a crash would leave.
// Safe for concurrent use.
type Mem struct {
	mu      sync.Mutex
	names   map[string]*inode // what a reader sees
	durable map[string]*inode // what the directories on the disk say
	dirs    map[string]bool
	locks   map[string]bool
	crashed bool
	ops     int
	limit   int64
	fault   func(Op) error
}

// inode is a file without its name.
type inode struct {
	data    []byte  // what a reader sees
	synced  []byte  // what a crash leaves for certain
	pending []write // since the last sync, oldest first
	// reserved bytes are counted as used.
	reserved int64
}

// write is a change of a file that is not durable yet.
type write struct {
	off  int64
	data []byte
	// size is the size of the file afterwards.
	size int64
}

// NewMem returns an empty disk.
func NewMem() *Mem {
	return &Mem{names: map[string]*inode{}, durable: map[string]*inode{}, dirs: map[string]bool{}, locks: map[string]bool{}}
}

// begin counts an operation and lets the injected fault speak. The caller holds the lock.
func (m *Mem) begin(kind, name string, off int64, n int) error {
	if m.crashed {
		return ErrCrashed
	}
	m.ops++
	if m.fault != nil {
		if err := m.fault(Op{kind, name, off, n, m.ops}); err != nil {
			return &fs.PathError{Op: kind, Path: name, Err: err}
		}
		if m.crashed {
			return ErrCrashed
		}
	}
	return nil
}

func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("create", name, 0, 0); err != nil {
		return nil, err
	}
	if !m.dirs[path.Dir(name)] && path.Dir(name) != "." {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	}
	node := m.names[name]
	if node == nil {
		node = &inode{}
		m.names[name] = node
	}
	node.resize(0)
	return &memFile{m: m, name: name, node: node}, nil
}

func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	node := m.names[name]
	if node == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memFile{m: m, name: name, node: node}, nil
}

func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("remove", name, 0, 0); err != nil {
		return err
	}
	if m.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(m.names, name)
	return nil
}

func (m *Mem) Rename(old, new string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("rename", old, 0, 0); err != nil {
		return err
	}
	node := m.names[old]
	if node == nil {
		return &fs.PathError{Op: "rename", Path: old, Err: fs.ErrNotExist}
	}
	delete(m.names, old)
	m.names[new] = node
	return nil
}

func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	var names []string
	for name := range m.names {
		if path.Dir(name) == path.Clean(dir) {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("mkdir", dir, 0, 0); err != nil {
		return err
	}
	for ; dir != "." && dir != "/"; dir = path.Dir(dir) {
		m.dirs[dir] = true
	}
	return nil
}

func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("syncdir", dir, 0, 0); err != nil {
		return err
	}
	in := func(name string, _ *inode) bool { return path.Dir(name) == path.Clean(dir) }
	maps.DeleteFunc(m.durable, in)
	for name, node := range m.names {
		if in(name, node) {
			m.durable[name] = node
		}
	}
	return nil
}

func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	if m.locks[name] {
		return nil, fmt.Errorf("lock %s: another process uses it", name)
	}
	m.locks[name] = true
	return unlock(func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.locks, name)
		return nil
	}), nil
}

type unlock func() error

func (u unlock) Close() error { return u() }

// used returns the bytes that the files take. The caller holds the lock.
func (m *Mem) used() int64 {
	var n int64
	for _, node := range m.names {
		n += max(int64(len(node.data)), node.reserved)
	}
	return n
}
