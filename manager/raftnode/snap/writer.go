package snap

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"path"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// Writer writes one snapshot: the image through Write, then Commit or Abort.
type Writer struct {
	store  *Store
	name   string
	tmp    string
	file   vfs.File
	seal   seal.File
	digest hash.Hash
	off    int64
	frame  uint64
	length uint64
	buf    []byte // data that does not fill a frame yet
	out    []byte
}

// Create begins a snapshot under a temporary name.
func (s *Store) Create(m Meta) (*Writer, error) {
	w := &Writer{store: s, name: fileName(m.Index, m.Term), digest: sha256.New()}
	salt := make([]byte, seal.SaltSize)
	rand.Read(salt)
	w.tmp = path.Join(s.cfg.Dir, fmt.Sprintf("%s-%x.tmp", w.name, salt[:4]))
	var err error
	if w.seal, err = seal.NewFile(s.cfg.Key, salt, s.cfg.ID, "snapshot", 0); err != nil {
		return nil, err
	}
	meta, err := encodeMeta(m)
	if err != nil {
		return nil, fmt.Errorf("snap: encode %s: %w", w.name, err)
	}
	if w.file, err = s.cfg.FS.Create(w.tmp); err != nil {
		return nil, fmt.Errorf("snap: create %s: %w", w.name, err)
	}
	err = w.put(encodeHead(salt))
	if err == nil {
		err = w.seal1(kindMeta, meta)
	}
	if err != nil {
		w.Abort()
		return nil, fmt.Errorf("snap: write %s: %w", w.name, err)
	}
	return w, nil
}

// Write takes a piece of the image.
func (w *Writer) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	for len(w.buf) >= frameData {
		if err := w.data(w.buf[:frameData]); err != nil {
			return 0, err
		}
		w.buf = append(w.buf[:0], w.buf[frameData:]...)
	}
	return len(b), nil
}

func (w *Writer) data(b []byte) error {
	w.length += uint64(len(b))
	return w.seal1(kindData, b)
}

func (w *Writer) seal1(kind uint32, plain []byte) error {
	w.out = appendFrame(w.out[:0], w.seal, w.frame, kind, plain)
	w.frame++
	return w.put(w.out)
}

func (w *Writer) put(b []byte) error {
	if _, err := w.file.WriteAt(b, w.off); err != nil {
		return err
	}
	w.digest.Write(b)
	w.off += int64(len(b))
	return nil
}

// Commit ends the snapshot and gives it its name. When it returns, the snapshot is durable.
func (w *Writer) Commit() error {
	err := w.finish()
	if err != nil {
		w.Abort()
		return fmt.Errorf("snap: write %s: %w", w.name, err)
	}
	return nil
}

func (w *Writer) finish() error {
	if len(w.buf) > 0 {
		if err := w.data(w.buf); err != nil {
			return err
		}
	}
	footer := binary.LittleEndian.AppendUint64(w.digest.Sum(nil), w.length)
	if err := w.seal1(kindFooter, footer); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	fs := w.store.cfg.FS
	if err := fs.Rename(w.tmp, path.Join(w.store.cfg.Dir, w.name)); err != nil {
		return err
	}
	return fs.SyncDir(w.store.cfg.Dir)
}

// Abort drops the snapshot.
func (w *Writer) Abort() {
	w.file.Close()
	// A leftover is dropped at the next Open.
	_ = w.store.cfg.FS.Remove(w.tmp)
}
