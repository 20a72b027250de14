package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/swarmnet/swarmnet/agent/executor"
)

// shimSpec is what spec.json says to the shim.
type shimSpec struct {
	Command  []string       `json:"command"`
	Env      []string       `json:"env"`
	Dir      string         `json:"dir"`
	Hostname string         `json:"hostname"`
	DNS      netip.AddrPort `json:"dns"`
	Run      uint64         `json:"run"`
	User     string         `json:"user,omitempty"`
	Stdin    bool           `json:"stdin,omitempty"`
	TTY      bool           `json:"tty,omitempty"`
}

// copying is the copying of a command's stdout and stderr into the log.
type copying struct{ sync.WaitGroup }

// wait returns when both have ended, or after d: a process outside of this namespace may hold a pipe open.
func (o *copying) wait(d time.Duration) (ended bool) {
	done := make(chan struct{})
	go func() { o.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// start starts the command. Its error comes with the exit code that a shell would give: 127 not found, 126 not to be run.
func (s *shim) start(children *os.Root) (*copying, int, error) {
	path, code, err := lookup(s.spec)
	if err != nil {
		return nil, code, err
	}
	f, err := openStandard(s.spec)
	if err != nil {
		return nil, 125, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rec.Stopping {
		return nil, 128 + int(syscall.SIGTERM), errors.New("stopped before its command was started")
	}
	pid, err := fork(path, s.spec, f.theirs, s.spec.TTY)
	closeAll(f.theirs[:])
	if err != nil {
		return nil, 126, fmt.Errorf("%w: %s: %w", executor.ErrNotExecutable, path, err)
	}
	o := &copying{}
	s.input = f.input
	s.out.open(s.spec.Stdin || s.spec.TTY)
	for i, r := range f.output {
		o.Go(func() { s.log.copy([]string{"stdout", "stderr"}[i], io.TeeReader(r, s.out.stream(i))) })
	}
	s.main = pid
	s.rec.Phase, s.rec.StartedAt, s.rec.PID = executor.Running, time.Now(), daemonPID(children)
	if s.rec.PID == 0 {
		s.rec.PID = s.rec.ShimPID
	}
	if err := s.save(false); err != nil {
		fmt.Fprintln(os.Stderr, "swarmnet shim:", err)
	}
	s.tell()
	return o, 0, nil
}

// lookup finds the command in the PATH of the task's own environment.
func lookup(spec shimSpec) (path string, code int, err error) {
	if len(spec.Command) == 0 || spec.Command[0] == "" {
		return "", 127, fmt.Errorf("%w: none was given", executor.ErrNotFound)
	}
	if st, err := os.Stat(spec.Dir); err != nil || !st.IsDir() {
		return "", 126, fmt.Errorf("%w: its directory %s does not exist on this node", executor.ErrNotExecutable, spec.Dir)
	}
	name := spec.Command[0]
	if strings.Contains(name, "/") && !strings.HasPrefix(name, "/") {
		name = spec.Dir + "/" + name
	}
	for _, e := range spec.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			os.Setenv("PATH", v)
		}
	}
	path, err = exec.LookPath(name)
	switch {
	case err == nil:
		return path, 0, nil
	case errors.Is(err, fs.ErrPermission):
		return "", 126, fmt.Errorf("%w: %s: %w", executor.ErrNotExecutable, spec.Command[0], fs.ErrPermission)
	case strings.Contains(name, "/"):
		return "", 127, fmt.Errorf("%w: %s does not exist on this node", executor.ErrNotFound, spec.Command[0])
	}
	return "", 127, fmt.Errorf("%w: %s is nowhere in PATH (%s)", executor.ErrNotFound, spec.Command[0], os.Getenv("PATH"))
}

// forkQuiet starts a process without input.
func forkQuiet(path string, spec shimSpec, stdout, stderr *os.File) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return fork(path, spec, [3]*os.File{null, stdout, stderr}, false)
}

// fork starts a process with a session of its own; with tty, its standard input becomes its terminal.
func fork(path string, spec shimSpec, stdio [3]*os.File, tty bool) (int, error) {
	who, env, err := credential(spec.User, spec.Env)
	if err != nil {
		return 0, err
	}
	if tty && !hasVar(env, "TERM") {
		env = append(slices.Clip(env), "TERM=xterm")
	}
	if tty && who != nil {
		_ = stdio[0].Chown(int(who.Uid), int(who.Gid)) // as login does; it works without
	}
	return syscall.ForkExec(path, spec.Command, &syscall.ProcAttr{
		Dir: spec.Dir, Env: env,
		Files: []uintptr{stdio[0].Fd(), stdio[1].Fd(), stdio[2].Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: tty, Credential: who},
	})
}

func hasVar(env []string, name string) bool {
	return slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
}

// daemonPID is the process id, in the daemon's PID namespace, of the only child of this process; 0 where the kernel does not tell
// (CONFIG_PROC_CHILDREN). tasks is /proc/self/task of the daemon's /proc.
func daemonPID(tasks *os.Root) int {
	names, err := fs.Glob(tasks.FS(), "*/children")
	if err != nil {
		return 0
	}
	for _, name := range names {
		b, err := fs.ReadFile(tasks.FS(), name)
		if err != nil {
			continue
		}
		if f := strings.Fields(string(b)); len(f) > 0 {
			pid, _ := strconv.Atoi(f[0])
			return pid
		}
	}
	return 0
}

// reap waits for every process of the namespace, as its init must, until the command itself has ended.
func (s *shim) reap() syscall.WaitStatus {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		s.mu.Lock() // whoever forks holds it until the child is known
		if err != nil || pid == s.main {
			s.main = 0
			s.mu.Unlock()
			return ws
		}
		if ch, ok := s.probes[pid]; ok {
			ch <- ws
			delete(s.probes, pid)
		}
		s.mu.Unlock()
	}
}

// killAll kills and reaps what the command left behind. Process 1 itself is exempt from kill(-1).
func (s *shim) killAll() {
	if os.Getpid() != 1 {
		return
	}
	for {
		_ = syscall.Kill(-1, syscall.SIGKILL)
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// stop sends the command a signal, and kills everything when grace has gone by. Asked again, it may only hasten the end.
func (s *shim) stop(sig syscall.Signal, grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rec.Stopping {
		s.rec.Stopping = true
		if s.main != 0 {
			_ = syscall.Kill(s.main, sig)
		}
		s.kill = time.AfterFunc(grace, s.killMain)
		s.killAt = time.Now().Add(grace)
		if s.rec.Phase != executor.Ended {
			_ = s.save(false)
			s.tell()
		}
		return
	}
	if at := time.Now().Add(grace); at.Before(s.killAt) {
		s.killAt = at
		s.kill.Reset(grace)
	}
}

// killMain ends the command; reap then sees to the rest.
func (s *shim) killMain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.main != 0 {
		_ = syscall.Kill(s.main, syscall.SIGKILL)
	}
}

func exitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
