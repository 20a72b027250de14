package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// record is what a lab's directory says of its supervisor.
type record struct {
	PID int
	// Start is the supervisor's start time in ticks since boot (proc_pid_stat(5), field 22): it tells it from a later process of the
	// same number.
	Start  string
	Binary string
	Underlay
	// DaemonArgs are what every daemon is started with, beside what differs from node to node.
	DaemonArgs []string
}

func recordPath(dir string) string { return filepath.Join(dir, "lab.json") }

func (r record) save(dir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(recordPath(dir), b, 0o600)
}

// loadRecord reads the record of a lab; ok is false where there is none, or none that can be read: the remains of a lab that never came up.
func loadRecord(dir string) (r record, ok bool) {
	b, err := os.ReadFile(recordPath(dir))
	return r, err == nil && json.Unmarshal(b, &r) == nil && r.PID > 0
}

// startTime reads the start time of a process; "" if there is none or it has ended.
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The command, field 2, may hold anything, parentheses too: count from the last one.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return ""
	}
	return f[19]
}

func (r record) alive() bool { return r.Start != "" && startTime(r.PID) == r.Start }

// end kills the supervisor and waits until its pid namespace is gone: pid 1 of a namespace becomes waitable only after every process
// in it has been reaped (pid_namespaces(7)).
func (r record) end(timeout time.Duration) error {
	fd, err := unix.PidfdOpen(r.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot watch the lab's supervisor, process %d: %w", r.PID, err)
	}
	defer unix.Close(fd)
	// Only now that the descriptor holds on to the process is its start time decisive.
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.PID)); err != nil || !strings.Contains(string(b), " "+r.Start+" ") {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot end the lab's supervisor, process %d: %w", r.PID, err)
	}
	deadline := time.Now().Add(timeout)
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, int(time.Until(deadline).Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("the lab's processes did not end within %v: process %d is stuck in the kernel", timeout, r.PID)
		}
	}
}

// claimDir makes a lab's directory; fs.ErrExist if there is one. One that somebody else made in the shared /tmp is refused.
func claimDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		if err := checkDir(dir); err != nil {
			return err
		}
	}
	return err
}

func checkDir(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || !st.IsDir() || int(sys.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not this user's directory: choose another --name", dir)
	}
	return nil
}
