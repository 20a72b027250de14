// Package wal is the log of a member of the group of managers: the entries that it has acknowledged, its vote, and which
// snapshots it has. It is made to know when it has lost something (DESIGN.md in raftnode has the reasons).
//
// A log is a sequence of frames in segment files. A frame is one write:
//
//	magic u32 | length u32 | sequence u64 | synced u64 | tag of the frame before [16]byte | kind u32 | CRC32C u32 | sealed
//
// little endian, padded with zeros to 8 bytes. The CRC covers all of the frame but itself. sequence counts the frames;
// synced is the newest frame that was durable when this one was written. So when a frame is damaged, a later one that says
// that the damaged one was durable proves a loss (ErrDamaged); with no such witness the damage is a write that a crash
// has torn, and is cut. Beside the segments, two small files say in turns how far the log reaches at least.
package wal

import (
	"errors"
	"fmt"
	"io"
	"path"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

var (
	// ErrDamaged says that the log has lost something that it had acknowledged: its member must never vote again.
	ErrDamaged = errors.New("the log has lost entries that this manager had acknowledged")
	// ErrKey says that the log belongs to another cluster or member, or that the data key is not its key.
	ErrKey = errors.New("the data key does not open the log, or the log is another manager's")
	// ErrStopped is returned after a write or a sync has failed: what is on the disk then is unknown.
	ErrStopped = errors.New("the log has stopped after a failed write")
)

// DefaultSegmentSize is the size of a segment file in bytes.
const DefaultSegmentSize = 16 << 20

// headInterval is after how many frames the files that say how far the log reaches are written anew.
const headInterval = 1024

// Config says where a log is and whose.
type Config struct {
	FS          vfs.FS
	Dir         string
	Key         []byte // seal.KeySize bytes
	ID          seal.Identity
	SegmentSize int64 // bytes; 0: DefaultSegmentSize
}

// HardState is what a member must not forget beside its entries.
type HardState struct{ Term, Vote, Commit uint64 }

// Pointer names a snapshot.
type Pointer struct{ Index, Term uint64 }

// Batch is what one Append makes durable together.
type Batch struct {
	// Hard is nil when unchanged.
	Hard *HardState
	// Install replaces all entries so far by a snapshot that came from the leader.
	Install *Pointer
	// Entries follow on each other. They replace those with the same and with higher indexes.
	Entries []*pb.Entry
	// Snapshot says that a snapshot of entries of this log is stored.
	Snapshot *Pointer
}

// Log is an open log. Not safe for concurrent use.
type Log struct {
	cfg      Config
	segments []segment // oldest first; the last one is written
	file     vfs.File
	seal     seal.File
	off      int64    // where the next frame goes
	size     int64    // of the reserved file
	seq      uint64   // of the newest frame
	synced   uint64   // the newest frame known durable
	prev     [16]byte // tag of the newest frame
	hard     HardState
	pointers []Pointer // the snapshots kept, at most two, oldest first
	last     uint64    // index of the newest entry
	full     bool      // no room for a further segment
	headNo   uint64
	headAt   uint64 // seq at the last write of the head
	failed   error
	buf      []byte
	plain    []byte
}

type segment struct {
	number   uint64
	maxIndex uint64 // the highest index of an entry in it
}

func segmentName(number uint64) string { return fmt.Sprintf("%016x.log", number) }

// Append writes a batch; with sync it is durable when Append returns, with everything before. vfs.ErrNoSpace means that
// nothing was written and the log goes on; after any other error it is stopped for good.
func (l *Log) Append(b Batch, sync bool) error {
	if l.failed != nil {
		return l.failed
	}
	l.plain = appendBatch(l.plain[:0], b)
	if l.off+frameSize(len(l.plain)) > l.size {
		if err := l.rotate(frameSize(len(l.plain))); err != nil {
			return err
		}
	}
	if err := l.write(l.plain); err != nil {
		return l.fail("write", err)
	}
	l.note(b)
	if !sync {
		return nil
	}
	if err := l.sync(); err != nil {
		return err
	}
	if l.seq-l.headAt >= headInterval {
		return l.writeHead()
	}
	return nil
}

// Mark writes an empty frame when the newest one is durable and nothing says so yet: the witness without which damage to
// that frame would pass for a torn write. It is not synced; call it when there is nothing else to write.
func (l *Log) Mark() error {
	if l.failed != nil || l.synced != l.seq || l.off+frameSize(0) > l.size {
		return l.failed
	}
	if err := l.write(nil); err != nil {
		return l.fail("write", err)
	}
	return nil
}

// note takes a written batch into the log's own picture.
func (l *Log) note(b Batch) {
	if b.Hard != nil {
		l.hard = *b.Hard
	}
	if b.Install != nil {
		l.pointers, l.last = []Pointer{*b.Install}, b.Install.Index
		for i := range l.segments {
			l.segments[i].maxIndex = 0
		}
	}
	if n := len(b.Entries); n > 0 {
		l.last = b.Entries[n-1].GetIndex()
		s := &l.segments[len(l.segments)-1]
		s.maxIndex = max(s.maxIndex, l.last)
	}
	if b.Snapshot != nil {
		l.pointers = keepTwo(append(l.pointers, *b.Snapshot))
	}
}

func keepTwo(p []Pointer) []Pointer { return append([]Pointer(nil), p[max(0, len(p)-2):]...) }

// write puts one frame behind the last.
func (l *Log) write(plain []byte) error {
	h := header{seq: l.seq + 1, synced: l.synced, prev: l.prev}
	l.buf = appendFrame(l.buf[:0], h, l.seal, uint64(l.off), plain)
	if _, err := l.file.WriteAt(l.buf, l.off); err != nil {
		return err
	}
	l.prev = frameTag(l.buf, len(plain))
	l.off += int64(len(l.buf))
	l.seq++
	return nil
}

func (l *Log) sync() error {
	if err := l.file.Sync(); err != nil {
		return l.fail("sync", err)
	}
	l.synced = l.seq
	return nil
}

func (l *Log) fail(verb string, err error) error {
	l.failed = fmt.Errorf("wal: %s %s: %w: %w", verb, l.cfg.Dir, ErrStopped, err)
	return l.failed
}

// Compact drops the segments that hold only entries up to index.
func (l *Log) Compact(index uint64) error {
	if l.failed != nil {
		return l.failed
	}
	n := 0
	for n < len(l.segments)-1 && l.segments[n].maxIndex <= index {
		n++
	}
	if n == 0 {
		return nil
	}
	for _, s := range l.segments[:n] {
		if err := l.cfg.FS.Remove(path.Join(l.cfg.Dir, segmentName(s.number))); err != nil {
			return l.fail("compact", err)
		}
		// One by one: a gap between segments always is a loss.
		if err := l.cfg.FS.SyncDir(l.cfg.Dir); err != nil {
			return l.fail("compact", err)
		}
	}
	l.segments = append([]segment(nil), l.segments[n:]...)
	l.Reserve()
	return nil
}

// Pointers returns the snapshots that the log counts on, oldest first.
func (l *Log) Pointers() []Pointer { return append([]Pointer(nil), l.pointers...) }

// Full reports whether there is no room reserved for a further segment: entries should be refused, so that the rest of
// this one is left for votes.
func (l *Log) Full() bool { return l.full }

// Close writes the witness of the newest frame and how far the log reaches, and closes it.
func (l *Log) Close() error {
	defer l.file.Close()
	if l.failed != nil {
		return nil
	}
	return errors.Join(l.sync(), l.Mark(), l.writeHead())
}

var _ io.Closer = (*Log)(nil)
