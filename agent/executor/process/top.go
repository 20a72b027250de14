package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
)

// ticks are those of a second in /proc/PID/stat: USER_HZ, 100 wherever Go runs (time(7)).
const ticks = 100

// Processes implements executor.Executor: all that share the shim's PID namespace, but the shim.
func (e *Executor) Processes(id swarmnet.TaskID) ([]executor.Proc, error) {
	h, err := e.get(id)
	if err != nil {
		return nil, err
	}
	if h.status().Phase != executor.Running {
		return nil, errGone
	}
	h.mu.Lock()
	shim := h.rec.ShimPID
	h.mu.Unlock()
	space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", shim))
	if err != nil {
		return nil, fmt.Errorf("cannot look at the processes of task %s: %w", swarmnet.ShortID(id), err)
	}
	boot, err := bootTime()
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var out []executor.Proc
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == shim {
			continue
		}
		if at, err := os.Readlink(dir + "/ns/pid"); err != nil || at != space {
			continue
		}
		if p, err := readProc(dir, pid, boot); err == nil { // else it has ended meanwhile
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b executor.Proc) int {
		if c := a.Started.Compare(b.Started); c != 0 {
			return c
		}
		return a.PID - b.PID
	})
	return out, nil
}

// readProc reads /proc/PID/stat, statm and cmdline (proc(5)).
func readProc(dir string, pid int, boot time.Time) (executor.Proc, error) {
	p := executor.Proc{PID: pid}
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return p, err
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')') // the name may hold anything
	if open < 0 || end < open {
		return p, errors.New("stat is in another form")
	}
	f := strings.Fields(string(b[end+1:])) // from the state on, the third field
	if len(f) < 22 {
		return p, errors.New("stat is in another form")
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(f[i-3], 10, 64); return n }
	p.Parent = int(number(4))
	p.CPU = time.Duration(number(14)+number(15)) * time.Second / ticks
	p.Started = boot.Add(time.Duration(number(22)) * time.Second / ticks)
	p.Memory = uint64(max(0, number(24))) * uint64(os.Getpagesize())
	if st, err := os.Stat(dir); err == nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			p.UID = sys.Uid
		}
	}
	args, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return p, err
	}
	p.Command = strings.TrimSpace(strings.ReplaceAll(string(args), "\x00", " "))
	if p.Command == "" {
		p.Command = "[" + string(b[open+1:end]) + "]"
	}
	return p, nil
}

func bootTime() (time.Time, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "btime "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return time.Unix(n, 0), err
		}
	}
	return time.Time{}, errors.New("/proc/stat does not say when the host was started")
}
