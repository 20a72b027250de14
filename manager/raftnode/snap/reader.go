package snap

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// Reader reads a snapshot. It returns io.EOF only when all was as it was written; ErrDamaged otherwise.
type Reader struct {
	Meta   Meta
	name   string
	file   vfs.File
	size   int64
	seal   seal.File
	digest hash.Hash
	off    int64
	frame  uint64
	length uint64
	rest   []byte
	err    error
}

// Read opens a snapshot.
func (s *Store) Read(index, term uint64) (*Reader, error) {
	r := &Reader{name: fileName(index, term), digest: sha256.New()}
	var err error
	if r.file, err = s.cfg.FS.Open(path.Join(s.cfg.Dir, r.name)); err != nil {
		return nil, fmt.Errorf("snap: open %s: %w", r.name, err)
	}
	if err := r.start(s.cfg); err != nil {
		r.file.Close()
		return nil, fmt.Errorf("snap: open %s: %w", r.name, err)
	}
	if r.Meta.Index != index || r.Meta.Term != term {
		r.file.Close()
		return nil, fmt.Errorf("snap: open %s: %w: it is of entry %d", r.name, ErrDamaged, r.Meta.Index)
	}
	return r, nil
}

func (r *Reader) start(cfg Config) (err error) {
	if r.size, err = r.file.Size(); err != nil {
		return err
	}
	head, err := r.take(headSize)
	if err != nil {
		return err
	}
	salt, err := decodeHead(head)
	if err != nil {
		return err
	}
	if r.seal, err = seal.NewFile(cfg.Key, salt, cfg.ID, "snapshot", 0); err != nil {
		return err
	}
	r.digest.Write(head)
	kind, meta, err := r.next()
	if err != nil {
		return err
	}
	if kind != kindMeta {
		return ErrDamaged
	}
	r.Meta, err = decodeMeta(meta)
	return err
}

// take reads n bytes of the file; ErrDamaged when there are fewer.
func (r *Reader) take(n int64) ([]byte, error) {
	if r.size-r.off < n {
		return nil, fmt.Errorf("%w: it ends at byte %d", ErrDamaged, r.size)
	}
	b := make([]byte, n)
	if got, err := r.file.ReadAt(b, r.off); err != nil && (int64(got) < n || !errors.Is(err, io.EOF)) {
		return nil, err
	}
	r.off += n
	return b, nil
}

// next opens the next frame.
func (r *Reader) next() (kind uint32, plain []byte, err error) {
	at := r.off
	head, err := r.take(frameHead)
	if err != nil {
		return 0, nil, err
	}
	length := binary.LittleEndian.Uint32(head)
	if length < seal.Overhead || length > maxFramePlain {
		return 0, nil, fmt.Errorf("%w at byte %d", ErrDamaged, at)
	}
	sealed, err := r.take(int64(length))
	if err != nil {
		return 0, nil, err
	}
	plain, err = r.seal.Open(nil, r.frame, sealed, head)
	if err != nil {
		return 0, nil, fmt.Errorf("%w at byte %d: %w", ErrDamaged, at, err)
	}
	r.frame++
	kind = binary.LittleEndian.Uint32(head[4:])
	if kind != kindFooter {
		r.digest.Write(head)
		r.digest.Write(sealed)
	}
	return kind, plain, nil
}

// Read returns the image.
func (r *Reader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		var kind uint32
		if kind, r.rest, r.err = r.next(); r.err != nil {
			r.err = fmt.Errorf("snap: read %s: %w", r.name, r.err)
			break
		}
		switch kind {
		case kindData:
			r.length += uint64(len(r.rest))
		case kindFooter:
			r.err = r.finish(r.rest)
			r.rest = nil
		default:
			r.err = fmt.Errorf("snap: read %s: %w", r.name, ErrDamaged)
		}
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// finish compares the footer; io.EOF when all is well.
func (r *Reader) finish(footer []byte) error {
	want := binary.LittleEndian.AppendUint64(r.digest.Sum(nil), r.length)
	if string(footer) != string(want) {
		return fmt.Errorf("snap: read %s: %w: its digest differs", r.name, ErrDamaged)
	}
	return io.EOF
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
