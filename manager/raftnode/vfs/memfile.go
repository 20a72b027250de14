package vfs

import (
	"io"
)

// memFile is an open file of a Mem.
type memFile struct {
	m    *Mem
	name string
	node *inode
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.crashed {
		return 0, ErrCrashed
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.begin("write", f.name, off, len(b)); err != nil {
		return 0, err
	}
	end := off + int64(len(b))
	if grow := end - max(int64(len(f.node.data)), f.node.reserved); grow > 0 && f.m.limit > 0 && f.m.used()+grow > f.m.limit {
		return 0, ErrNoSpace
	}
	f.node.write(off, b)
	return len(b), nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.begin("sync", f.name, 0, 0); err != nil {
		return err
	}
	f.node.sync()
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.begin("truncate", f.name, size, 0); err != nil {
		return err
	}
	f.node.resize(size)
	f.node.reserved = min(f.node.reserved, size)
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.crashed {
		return 0, ErrCrashed
	}
	return int64(len(f.node.data)), nil
}

func (f *memFile) Reserve(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.begin("reserve", f.name, size, 0); err != nil {
		return err
	}
	have := max(int64(len(f.node.data)), f.node.reserved)
	if size <= int64(len(f.node.data)) {
		return nil
	}
	if f.m.limit > 0 && f.m.used()+size-have > f.m.limit {
		return ErrNoSpace
	}
	f.node.resize(size)
	f.node.reserved = size
	return nil
}

func (f *memFile) Close() error { return nil }

func (n *inode) write(off int64, b []byte) {
	n.data = put(n.data, off, b)
	n.pending = append(n.pending, write{off, append([]byte(nil), b...), int64(len(n.data))})
}

func (n *inode) resize(size int64) {
	n.data = cut(n.data, size)
	n.pending = append(n.pending, write{size: size})
}

func (n *inode) sync() {
	for _, w := range n.pending {
		n.synced = cut(n.synced, w.size)
		n.synced = put(n.synced, w.off, w.data)
	}
	n.pending = nil
}

// put writes b at off, with zeros in the gap.
func put(data []byte, off int64, b []byte) []byte {
	if need := off + int64(len(b)); int64(len(data)) < need {
		data = cut(data, need)
	}
	copy(data[off:], b)
	return data
}

// cut makes data size bytes long, with zeros behind what there was.
func cut(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}
