package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/internal/netns"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Start implements executor.Executor.
func (e *Executor) Start(ctx context.Context, spec executor.Spec) error {
	h, err := e.get(spec.ID)
	if err != nil || h.status().Phase >= executor.Ended && h.status().Run != spec.Run {
		if err == nil { // its shim may still be about to go, and with it what it has open in the sandbox
			if err := h.kill(ctx); err != nil {
				return err
			}
		}
		if h, err = e.launch(spec); err != nil {
			e.discard(spec.ID)
			return fmt.Errorf("start task: %w", err)
		}
		e.hold(h)
	}
	return h.started(ctx)
}

// launch prepares the task's directory and starts a shim in it.
func (e *Executor) launch(spec executor.Spec) (*holding, error) {
	dir := e.dir(spec.ID)
	if err := prepare(dir, spec); err != nil {
		return nil, err
	}
	l, err := listen(dir)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	pid, err := spawn(dir, spec.NetnsPath, l)
	if err != nil {
		return nil, err
	}
	conn, err := dial(dir)
	if err != nil {
		go reapShim(pid)
		return nil, err
	}
	l.Close() // now the shim alone has it: when it dies, the connection ends
	h := newHolding(spec.ID, dir, conn)
	if err := h.hello(); err != nil {
		conn.Close()
		go reapShim(pid)
		if rec, recErr := readRecord(dir); recErr == nil && rec.Phase == executor.Ended { // it was faster than we
			h = newHolding(spec.ID, dir, nil)
			h.finish(rec)
			return h, nil
		}
		return nil, shimError(dir, err)
	}
	return h, nil
}

// discard forgets a workload that could not be started.
func (e *Executor) discard(id swarmnet.TaskID) {
	_ = os.RemoveAll(e.dir(id))
	e.mu.Lock()
	delete(e.held, id)
	e.mu.Unlock()
}

// prepare makes the task's directory. Only the output of an earlier run stays in it.
func prepare(dir string, spec executor.Spec) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == logFile || e.Name() == logFile+".1" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	hostname := spec.Hostname
	if hostname == "" {
		hostname = string(spec.ID)[:min(12, len(spec.ID))]
	}
	contents := map[string]string{"resolv.conf": spec.ResolvConf, "hosts": spec.Hosts, "hostname": hostname + "\n"}
	for _, name := range etcFiles {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents[name]), 0o644); err != nil {
			return err
		}
	}
	workDir := spec.Dir
	if workDir == "" {
		workDir = "/"
	}
	return writeJSON(filepath.Join(dir, specFile), shimSpec{
		Command: spec.Command, Env: environment(spec.Env, hostname), Dir: workDir, Hostname: hostname, DNS: spec.DNS, Run: spec.Run,
		User: spec.User, Stdin: spec.Stdin, TTY: spec.TTY,
	}, false)
}

// environment completes a task's environment with what every program may expect. The directory of this very program ends its PATH,
// so that `swarmnet whoami` is found wherever swarmnet is installed.
func environment(given []string, hostname string) []string {
	env := map[string]string{}
	var order []string
	for _, kv := range append([]string{"PATH=" + defaultPath, "HOME=/root", "HOSTNAME=" + hostname}, given...) {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			continue
		}
		if _, seen := env[k]; !seen {
			order = append(order, k)
		}
		env[k] = v
	}
	if exe, err := os.Readlink("/proc/self/exe"); err == nil {
		env["PATH"] += ":" + filepath.Dir(strings.TrimSuffix(exe, " (deleted)"))
	}
	out := make([]string, len(order))
	for i, k := range order {
		out[i] = k + "=" + env[k]
	}
	return out
}

// spawn starts the shim in the network namespace, with l as its control socket. Whoever sees the shim's end must reap it.
func spawn(dir, netnsPath string, l *net.UnixListener) (pid int, err error) {
	control, err := l.File()
	if err != nil {
		return 0, err
	}
	defer control.Close()
	log, err := os.OpenFile(filepath.Join(dir, shimLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", ShimArg)
	cmd.Args[0] = "swarmnet"
	cmd.Dir = dir
	cmd.Env = []string{"GOMAXPROCS=1", "PATH=" + defaultPath}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{control} // listenerFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS}
	err = netns.Do(netnsPath, cmd.Start) // the child has the network namespace of the thread that makes it
	if err != nil {
		return 0, fmt.Errorf("its shim: %w", err)
	}
	pid = cmd.Process.Pid
	return pid, cmd.Process.Release() // to wait for it would take a thread for as long as it runs
}

// reapShim reaps a shim whose end is near, if it is a child of this process: one that another daemon started is init's.
func reapShim(pid int) {
	for pid > 1 {
		if _, err := syscall.Wait4(pid, nil, 0, nil); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// shimError says why a shim did not speak, in the shim's own words where it left any.
func shimError(dir string, err error) error {
	if rec, recErr := readRecord(dir); recErr == nil && rec.Err != "" {
		return errors.New(rec.Err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, shimLog)); len(b) > 0 {
		line, _, _ := strings.Cut(string(b), "\n")
		return errors.New(line)
	}
	return fmt.Errorf("its shim did not come up: %w", err)
}

// started waits until the command runs, and says why if it can't.
func (h *holding) started(ctx context.Context) error {
	for {
		st, news := h.watch()
		switch {
		case st.Phase == executor.Running:
			return nil
		case st.Phase == executor.Ended && st.Err != "":
			return startError(st)
		case st.Phase == executor.Ended:
			return nil
		case st.Phase == executor.Lost:
			return shimError(h.dir, errors.New(st.Err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

// startError restores the sentinel that the shim's words begin with.
func startError(st executor.Status) error {
	for _, sentinel := range []error{executor.ErrNotFound, executor.ErrNotExecutable} {
		if rest, ok := strings.CutPrefix(st.Err, sentinel.Error()); ok {
			return fmt.Errorf("%w%s", sentinel, rest)
		}
	}
	return errors.New(st.Err)
}
