package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// disk keeps objects, each under an id in a folder. Each call is whole or without effect, whenever the node ends.
type disk interface {
	// load returns all objects of a folder, each as it was kept last and then as it was before, should that be damaged.
	load(folder string) (map[string][][]byte, error)
	// replace keeps an object in place of what was under its id. Without sync a power cut may take it back, to what was replaced
	// with sync last.
	replace(folder, id string, b []byte, sync bool) error
	// remove forgets an object; without sync a power cut may bring it back. An absent one is forgotten already.
	remove(folder, id string, sync bool) error
	// setAside keeps a damaged object where a person finds it, and load does not.
	setAside(folder, id string) (path string, err error)
}

// files is the disk of a node: a directory a folder, a file an object.
type files struct{ dir string }

const (
	suffix    = ".json"
	temporary = ".tmp"
	// kept is added to the name of what was synced last, while what has replaced it is not: many file systems have nothing at all in such a
	// file after a power cut.
	kept = ".kept"
)

func (f files) path(folder, id string) string { return filepath.Join(f.dir, folder, id+suffix) }

func (f files) load(folder string) (map[string][][]byte, error) {
	dir := filepath.Join(f.dir, folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[string][][]byte{}
	for _, e := range entries { // in order: an object comes before what it was
		path := filepath.Join(dir, e.Name())
		id, object := strings.CutSuffix(e.Name(), suffix)
		older := false
		if !object {
			id, older = strings.CutSuffix(e.Name(), suffix+kept)
		}
		switch {
		case object, older && out[id] != nil:
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			out[id] = append(out[id], b)
		case older, strings.HasSuffix(e.Name(), suffix+temporary): // the node ended amid a change
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (f files) setAside(folder, id string) (string, error) {
	path := f.path(folder, id)
	return path, os.Rename(path, path+".damaged")
}

func (f files) replace(folder, id string, b []byte, sync bool) error {
	path := f.path(folder, id)
	tmp := path + temporary
	file, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil && sync {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if !sync {
		if err := os.Link(path, path+kept); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.Rename(tmp, path)
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return errors.Join(f.syncDir(folder), absent(os.Remove(path+kept)))
}

func (f files) remove(folder, id string, sync bool) error {
	path := f.path(folder, id)
	if err := errors.Join(absent(os.Remove(path+kept)), absent(os.Remove(path))); err != nil || !sync {
		return err
	}
	return f.syncDir(folder)
}

func (f files) syncDir(folder string) error {
	d, err := os.Open(filepath.Join(f.dir, folder))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
