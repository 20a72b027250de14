package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
)

// Exec implements executor.Executor. The error is executor.ErrNotFound or ErrNotExecutable where a shell would end with 127 or 126.
func (e *Executor) Exec(id swarmnet.TaskID, x executor.Exec) (executor.Process, error) {
	h, err := e.get(id)
	if err != nil {
		return nil, err
	}
	req := request{Op: "exec", Command: x.Command, Env: x.Env, Dir: x.Dir, TTY: x.TTY, User: x.User}
	p, answer, err := h.askWith(req, 10*writeTimeout, true, x.Stdin, x.Stdout, x.Stderr)
	closeAll(answer.files)
	if err != nil {
		return nil, startError(executor.Status{Err: err.Error()})
	}
	return &p, nil
}

// execution is a command that runs beside a workload's own.
type execution struct {
	h    *holding
	seq  uint64
	exit <-chan int
}

func (x *execution) Signal(name string) error {
	sig, err := parseSignal(name)
	if err != nil {
		return err
	}
	return x.h.ask(request{Op: "signal", Exec: x.seq, Signal: int(sig)}, writeTimeout)
}

func (x *execution) Wait(ctx context.Context) int {
	select {
	case code := <-x.exit:
		return code
	case <-ctx.Done():
	}
	// A command that nobody waits for is ended. It was asked to hang up first by the end of its terminal or input.
	if err := x.Signal("SIGKILL"); err != nil && !errors.Is(err, errGone) {
		return 128 + int(syscall.SIGKILL)
	}
	return <-x.exit // the shim answers, or its end does
}

// execKey names a command of exec: the daemon that asked for it, and its request.
type execKey struct {
	client *net.UnixConn
	seq    uint64
}

// exec runs a command for a client until it ends.
func (s *shim) exec(c *net.UnixConn, req request, files []*os.File) {
	ended, err := s.startExec(execKey{c, req.Seq}, req, files)
	closeAll(files) // else nobody would see that the command has closed them
	s.reply(c, req.Seq, err)
	if err != nil {
		return
	}
	ws := <-ended
	s.mu.Lock()
	delete(s.execs, execKey{c, req.Seq})
	s.mu.Unlock()
	s.say(c, message{Exec: req.Seq, Code: exitCode(ws)})
}

func (s *shim) startExec(key execKey, req request, files []*os.File) (<-chan syscall.WaitStatus, error) {
	if len(files) != 3 {
		return nil, fmt.Errorf("exec takes 3 files, %d came", len(files))
	}
	spec := s.spec
	spec.Command, spec.Env = req.Command, overlayEnv(s.spec.Env, req.Env)
	if req.Dir != "" {
		spec.Dir = req.Dir
	}
	if req.User != "" {
		spec.User = req.User
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.main == 0 {
		return nil, errGone
	}
	path, _, err := lookup(spec)
	if err != nil {
		return nil, err
	}
	pid, err := fork(path, spec, [3]*os.File(files), req.TTY)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", executor.ErrNotExecutable, path, err)
	}
	ended := make(chan syscall.WaitStatus, 1)
	s.probes[pid], s.execs[key] = ended, pid
	return ended, nil
}

// signalExec signals the command alone, but SIGKILL goes to all that it started and that did not leave its session's first group.
func (s *shim) signalExec(c *net.UnixConn, req request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.Exec == 0 {
		return s.signalMain(syscall.Signal(req.Signal))
	}
	pid, ok := s.execs[execKey{c, req.Exec}]
	if !ok || s.probes[pid] == nil { // not reaped, so the number is still its own
		return nil
	}
	if sig := syscall.Signal(req.Signal); sig != syscall.SIGKILL {
		return syscall.Kill(pid, sig)
	}
	return syscall.Kill(-pid, syscall.SIGKILL)
}

// killExecs ends the commands of a client that is gone: nobody can hear them any more.
func (s *shim) killExecs(c *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, pid := range s.execs {
		if key.client == c && s.probes[pid] != nil {
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
}

// overlayEnv returns env with more added; a name that both have is more's.
func overlayEnv(env, more []string) []string {
	given := map[string]bool{}
	for _, kv := range more {
		name, _, _ := strings.Cut(kv, "=")
		given[name] = true
	}
	var out []string
	for _, kv := range env {
		if name, _, _ := strings.Cut(kv, "="); !given[name] {
			out = append(out, kv)
		}
	}
	return append(out, more...)
}
