package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// openTerminal returns both ends of a pseudo terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// exec -it hands the terminal over: its size, every key (an interrupt's too), and puts it back as it was.
func TestExecTerminal(t *testing.T) {
	master, slave := openTerminal(t)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	f := someNode()
	s := newSession(t, f)
	typed := make(chan error, 1)
	go func() {
		// The interrupt's key ends nothing only once the terminal is raw.
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if now, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err == nil && now.Lflag&unix.ISIG == 0 {
				_, err := master.Write([]byte("a\x03b\x04"))
				typed <- err
				return
			}
		}
		typed <- fmt.Errorf("the terminal never became raw")
	}()
	var out, errs bytes.Buffer
	a := &app{stdin: slave, stdout: &out, stderr: &errs, now: time.Now}
	root := a.root()
	root.SetArgs([]string{"--host", s.host, "exec", "-it", "db", "hangup"})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.conn.Close()
	if err := <-typed; err != nil {
		t.Fatal(err)
	}
	if out.String() != "a\x03b\x04" {
		t.Errorf("the command got %q", out.String())
	}
	if want := `"tty":true,"interactive":true,"size":{"rows":24,"columns":80}`; !strings.Contains(f.asked.String(), want) {
		t.Errorf("asked %s, want %s", f.asked.String(), want)
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal was left as %+v (%v), before %+v", after, err, before)
	}
	if !term.IsTerminal(int(slave.Fd())) {
		t.Error("the terminal is gone")
	}
}

// An interrupt of run and exec is the workload's.
func TestForwardedSignals(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"exec", "db", "hold"}, `> Signal {"signal":"SIGTERM"}`},
		{[]string{"run", "--", "hold"}, `> SignalSandbox {"ref":"newsandbox","signal":"SIGTERM"}`},
	} {
		f := someNode()
		f.hold = make(chan struct{})
		s := newSession(t, f)
		go func() {
			for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				f.mu.Lock()
				begun := f.holding
				f.mu.Unlock()
				if begun {
					syscall.Kill(os.Getpid(), syscall.SIGTERM) //nolint:errcheck // to ourselves
					return
				}
			}
		}()
		if got := s.run(c.args, ""); !strings.Contains(got, c.want) {
			t.Errorf("%v: %s\nwant %s", c.args, got, c.want)
		}
	}
}
