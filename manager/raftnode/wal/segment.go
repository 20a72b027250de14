package wal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// A segment begins with magic [8]byte | number u64 | salt [16]byte | CRC32C u32 of that, padded to segmentHead bytes.
const (
	segmentHead = 64
	spareName   = "spare.tmp"
)

var segmentMagic = []byte("SWNLOG01")

func appendSegmentHead(dst []byte, number uint64, salt []byte) []byte {
	at := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.LittleEndian.AppendUint64(dst, number)
	dst = append(dst, salt...)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
	return append(dst, make([]byte, segmentHead-(len(dst)-at))...)
}

// parseSegmentHead returns the salt of the segment with that number.
func parseSegmentHead(b []byte, number uint64) ([]byte, error) {
	const n = 8 + 8 + seal.SaltSize
	if len(b) < segmentHead || !bytes.HasPrefix(b, segmentMagic) {
		return nil, errors.New("it does not begin like a segment")
	}
	if binary.LittleEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return nil, errors.New("its head is damaged")
	}
	if got := binary.LittleEndian.Uint64(b[8:]); got != number {
		return nil, fmt.Errorf("it is segment %d", got)
	}
	return b[16:n], nil
}

// rotate ends the segment and starts the next, with room for a frame of need bytes. vfs.ErrNoSpace leaves all as it was.
func (l *Log) rotate(need int64) error {
	if err := l.sync(); err != nil {
		return err
	}
	old := l.file
	if err := l.start(l.segments[len(l.segments)-1].number+1, need); err != nil {
		if errors.Is(err, vfs.ErrNoSpace) {
			l.full = true
			return fmt.Errorf("wal: start a segment in %s: %w", l.cfg.Dir, err)
		}
		return l.fail("start a segment in", err)
	}
	old.Close()
	if err := l.writeHead(); err != nil {
		return err
	}
	l.Reserve()
	return nil
}

// start makes a segment the one that is written. Its first frame repeats the hard state and the snapshots, so that the
// segments before it can go. It gets its name when that frame is durable: a segment that exists is whole so far.
func (l *Log) start(number uint64, need int64) error {
	base := appendBase(nil, l.hard, l.last, l.pointers)
	size := max(l.cfg.SegmentSize, segmentHead+frameSize(len(base))+need)
	f, err := l.spare(size)
	if err != nil {
		return err
	}
	salt := make([]byte, seal.SaltSize)
	rand.Read(salt)
	sealer, err := seal.NewFile(l.cfg.Key, salt, l.cfg.ID, "log", number)
	if err != nil {
		return err
	}
	h := header{seq: l.seq + 1, synced: l.synced, prev: l.prev}
	b := appendSegmentHead(nil, number, salt)
	b = appendFrame(b, h, sealer, segmentHead, base)
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	tmp := path.Join(l.cfg.Dir, spareName)
	if err := l.cfg.FS.Rename(tmp, path.Join(l.cfg.Dir, segmentName(number))); err != nil {
		return err
	}
	if err := l.cfg.FS.SyncDir(l.cfg.Dir); err != nil {
		return err
	}
	l.file, l.seal, l.off, l.size = f, sealer, int64(len(b)), size
	l.prev = frameTag(b[segmentHead:], len(base))
	l.seq++
	l.synced = l.seq
	l.segments = append(l.segments, segment{number: number})
	return nil
}

// spare returns a reserved, empty file that has no segment's name yet: the one set aside, if it is big enough.
func (l *Log) spare(size int64) (vfs.File, error) {
	name := path.Join(l.cfg.Dir, spareName)
	if f, err := l.cfg.FS.Open(name); err == nil {
		if have, err := f.Size(); err == nil && have >= size && isZero(f, have) {
			return f, nil
		}
		f.Close()
	}
	f, err := l.cfg.FS.Create(name)
	if err != nil {
		return nil, err
	}
	if err := f.Reserve(size); err != nil {
		f.Close()
		l.cfg.FS.Remove(name)
		return nil, err
	}
	return f, nil
}

// Reserve sets the file of the next segment aside, so that a disk that fills up later does not stop the log. Full tells
// whether it succeeded; it may be called again at any time.
func (l *Log) Reserve() {
	f, err := l.spare(l.cfg.SegmentSize)
	l.full = err != nil
	if err == nil {
		f.Close()
	}
}

func isZero(f vfs.File, size int64) bool {
	b := make([]byte, 1<<16)
	for off := int64(0); off < size; off += int64(len(b)) {
		n := min(int64(len(b)), size-off)
		if _, err := f.ReadAt(b[:n], off); err != nil || !allZero(b[:n]) {
			return false
		}
	}
	return true
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
