package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/swarmnet/swarmnet/agent/executor"
)

// The names of the files in a task's directory.
const (
	specFile   = "spec.json"
	recordFile = "state.json"
	logFile    = "log"
	sockFile   = "shim.sock"
	shimLog    = "shim.log"
)

// etcFiles are the files of /etc that a task has of its own; they have the same names in its directory.
var etcFiles = [...]string{"resolv.conf", "hosts", "hostname"}

// record is what a shim remembers of its workload, in state.json.
type record struct {
	BootID    string         `json:"boot_id"`
	Run       uint64         `json:"run,omitempty"`
	Phase     executor.Phase `json:"phase"`
	ShimPID   int            `json:"shim_pid"` // as the daemon sees it
	PID       int            `json:"pid"`      // of the command, as the daemon sees it
	StartedAt time.Time      `json:"started_at,omitzero"`
	EndedAt   time.Time      `json:"ended_at,omitzero"`
	ExitCode  int            `json:"exit_code"`
	Err       string         `json:"err,omitempty"`
	Stopping  bool           `json:"stopping,omitempty"`
}

func readRecord(dir string) (record, error) {
	var r record
	err := readJSON(filepath.Join(dir, recordFile), &r)
	return r, err
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file as a whole. sync makes it outlast a power cut.
func writeJSON(path string, v any, sync bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// bootID names the running kernel's boot: records of another one describe processes that are gone.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(b[:max(0, len(b)-1)])
}
