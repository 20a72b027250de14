package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// sector is the unit that a disk writes as a whole.
const sector = 512

// Crash ends this disk, as a loss of power does, and returns what is found afterwards. Everything that was synced is
// there. With a rand, what was not synced is there by chance: each write whole, in part (by sectors) or not at all, and
// each change of a name or not; without one, nothing of it is.
func (m *Mem) Crash(r *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	after := NewMem()
	after.limit = m.limit
	maps.Copy(after.dirs, m.dirs)
	for _, name := range sortedKeys(m.durable, m.names) {
		node := m.durable[name]
		if now := m.names[name]; now != node && r != nil && r.IntN(2) == 0 {
			node = now
		}
		if node == nil {
			continue
		}
		data := node.survive(r)
		after.names[name] = &inode{data: data, synced: slices.Clone(data), reserved: int64(len(data))}
		after.durable[name] = after.names[name]
	}
	return after
}

// survive returns the content that a crash leaves.
func (n *inode) survive(r *rand.Rand) []byte {
	data := slices.Clone(n.synced)
	if r == nil {
		return data
	}
	for _, w := range n.pending {
		if r.IntN(3) == 0 {
			continue
		}
		data = cut(data, max(w.size, int64(len(data)))) // sizes that shrink are kept lazily: the worst case
		if w.data == nil {
			data = cut(data, w.size)
			continue
		}
		torn := r.IntN(2) == 0
		for off := int64(0); off < int64(len(w.data)); {
			next := min((w.off+off)/sector*sector+sector-w.off, int64(len(w.data)))
			if !torn || r.IntN(2) == 0 {
				data = put(data, w.off+off, w.data[off:next])
			}
			off = next
		}
	}
	return data
}

// Kill ends the disk's user, as kill -9 does, and returns what is found afterwards: everything that was written.
func (m *Mem) Kill() *Mem {
	after := m.Copy()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	return after
}

// Copy returns a second disk that is as this one is now.
func (m *Mem) Copy() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.limit = m.limit
	maps.Copy(after.dirs, m.dirs)
	copies := map[*inode]*inode{}
	clone := func(n *inode) *inode {
		if copies[n] == nil {
			copies[n] = &inode{slices.Clone(n.data), slices.Clone(n.synced), slices.Clone(n.pending), n.reserved}
		}
		return copies[n]
	}
	for name, n := range m.names {
		after.names[name] = clone(n)
	}
	for name, n := range m.durable {
		after.durable[name] = clone(n)
	}
	return after
}

// Inject has f called before every operation that changes the disk; the error that it returns is the operation's.
// Nil takes it away.
func (m *Mem) Inject(f func(Op) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// CrashAt has every operation fail from the nth on, counted from the Mem's first.
func (m *Mem) CrashAt(n int) {
	m.Inject(func(op Op) error {
		if op.N >= n {
			return ErrCrashed
		}
		return nil
	})
}

// Ops returns how many operations have changed the disk.
func (m *Mem) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// SetCapacity sets how many bytes the disk holds; 0 is no limit.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = bytes
}

// Used returns how many bytes the files take.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used()
}

// Flip turns one bit of a file round, on the disk and for readers; false when the file has no such bit.
func (m *Mem) Flip(name string, bit int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.names[name]
	if node == nil || bit < 0 || bit/8 >= int64(len(node.data)) {
		return false
	}
	node.data[bit/8] ^= 1 << (bit % 8)
	if bit/8 < int64(len(node.synced)) {
		node.synced[bit/8] ^= 1 << (bit % 8)
	}
	return true
}

func sortedKeys(a, b map[string]*inode) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
