package process

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/agent/executor"
)

// joinTo attaches to a workload and collects what it says.
func joinTo(t *testing.T, e *Executor) (executor.Attachment, func() (string, string)) {
	t.Helper()
	var r, w [2]*os.File
	var got [2]chan string
	for i := range 2 {
		var err error
		if r[i], w[i], err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
		got[i] = make(chan string, 1)
		go func() {
			b, _ := io.ReadAll(r[i])
			got[i] <- string(b)
		}()
	}
	a, err := e.Attach("t1", w[0], w[1])
	closeAll(w[:])
	if err != nil {
		t.Fatal(err)
	}
	return a, func() (string, string) {
		defer closeAll(r[:])
		return <-got[0], <-got[1]
	}
}

// What it put out before somebody came, what it reads, both outputs, and its status.
func TestKernelC24Attach(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	spec := executor.Spec{ID: "t1", Stdin: true, Command: []string{"sh", "-c", "echo hello; read x; echo got $x; echo bad >&2; cat; exit 5"}}
	if err := e.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it has said hello", func() bool { out, _ := output(t, e, "t1", 0); return out == "hello\n" })
	a, said := joinTo(t, e)
	if a.Input == nil {
		t.Fatal("its input is not open")
	}
	if _, err := a.Input.Write([]byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	a.Input.Close()
	if err := a.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if code := a.Wait(t.Context()); code != 5 {
		t.Errorf("status %d, want 5", code)
	}
	out, errOut := said()
	if out != "hello\ngot one\ntwo\n" || errOut != "bad\n" {
		t.Errorf("%q and %q", out, errOut)
	}
	if out, _ := output(t, e, "t1", 0); out != "hello\ngot one\ntwo\n" {
		t.Errorf("the log has %q", out)
	}
	waitEnd(t, e, "t1")
	if _, err := e.Attach("t1", os.Stdout, os.Stdout); err == nil {
		t.Error("what has ended can be attached to")
	}
}

// A terminal of its own, its size, and a signal that is exactly that.
func TestKernelC24AttachTerminal(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	spec := executor.Spec{ID: "t1", Stdin: true, TTY: true, Command: []string{"sh", "-c", "trap 'stty size; exit 6' USR1; test -t 0 && echo term $TERM; while :; do sleep 0.1; done"}}
	if err := e.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	a, said := joinTo(t, e)
	if err := ResizeTerminal(a.Input, 33, 77); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it is ready", func() bool { out, _ := output(t, e, "t1", 0); return strings.Contains(out, "term xterm") })
	if err := e.Signal("t1", "USR1"); err != nil {
		t.Fatal(err)
	}
	if code := a.Wait(t.Context()); code != 6 {
		t.Errorf("status %d, want 6", code)
	}
	a.Input.Close()
	if out, _ := said(); !strings.Contains(out, "term xterm") || !strings.Contains(out, "33 77") {
		t.Errorf("the terminal showed %q", out)
	}
	if st := waitEnd(t, e, "t1"); st.Stopping {
		t.Error("a signal counts as a stop")
	}
}

// Who lets go neither ends the workload nor holds it up.
func TestKernelC24Detach(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	if err := e.Start(t.Context(), executor.Spec{ID: "t1", Command: []string{"sh", "-c", "trap 'exit 7' TERM; while :; do echo x; sleep 0.01; done"}}); err != nil {
		t.Fatal(err)
	}
	var r, w [2]*os.File
	for i := range 2 {
		var err error
		if r[i], w[i], err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
	}
	a, err := e.Attach("t1", w[0], w[1])
	closeAll(w[:])
	if err != nil || a.Input != nil {
		t.Fatal(a.Input, err)
	}
	closeAll(r[:])
	lines := func() int {
		n := 0
		_ = e.Logs(t.Context(), "t1", executor.LogQuery{}, func(l executor.Line) error { n += bytes.Count(l.Data, []byte("x")); return nil })
		return n
	}
	before := lines()
	waitFor(t, "it goes on", func() bool { return lines() > before+5 })
	if procs, err := e.Processes("t1"); err != nil || len(procs) == 0 || !strings.HasPrefix(procs[0].Command, "sh -c") || procs[0].PID != e.Status("t1").PID {
		t.Errorf("its processes: %+v, %v", procs, err)
	}
	if err := e.Signal("t1", "SIGTERM"); err != nil {
		t.Fatal(err)
	}
	if st := waitEnd(t, e, "t1"); st.ExitCode != 7 {
		t.Errorf("%+v", st)
	}
}

func TestKernelLogTimes(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	run(t, e, "t1", "sh", "-c", "echo 1; sleep 0.3; echo 2; sleep 0.3; echo 3")
	waitEnd(t, e, "t1")
	var at []time.Time
	read := func(q executor.LogQuery) (out string) {
		at = nil
		if err := e.Logs(t.Context(), "t1", q, func(l executor.Line) error { out += string(l.Data); at = append(at, l.At); return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := read(executor.LogQuery{}); out != "1\n2\n3\n" {
		t.Fatalf("%q", out)
	}
	times := at
	for _, c := range []struct {
		q    executor.LogQuery
		want string
	}{
		{executor.LogQuery{Since: times[1]}, "2\n3\n"}, {executor.LogQuery{Until: times[1]}, "1\n"}, {executor.LogQuery{Since: times[1], Until: times[2]}, "2\n"},
		{executor.LogQuery{Until: times[2], Tail: 1}, "2\n"}, {executor.LogQuery{Until: times[1], Follow: true}, "1\n"}, {executor.LogQuery{Since: times[2].Add(1), Follow: true}, ""},
	} {
		if got := read(c.q); got != c.want {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
}

func TestCredential(t *testing.T) {
	for spec, want := range map[string]string{"nosuchuser": `no user "nosuchuser"`, "0:nosuchgroup": `no group "nosuchgroup"`, "": "", "0": "", "12345:678": ""} {
		c, env, err := credential(spec, []string{"HOME=/root"})
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) || want == "" && err != nil {
			t.Errorf("%q: %v, want %q", spec, err, want)
		}
		if spec == "12345:678" && (c.Uid != 12345 || c.Gid != 678 || len(env) != 1) {
			t.Errorf("%q: %+v %q", spec, c, env)
		}
	}
}
