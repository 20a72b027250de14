package process

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
)

// execIn runs a command in a workload's sandbox and returns what it wrote and its exit status.
func execIn(t *testing.T, e *Executor, id swarmnet.TaskID, x executor.Exec, input string) (out string, code int, err error) {
	t.Helper()
	inR, inW, _ := os.Pipe()
	outR, outW, _ := os.Pipe()
	defer inW.Close()
	defer outR.Close()
	x.Stdin, x.Stdout, x.Stderr = inR, outW, outW
	p, err := e.Exec(id, x)
	inR.Close()
	outW.Close()
	if err != nil {
		return "", 0, err
	}
	if _, err := io.WriteString(inW, input); err != nil {
		t.Fatal(err)
	}
	inW.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	b, err := io.ReadAll(outR)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), p.Wait(ctx), nil
}

func TestKernelC24Exec(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	run(t, e, "t1", "sleep", "600")
	sh := func(script string) executor.Exec { return executor.Exec{Command: []string{"/bin/sh", "-c", script}} }

	out, code, err := execIn(t, e, "t1", sh("hostname; cat /etc/resolv.conf; cat /etc/hosts; cat; exit 7"), "from outside\n")
	if want := "box\nnameserver 127.0.0.11\n10.0.0.9 box\nfrom outside\n"; err != nil || code != 7 || out != want {
		t.Errorf("%v, status %d: %q", err, code, out)
	}
	x := sh(`echo "$A $B $PWD"`)
	x.Env, x.Dir = []string{"A=1", "B=2"}, "/tmp"
	if out, _, err := execIn(t, e, "t1", x, ""); err != nil || out != "1 2 /tmp\n" {
		t.Errorf("%v: %q", err, out)
	}
	if _, _, err := execIn(t, e, "t1", executor.Exec{Command: []string{"no-such-program"}}, ""); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("a missing command: %v", err)
	}
	if _, _, err := execIn(t, e, "t1", executor.Exec{Command: []string{"/etc/hosts"}}, ""); !errors.Is(err, executor.ErrNotExecutable) {
		t.Errorf("a file that is no program: %v", err)
	}
	// The command is in the PID namespace of the workload.
	if out, _, err := execIn(t, e, "t1", sh("kill -0 2 && readlink /proc/1/exe"), ""); err != nil || out == "" {
		t.Errorf("%v: %q", err, out)
	}
}

func TestKernelC24ExecSignals(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	run(t, e, "t1", "sleep", "600")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	start := func(script string) (executor.Process, *os.File) {
		t.Helper()
		r, w, _ := os.Pipe()
		defer w.Close()
		p, err := e.Exec("t1", executor.Exec{Command: []string{"/bin/sh", "-c", script}, Stdin: null, Stdout: w, Stderr: w})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return p, r
	}
	p, out := start("trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done")
	if b := make([]byte, 6); true {
		if _, err := io.ReadFull(out, b); err != nil || string(b) != "ready\n" {
			t.Fatal(err, string(b))
		}
	}
	if err := p.Signal("USR1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if code := p.Wait(ctx); code != 9 {
		t.Errorf("status %d", code)
	}
	// Nobody waits any more: it is killed.
	p, _ = start("sleep 600")
	gone, cancelGone := context.WithCancel(t.Context())
	cancelGone()
	if code := p.Wait(gone); code != 137 {
		t.Errorf("status %d", code)
	}
	// The workload ends, and takes the command along.
	p, _ = start("sleep 600")
	if err := e.Stop("t1", "SIGKILL", time.Second); err != nil {
		t.Fatal(err)
	}
	if code := p.Wait(ctx); code != 137 {
		t.Errorf("status %d", code)
	}
	if _, err := e.Exec("t1", executor.Exec{Command: []string{"true"}, Stdin: null, Stdout: null, Stderr: null}); err == nil {
		t.Error("a command in a workload that has ended")
	}
}

func TestKernelC24ExecTerminal(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	run(t, e, "t1", "sleep", "600")
	master, tty, err := OpenTerminal()
	if errors.Is(err, os.ErrNotExist) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := ResizeTerminal(master, 33, 99); err != nil {
		t.Fatal(err)
	}
	p, err := e.Exec("t1", executor.Exec{Command: []string{"/bin/sh", "-c", "test -t 0 && test -t 1 && stty size; read x; echo got $x; exit 3"}, TTY: true, Stdin: tty, Stdout: tty, Stderr: tty})
	tty.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := master.Write([]byte("typed\n")); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for buf := make([]byte, 256); ; {
		n, err := master.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			break // EIO: the other end is closed
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if code := p.Wait(ctx); code != 3 || !strings.Contains(out.String(), "33 99") || !strings.Contains(out.String(), "got typed") {
		t.Errorf("status %d: %q", code, out.String())
	}
}

func TestKernelStartAgainKeepsOutput(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	for i := range uint64(2) {
		err := e.Start(t.Context(), executor.Spec{ID: "t1", Run: i + 1, Command: []string{"/bin/sh", "-c", "echo run"}})
		if err != nil {
			t.Fatal(err)
		}
		if st := waitEnd(t, e, "t1"); st.Run != i+1 {
			t.Errorf("run %d is %d", i+1, st.Run)
		}
	}
	// The same run again is nothing new.
	if err := e.Start(t.Context(), executor.Spec{ID: "t1", Run: 2, Command: []string{"/bin/sh", "-c", "echo run"}}); err != nil {
		t.Fatal(err)
	}
	if out, _ := output(t, e, "t1", 0); out != "run\nrun\n" {
		t.Errorf("output %q", out)
	}
}
