package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/netns"
)

const daemonArg = "test-daemon" // this test binary as a daemon that starts one task and waits to be killed

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case ShimArg:
			os.Exit(ShimMain(os.Args[2:]))
		case etcArg:
			if err := testEtc(os.Args[2]); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			os.Exit(0)
		case daemonArg:
			testDaemon(os.Args[2], os.Args[3], os.Args[4:])
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// testDaemon starts a task, says so, and waits.
func testDaemon(dir, netnsPath string, command []string) {
	e, err := New(Config{Dir: dir})
	if err == nil {
		err = e.Start(context.Background(), executor.Spec{ID: "t1", NetnsPath: netnsPath, Command: command, DNS: dnsAddr})
	}
	fmt.Println("started:", err)
	select {}
}

var dnsAddr = netip.MustParseAddrPort("127.0.0.11:53")

// needNamespaces skips where the kernel does not let us make namespaces.
func needNamespaces(t *testing.T) {
	t.Helper()
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS}
	if err := cmd.Run(); errors.Is(err, syscall.EPERM) {
		t.Skip("needs the right to make namespaces: ", err)
	}
}

func newExecutor(t *testing.T, dir string) *Executor {
	t.Helper()
	e, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, id := range e.List() {
			if err := e.Remove(context.Background(), id); err != nil {
				t.Error(err)
			}
		}
		e.Close()
	})
	return e
}

func run(t *testing.T, e *Executor, id swarmnet.TaskID, command ...string) {
	t.Helper()
	if err := e.Start(t.Context(), executor.Spec{ID: id, Command: command, Hostname: "box", ResolvConf: "nameserver 127.0.0.11\n", Hosts: "10.0.0.9 box\n"}); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain until ", what)
		}
	}
}

func waitEnd(t *testing.T, e *Executor, id swarmnet.TaskID) executor.Status {
	t.Helper()
	waitFor(t, "the task has ended", func() bool { return e.Status(id).Phase >= executor.Ended })
	return e.Status(id)
}

func output(t *testing.T, e *Executor, id swarmnet.TaskID, tail int) (stdout, stderr string) {
	t.Helper()
	err := e.Logs(t.Context(), id, executor.LogQuery{Tail: tail}, func(l executor.Line) error {
		data, isErr := l.Data, l.Stderr
		if isErr {
			stderr += string(data)
		} else {
			stdout += string(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return stdout, stderr
}

func TestKernelFilesAndNames(t *testing.T) {
	needNamespaces(t)
	before, _ := os.ReadFile("/etc/resolv.conf")
	e := newExecutor(t, t.TempDir())
	run(t, e, "t1", "sh", "-c", "cat /etc/resolv.conf /etc/hosts /etc/hostname; hostname; echo $$; echo oops >&2; exit 3")
	if st := waitEnd(t, e, "t1"); st.ExitCode != 3 || st.Phase != executor.Ended || st.Err != "" {
		t.Errorf("status %+v", st)
	}
	stdout, stderr := output(t, e, "t1", 0)
	if want := "nameserver 127.0.0.11\n10.0.0.9 box\nbox\nbox\n"; !strings.HasPrefix(stdout, want) {
		t.Errorf("inside: %q, want %q", stdout, want)
	}
	if stderr != "oops\n" {
		t.Errorf("stderr %q", stderr)
	}
	if after, _ := os.ReadFile("/etc/resolv.conf"); string(after) != string(before) {
		t.Error("the host's resolv.conf has changed")
	}
	if host, _ := os.Hostname(); host == "box" {
		t.Error("the host's name has changed")
	}
	if last, _ := output(t, e, "t1", 2); strings.Count(last, "\n") > 2 {
		t.Errorf("the last two lines are %q", last)
	}
}

func TestKernelCannotStart(t *testing.T) {
	needNamespaces(t)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	e := newExecutor(t, filepath.Join(dir, "tasks"))
	for _, c := range []struct {
		spec executor.Spec
		want error
		code int
	}{
		{executor.Spec{ID: "none", Command: []string{"no-such-command"}}, executor.ErrNotFound, 127},
		{executor.Spec{ID: "path", Command: []string{"/no/such"}}, executor.ErrNotFound, 127},
		{executor.Spec{ID: "empty"}, executor.ErrNotFound, 127},
		{executor.Spec{ID: "perm", Command: []string{plain}}, executor.ErrNotExecutable, 126},
		{executor.Spec{ID: "dir", Command: []string{"true"}, Dir: "/no/such"}, executor.ErrNotExecutable, 126},
	} {
		err := e.Start(t.Context(), c.spec)
		if !errors.Is(err, c.want) || e.Status(c.spec.ID).ExitCode != c.code {
			t.Errorf("%s: %v, status %+v", c.spec.ID, err, e.Status(c.spec.ID))
		}
		if again := e.Start(t.Context(), c.spec); !errors.Is(again, c.want) {
			t.Errorf("%s: a second start says %v", c.spec.ID, again)
		}
	}
}

// A command may have ended before its shim could be asked anything.
func TestKernelShortCommands(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	var g errgroup.Group
	g.SetLimit(8)
	for i := range 60 {
		id := swarmnet.TaskID(fmt.Sprint("t", i))
		g.Go(func() error {
			return e.Start(t.Context(), executor.Spec{ID: id, Command: []string{"sh", "-c", "echo hi; exit 5"}})
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, id := range e.List() {
		if st := waitEnd(t, e, id); st.ExitCode != 5 || st.Phase != executor.Ended {
			t.Errorf("%s: %+v", id, st)
		}
		if out, _ := output(t, e, id, 0); out != "hi\n" {
			t.Errorf("%s: output %q", id, out)
		}
	}
}

func TestKernelStop(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	run(t, e, "polite", "sh", "-c", `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done`)
	run(t, e, "deaf", "sh", "-c", `trap '' TERM; echo up; while :; do sleep 0.05; done`)
	run(t, e, "plain", "sleep", "1000")
	for _, id := range []swarmnet.TaskID{"polite", "deaf"} {
		waitFor(t, "the trap is set", func() bool { out, _ := output(t, e, id, 0); return out == "up\n" })
	}
	for id, grace := range map[swarmnet.TaskID]time.Duration{"polite": time.Minute, "deaf": 50 * time.Millisecond, "plain": time.Minute} {
		if err := e.Stop(id, "", grace); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[swarmnet.TaskID]int{"polite": 0, "deaf": 137, "plain": 143} {
		if st := waitEnd(t, e, id); st.ExitCode != want {
			t.Errorf("%s: %+v, want exit code %d", id, st, want)
		}
	}
	if out, _ := output(t, e, "polite", 0); out != "up\nbye\n" {
		t.Errorf("output %q", out)
	}
}

// What a command leaves behind ends with it, however it was detached.
func TestKernelNoOrphans(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	marker := filepath.Join(t.TempDir(), "marker")
	run(t, e, "t1", "sh", "-c", "setsid sh -c 'exec 3>"+marker+"; flock 3; sleep 1000' & sleep 0.3")
	st := waitEnd(t, e, "t1")
	if st.ExitCode != 0 {
		t.Errorf("status %+v", st)
	}
	f, err := os.Open(marker)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Error("a grandchild still holds its lock: ", err)
	}
}

func TestKernelOutlivesTheDaemon(t *testing.T) {
	needNamespaces(t)
	dir := t.TempDir()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	sandbox := kerneltest.NewNamespace(t).Path
	startDaemon(t, dir, sandbox, "sh", "-c", "echo before; read line <"+fifo+"; echo after $line; exit 7")

	// A query that comes while there is no daemon waits for the next one.
	var query net.Conn
	err := netns.Do(sandbox, func() (err error) {
		query, err = net.Dial("udp", dnsAddr.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	if _, err := query.Write([]byte("who is web?")); err != nil {
		t.Fatal(err)
	}

	e := newExecutor(t, dir)
	if st := e.Status("t1"); st.Phase != executor.Running || st.PID == 0 {
		t.Fatalf("adopted: %+v", st)
	}
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", e.Status("t1").PID)); err != nil || string(comm) != "sh\n" {
		t.Errorf("the process id is that of %q, %v", comm, err)
	}
	socks, err := e.Sockets("t1")
	if err != nil {
		t.Fatal(err)
	}
	defer socks.Close()
	buf := make([]byte, 100)
	socks.UDP.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := socks.UDP.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "who is web?" {
		t.Fatalf("query %q, %v", buf[:n], err)
	}
	if _, err := socks.UDP.WriteTo([]byte("10.0.0.2"), from); err != nil {
		t.Fatal(err)
	}
	query.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := query.Read(buf); err != nil || string(buf[:n]) != "10.0.0.2" {
		t.Errorf("answer %q, %v", buf[:n], err)
	}
	if socks.TCP.Addr().String() != dnsAddr.String() {
		t.Errorf("the listener is at %s", socks.TCP.Addr())
	}

	if err := os.WriteFile(fifo, []byte("all\n"), 0); err != nil {
		t.Fatal(err)
	}
	if st := waitEnd(t, e, "t1"); st.ExitCode != 7 {
		t.Errorf("status %+v", st)
	}
	if out, _ := output(t, e, "t1", 0); out != "before\nafter all\n" {
		t.Errorf("output %q", out)
	}
	// And a daemon that was away when it ended still learns of it.
	e2, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer e2.Close()
	if st := e2.Status("t1"); st.Phase != executor.Ended || st.ExitCode != 7 {
		t.Errorf("a later daemon sees %+v", st)
	}
}

// startDaemon runs a daemon that starts the command and kills it when it has.
func startDaemon(t *testing.T, dir, netnsPath string, command ...string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{daemonArg, dir, netnsPath}, command...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "started: <nil>\n" {
		t.Errorf("daemon: %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func TestKernelLost(t *testing.T) {
	needNamespaces(t)
	dir := t.TempDir()
	e := newExecutor(t, dir)
	run(t, e, "t1", "sleep", "1000")
	h, err := e.get("t1")
	if err != nil {
		t.Fatal(err)
	}
	h.killShim()
	if st := waitEnd(t, e, "t1"); st.Phase != executor.Lost || !strings.Contains(st.Err, "killed") {
		t.Errorf("status %+v", st)
	}
	rec, err := readRecord(filepath.Join(dir, "t1"))
	if err != nil {
		t.Fatal(err)
	}
	rec.BootID = "another"
	if err := writeJSON(filepath.Join(dir, "t1", recordFile), rec, false); err != nil {
		t.Fatal(err)
	}
	if st := newExecutor(t, dir).Status("t1"); st.Phase != executor.Lost || !strings.Contains(st.Err, "restarted") {
		t.Errorf("after a reboot: %+v", st)
	}
}

func TestKernelProbe(t *testing.T) {
	needNamespaces(t)
	e := newExecutor(t, t.TempDir())
	sandbox := kerneltest.NewNamespace(t)
	if err := e.Start(t.Context(), executor.Spec{ID: "t1", NetnsPath: sandbox.Path, Command: []string{"sleep", "1000"}}); err != nil {
		t.Fatal(err)
	}
	var l net.Listener
	sandbox.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	open := netip.MustParseAddrPort(l.Addr().String())
	probe := func(p executor.Probe) error { p.Timeout = 2 * time.Second; return e.Probe(t.Context(), "t1", p) }
	if err := probe(executor.Probe{Addr: open}); err != nil {
		t.Error(err)
	}
	l.Close()
	if err := probe(executor.Probe{Addr: open}); err == nil {
		t.Error("a closed port is healthy")
	}
	if err := probe(executor.Probe{Command: []string{"true"}}); err != nil {
		t.Error(err)
	}
	if err := probe(executor.Probe{Command: []string{"sh", "-c", "exit 4"}}); err == nil || !strings.Contains(err.Error(), "status 4") {
		t.Error(err)
	}
	if err := e.Probe(t.Context(), "t1", executor.Probe{Command: []string{"sleep", "100"}, Timeout: 50 * time.Millisecond}); err == nil {
		t.Error("a check that hangs is healthy")
	}
}
