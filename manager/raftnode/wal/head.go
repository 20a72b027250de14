package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"path"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// head is how far the log reaches at least. It is written in turns to two files that are never touched otherwise, so that
// one of them is whole after any crash:
//
//	magic [8]byte | salt [16]byte | sealed (number, segment, seq, commit, index u64) | CRC32C u32
type head struct {
	number  uint64 // counts the writes
	segment uint64
	seq     uint64
	commit  uint64
	index   uint64 // of the newest snapshot
}

const headSize = 8 + seal.SaltSize + 40 + seal.Overhead + 4

var headMagic = []byte("SWNHEAD1")

func headName(number uint64) string {
	return [2]string{"head.0", "head.1"}[number%2]
}

func (l *Log) writeHead() error {
	if l.failed != nil {
		return l.failed
	}
	h := head{number: l.headNo + 1, segment: l.segments[len(l.segments)-1].number, seq: l.synced, commit: min(l.hard.Commit, l.last)}
	if n := len(l.pointers); n > 0 {
		h.index = l.pointers[n-1].Index
	}
	b, err := encodeHead(h, l.cfg)
	if err != nil {
		return err
	}
	if err := overwrite(l.cfg.FS, path.Join(l.cfg.Dir, headName(h.number)), b); err != nil {
		return l.fail("write how far it reaches in", err)
	}
	l.headNo, l.headAt = h.number, l.seq
	return nil
}

func overwrite(fsys vfs.FS, name string, b []byte) error {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = fsys.Create(name); err == nil {
			err = fsys.SyncDir(path.Dir(name))
		}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Sync()
}

func encodeHead(h head, cfg Config) ([]byte, error) {
	salt := make([]byte, seal.SaltSize)
	rand.Read(salt)
	s, err := seal.NewFile(cfg.Key, salt, cfg.ID, "head", 0)
	if err != nil {
		return nil, err
	}
	var plain []byte
	for _, n := range []uint64{h.number, h.segment, h.seq, h.commit, h.index} {
		plain = binary.LittleEndian.AppendUint64(plain, n)
	}
	b := append(append([]byte(nil), headMagic...), salt...)
	b = s.Seal(b, 0, plain, nil)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

var errHead = errors.New("damaged")

func decodeHead(b []byte, cfg Config) (head, error) {
	if len(b) < headSize || string(b[:8]) != string(headMagic) {
		return head{}, errHead
	}
	b = b[:headSize]
	if binary.LittleEndian.Uint32(b[headSize-4:]) != crc32.Checksum(b[:headSize-4], castagnoli) {
		return head{}, errHead
	}
	s, err := seal.NewFile(cfg.Key, b[8:8+seal.SaltSize], cfg.ID, "head", 0)
	if err != nil {
		return head{}, err
	}
	plain, err := s.Open(nil, 0, b[8+seal.SaltSize:headSize-4], nil)
	if err != nil {
		return head{}, ErrKey
	}
	n := func(i int) uint64 { return binary.LittleEndian.Uint64(plain[8*i:]) }
	return head{n(0), n(1), n(2), n(3), n(4)}, nil
}

// readHead returns the newer of the two heads; there is none (false) before the log's first write of one.
func readHead(cfg Config) (h head, found bool, err error) {
	bad := 0
	for i := range uint64(2) {
		b, err := vfs.ReadFile(cfg.FS, path.Join(cfg.Dir, headName(i)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return head{}, false, err
		}
		one, err := decodeHead(b, cfg)
		switch {
		case errors.Is(err, errHead):
			bad++
		case err != nil:
			return head{}, false, err
		case !found || one.number > h.number:
			h, found = one, true
		}
	}
	if bad == 2 {
		return head{}, false, errHead
	}
	return h, found, nil
}
