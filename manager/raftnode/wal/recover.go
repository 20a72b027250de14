package wal

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// Recovered is what a log says when it is opened.
type Recovered struct {
	Hard HardState
	// Snapshots are those that the log counts on, oldest first; the entries reach back to the older, if nothing was lost.
	Snapshots []Pointer
	Entries   []*pb.Entry
	// Torn is how many bytes of an unfinished write were cut off.
	Torn int64
	// Fresh says that there was no log.
	Fresh bool

	// reached is up to where the log reached when its newest segment was started; 0 when it was replaced since.
	reached uint64
}

// Open reads the log in a directory, or makes an empty one, and starts a new segment. ErrDamaged and ErrKey leave
// everything as it was found.
func Open(cfg Config) (*Log, *Recovered, error) {
	if cfg.SegmentSize == 0 {
		cfg.SegmentSize = DefaultSegmentSize
	}
	l := &Log{cfg: cfg}
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return nil, nil, fmt.Errorf("wal: make %s: %w", cfg.Dir, err)
	}
	rec, tail, err := l.recover()
	if err != nil {
		return nil, nil, fmt.Errorf("wal: open %s: %w", cfg.Dir, err)
	}
	if err := l.resume(rec, tail); err != nil {
		return nil, nil, fmt.Errorf("wal: open %s: %w", cfg.Dir, err)
	}
	return l, rec, nil
}

// tail is where the log ends: in which file, and up to where it is whole.
type tail struct {
	name string
	end  int64
}

// resume cuts what is torn and starts a new segment behind it, with a key of its own: no place of a file is sealed twice.
func (l *Log) resume(rec *Recovered, t tail) error {
	if t.name != "" {
		if err := l.settle(path.Join(l.cfg.Dir, t.name), t.end); err != nil {
			return err
		}
	}
	next := uint64(1)
	if n := len(l.segments); n > 0 {
		next = l.segments[n-1].number + 1
	}
	l.hard, l.pointers, l.last = rec.Hard, keepTwo(rec.Snapshots), rec.Last()
	l.synced = l.seq
	if err := l.start(next, 0); err != nil {
		return err
	}
	// Both: from now on neither of them needs room on the disk.
	for range 2 {
		if err := l.writeHead(); err != nil {
			return err
		}
	}
	l.Reserve()
	return nil
}

// settle makes the newest segment durable up to end and drops the rest. What was read may be in the page cache alone, and
// after a failed sync the kernel may think it clean: so it is written again, byte for byte, before it is synced.
func (l *Log) settle(name string, end int64) error {
	f, err := l.cfg.FS.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, end)
	if n, err := f.ReadAt(b, 0); err != nil && int64(n) < end {
		return err
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return errors.Join(f.Truncate(end), f.Sync())
}

// recover reads everything, and changes nothing.
func (l *Log) recover() (*Recovered, tail, error) {
	h, hasHead, err := readHead(l.cfg)
	if err != nil {
		if errors.Is(err, errHead) {
			err = fmt.Errorf("%w: head.0 and head.1 are damaged", ErrDamaged)
		}
		return nil, tail{}, err
	}
	l.headNo = h.number
	numbers, err := l.list()
	if err != nil {
		return nil, tail{}, err
	}
	rec := &Recovered{Fresh: len(numbers) == 0 && !hasHead}
	var t tail
	for i, number := range numbers {
		if t, err = l.read(rec, number, i == 0, i == len(numbers)-1); err != nil {
			return nil, t, err
		}
	}
	if hasHead {
		if len(numbers) == 0 || numbers[len(numbers)-1] < h.segment {
			return nil, t, fmt.Errorf("%w: segment %s is missing", ErrDamaged, segmentName(h.segment))
		}
		if l.seq < h.seq {
			return nil, t, fmt.Errorf("%w: it ends at frame %d of %d", ErrDamaged, l.seq, h.seq)
		}
	}
	return rec, t, check(rec, h)
}

// check compares what the log says of itself with what is in it.
func check(rec *Recovered, h head) error {
	last, newest := rec.Last(), rec.newest()
	switch {
	case max(rec.Hard.Commit, h.commit) > last:
		return fmt.Errorf("%w: entries up to %d were committed and it ends at %d", ErrDamaged, max(rec.Hard.Commit, h.commit), last)
	case max(newest.Index, h.index) > last:
		return fmt.Errorf("%w: there is a snapshot at %d and it ends at %d", ErrDamaged, max(newest.Index, h.index), last)
	case len(rec.Entries) == 0 && rec.reached > last:
		return fmt.Errorf("%w: it reached to entry %d and ends at %d", ErrDamaged, rec.reached, last)
	case len(rec.Entries) > 0 && rec.Entries[0].GetIndex() > newest.Index+1:
		return fmt.Errorf("%w: it begins at entry %d, behind the snapshot at %d", ErrDamaged, rec.Entries[0].GetIndex(), newest.Index)
	}
	return nil
}

// list returns the numbers of the segments, in order, without a gap.
func (l *Log) list() ([]uint64, error) {
	names, err := l.cfg.FS.List(l.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		base, ok := strings.CutSuffix(name, ".log")
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(base, 16, 64)
		if err != nil || segmentName(n) != name {
			continue
		}
		if len(numbers) > 0 && n != numbers[len(numbers)-1]+1 {
			return nil, fmt.Errorf("%w: segment %s is missing", ErrDamaged, segmentName(numbers[len(numbers)-1]+1))
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// read replays one segment and decides what its end is.
func (l *Log) read(rec *Recovered, number uint64, first, newest bool) (tail, error) {
	t := tail{name: segmentName(number)}
	b, err := vfs.ReadFile(l.cfg.FS, path.Join(l.cfg.Dir, t.name))
	if err != nil {
		return t, err
	}
	salt, err := parseSegmentHead(b, number)
	if err != nil {
		return t, fmt.Errorf("%w: segment %s: %w", ErrDamaged, t.name, err)
	}
	s, err := seal.NewFile(l.cfg.Key, salt, l.cfg.ID, "log", number)
	if err != nil {
		return t, err
	}
	seg := segment{number: number}
	off := segmentHead
	for {
		h, size, ok := parseFrame(b[off:])
		if !ok {
			break
		}
		fresh := first && off == segmentHead
		if !fresh && (h.seq != l.seq+1 || h.prev != l.prev) {
			return t, fmt.Errorf("%w: frame %d in %s at %d does not follow on frame %d", ErrDamaged, h.seq, t.name, off, l.seq)
		}
		plain, err := openFrame(s, h, uint64(off), b[off:])
		if err != nil {
			if fresh {
				return t, ErrKey
			}
			return t, fmt.Errorf("%w: frame %d in %s at %d was changed", ErrDamaged, h.seq, t.name, off)
		}
		if err := rec.replay(plain); err != nil {
			return t, fmt.Errorf("%w: frame %d in %s at %d: %w", ErrDamaged, h.seq, t.name, off, err)
		}
		if n := len(rec.Entries); n > 0 {
			seg.maxIndex = max(seg.maxIndex, rec.Entries[n-1].GetIndex())
		}
		l.seq, l.prev = h.seq, frameTag(b[off:], len(plain))
		off += min(size, len(b)-off)
	}
	if off == segmentHead {
		return t, fmt.Errorf("%w: segment %s has no first frame", ErrDamaged, t.name)
	}
	l.segments = append(l.segments, seg)
	t.end = int64(off)
	if allZero(b[off:]) {
		return t, nil
	}
	// Every segment but the newest was durable before the next one was made.
	if !newest || witness(b[off:], l.seq+1) {
		return t, fmt.Errorf("%w: frame %d in %s at %d is damaged, and was durable", ErrDamaged, l.seq+1, t.name, off)
	}
	rec.Torn = int64(len(b) - off)
	return t, nil
}
