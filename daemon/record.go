package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// record is what a member node must remember beside its identity to come up again after a restart.
type record struct {
	Addresses addresses
	// Managers are API addresses of managers, newest knowledge first.
	Managers []string
}

func recordPath(dataDir string) string { return filepath.Join(dataDir, "node.json") }

// loadRecord reads the record; ok is false on a node that is in no cluster.
func loadRecord(dataDir string) (r record, ok bool, err error) {
	b, err := os.ReadFile(recordPath(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, fmt.Errorf("cannot read the node's record: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, false, fmt.Errorf("%s is damaged (%v): restore it, or remove %s and join the cluster again", recordPath(dataDir), err, dataDir)
	}
	return r, true, nil
}

// saveRecord replaces the record in one step: a crash leaves the old one or the new one.
func saveRecord(dataDir string, r record) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFileSync(recordPath(dataDir), b)
}

func writeFileSync(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
