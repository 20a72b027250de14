package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

var binary string

func TestMain(m *testing.M) { os.Exit(labtest.Main(m, &binary)) }

func up(t *testing.T, managers int) *lab.Lab {
	t.Helper()
	return labtest.Up(t, lab.Config{Binary: binary, Managers: managers, NoCluster: true, Underlay: lab.Underlay{IPv6: true}})
}

// sh runs a shell command on a node; its output, or what went wrong.
func sh(t *testing.T, l *lab.Lab, node, command string) string {
	t.Helper()
	r, err := l.Run(t.Context(), node, "sh", "-c", command)
	if err != nil || r.Code != 0 {
		t.Fatalf("%s: %s: status %d, %v: %s", node, command, r.Code, err, r.Stderr)
	}
	return strings.TrimSpace(r.Stdout)
}

func TestLabNodesAreMachinesOfTheirOwn(t *testing.T) {
	l := up(t, 2)
	if got := sh(t, l, "n2", "cat /proc/sys/kernel/hostname"); got != "n2" {
		t.Errorf("hostname of n2: %q", got)
	}
	if got := sh(t, l, "n1", "echo $SWARMNET_HOST; command -v swarmnet"); !strings.HasPrefix(got, "unix:///run/swarmnet/swarmnet.sock\n"+l.Dir()) {
		t.Errorf("environment: %q", got)
	}
	sh(t, l, "n1", "echo mine > /run/file")
	if r, err := l.Run(t.Context(), "n2", "cat", "/run/file"); err != nil || r.Code == 0 {
		t.Errorf("n2 sees n1's /run: %v %+v", err, r)
	}
	if got := sh(t, l, "n1", "cat /etc/resolv.conf"); !strings.Contains(got, "a lab has no name server") {
		t.Errorf("resolv.conf of a node: %q", got)
	}
	if got := sh(t, l, "n1", "grep -c : /proc/net/dev"); got != "2" {
		t.Errorf("n1 has %s links, want lo and eth0", got)
	}
	if got := sh(t, l, "n1", "ls -d /proc/[0-9]* | wc -l"); got == "0" || len(got) > 1 {
		t.Errorf("n1 sees %s processes, want its own few", got)
	}
}

func TestLabExecPassesStatusSignalsAndStreams(t *testing.T) {
	l := up(t, 1)
	for command, want := range map[string]int{"exit 7": 7, "kill -9 $$": 137, "true": 0} {
		if r, err := l.Run(t.Context(), "n1", "sh", "-c", command); err != nil || r.Code != want {
			t.Errorf("%s: %+v %v, want status %d", command, r, err, want)
		}
	}
	for _, c := range []struct {
		node string
		argv []string
		code int
	}{{"n1", []string{"no-such-command"}, 127}, {"n1", []string{"/etc/passwd"}, 126}, {"n9", []string{"true"}, 125}, {"m1", []string{"true"}, 125}} {
		_, err := l.Run(t.Context(), c.node, c.argv...)
		var fail *lab.ExecError
		if !errors.As(err, &fail) || fail.Code != c.code {
			t.Errorf("%s %v: %v, want status %d", c.node, c.argv, err, c.code)
		}
	}
	signals := make(chan os.Signal, 1)
	var out bytes.Buffer
	done := make(chan int, 1)
	go func() {
		code, err := l.RunTo(t.Context(), &out, &out, lab.Command{Node: "n1", Argv: []string{"sh", "-c", "trap 'exit 9' TERM; echo ready > /run/ready; while :; do sleep 0.05; done"}, Signals: signals})
		if err != nil {
			code = -1
		}
		done <- code
	}()
	labtest.Eventually(t, 5*time.Second, "the command to be ready", func() error {
		if r, err := l.Run(t.Context(), "n1", "cat", "/run/ready"); err != nil || r.Code != 0 {
			return fmt.Errorf("%v %+v", err, r)
		}
		return nil
	})
	signals <- syscall.SIGTERM
	if code := <-done; code != 9 {
		t.Errorf("status %d after SIGTERM, want the trap's 9: %s", code, out.String())
	}
}

// A command ends with its client.
func TestLabExecEndsWithItsClient(t *testing.T) {
	l := up(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := l.Run(ctx, "n1", "sh", "-c", "echo $$ > /run/pid; exec sleep 1000")
		done <- err
	}()
	pid := ""
	labtest.Eventually(t, 5*time.Second, "the command to start", func() error {
		r, err := l.Run(t.Context(), "n1", "cat", "/run/pid")
		if pid = strings.TrimSpace(r.Stdout); pid == "" {
			return fmt.Errorf("%v %s", err, r.Stderr)
		}
		return nil
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled command: %v", err)
	}
	labtest.Eventually(t, 5*time.Second, "the command to end", func() error {
		if r, err := l.Run(t.Context(), "n1", "sh", "-c", "! test -d /proc/"+pid); err != nil || r.Code != 0 {
			return errors.New("it runs on")
		}
		return nil
	})
}

// whoami serves on a node until the test ends.
func whoami(t *testing.T, l *lab.Lab, node string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx, node, "swarmnet", "whoami") //nolint:errcheck // ends with the test, or with the node
	}()
	t.Cleanup(func() { cancel(); <-done })
	labtest.Eventually(t, 10*time.Second, node+" to answer", func() error { return reach(t, l, "n1", node) })
}

// reach asks node's whoami from another node.
func reach(t *testing.T, l *lab.Lab, from, node string) error {
	r, err := l.Run(t.Context(), from, "swarmnet", "probe", "ask", "--timeout", "300ms", "http://"+lab.Addr(node).String())
	if err != nil {
		return err
	}
	if want := `"client":"` + lab.Addr(from).String() + ":"; !strings.Contains(r.Stdout, want) {
		return fmt.Errorf("no answer with %s: %s%s", want, r.Stdout, r.Stderr)
	}
	return nil
}

func TestLabCutHealKillStart(t *testing.T) {
	l := up(t, 2)
	whoami(t, l, "n2")
	if err := reach(t, l, lab.Outside, "n2"); err != nil {
		t.Error(err)
	}
	if err := l.Cut("n2"); err != nil {
		t.Fatal(err)
	}
	if err := reach(t, l, "n1", "n2"); err == nil {
		t.Error("n2 answers although it is cut off")
	}
	if got := sh(t, l, "n2", "cat /sys/class/net/eth0/carrier 2>/dev/null || swarmnet version >/dev/null; echo alive"); !strings.Contains(got, "alive") {
		t.Errorf("n2 cannot be commanded while it is cut off: %q", got)
	}
	if err := l.Heal(""); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, 5*time.Second, "the healed node to answer", func() error { return reach(t, l, "n1", "n2") })

	sh(t, l, "n2", "echo kept > "+filepath.Join(l.Dir(), "n2/data/file")+"; echo lost > /run/file")
	if err := l.Kill("n2"); err != nil {
		t.Fatal(err)
	}
	if err := l.Kill("n2"); err == nil || !strings.Contains(err.Error(), "off already") {
		t.Errorf("a second power cut: %v", err)
	}
	if _, err := l.Run(t.Context(), "n2", "true"); err == nil || !strings.Contains(err.Error(), "n2 is off: `swarmnet lab --name "+l.Name+" start n2` boots it") {
		t.Errorf("a command on a node without power: %v", err)
	}
	nodes, err := l.Nodes()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%v %v %v", nodes[0].On, nodes[1].On, nodes[2].On); got != "true false true" {
		t.Errorf("power of n1, n2, outside: %s", got)
	}
	// `swarmnet version` stands in for the daemon: what counts here is that the node boots.
	if err := l.Start(t.Context(), "n2", "--no-such-flag"); err == nil || !strings.Contains(err.Error(), "no flag --no-such-flag") {
		t.Errorf("a daemon that cannot start: %v", err)
	}
	if got := sh(t, l, "n2", "cat "+filepath.Join(l.Dir(), "n2/data/file")+"; cat /run/file 2>&1 | tail -c 10"); !strings.HasPrefix(got, "kept") || strings.Contains(got, "lost") {
		t.Errorf("after the boot: %q", got)
	}
	whoami(t, l, "n2")
}

func TestLabIPv6(t *testing.T) {
	l := up(t, 2)
	whoami(t, l, "n2")
	r, err := l.Run(t.Context(), "n1", "swarmnet", "probe", "ask", fmt.Sprintf("http://[%s]", lab.Addr6("n2")))
	if err != nil || !strings.Contains(r.Stdout, `"client":"[`+lab.Addr6("n1").String()+`]:`) {
		t.Errorf("over IPv6: %v %+v", err, r)
	}
}

func TestLabTwiceIsRefused(t *testing.T) {
	l := up(t, 1)
	if _, err := lab.Up(t.Context(), lab.Config{Name: l.Name, Binary: binary, NoCluster: true}); err == nil || !strings.Contains(err.Error(), "is up already") {
		t.Errorf("a second lab of the name: %v", err)
	}
	for _, name := range []string{"A", "../x", "", strings.Repeat("a", 33)} {
		if l, err := lab.Open(name); err == nil {
			t.Errorf("a lab named %q: %v", name, l)
		}
	}
}

// However the lab dies, down leaves nothing, and up starts afresh over its remains.
func TestLabKilledLeavesNothing(t *testing.T) {
	name := labtest.Name(t)
	before := labtest.Snapshot(name)
	c := lab.Config{Name: name, Binary: binary, Managers: 2, NoCluster: true}
	for _, end := range []string{"down", "kill -9, down", "kill -9, up, down"} {
		l, err := lab.Up(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		// A stranger in the lab: it lost its parent, holds a mount and a namespace of its own.
		sh(t, l, "n1", "mkdir -p /run/m; setsid sleep 1000 & mount -t tmpfs x /run/m")
		if end != "down" {
			if err := syscall.Kill(l.SupervisorPID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			labtest.Eventually(t, 10*time.Second, "the lab to be known as dead", func() error {
				if _, err := lab.Open(name); err != nil && strings.Contains(err.Error(), "has died") {
					return nil
				} else {
					return fmt.Errorf("it is still there: %v", err)
				}
			})
		}
		if strings.Contains(end, "up") {
			if _, err := lab.Up(t.Context(), c); err != nil {
				t.Errorf("%s: up over the remains: %v", end, err)
			}
		}
		if err := lab.Down(name); err != nil {
			t.Errorf("%s: %v", end, err)
		}
		labtest.Unchanged(t, name, before)
	}
	if err := lab.Down(name); err != nil {
		t.Errorf("down without a lab: %v", err)
	}
}

// A bound lab ends with its maker; kill -9 of the maker included, which closes its connection.
func TestLabBoundEndsWithItsMaker(t *testing.T) {
	name := labtest.Name(t)
	before := labtest.Snapshot(name)
	l, err := lab.Up(t.Context(), lab.Config{Name: name, Binary: binary, Managers: 1, NoCluster: true, Bound: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, 10*time.Second, "the lab to be gone", func() error {
		if _, err := os.Stat(l.Dir()); err == nil {
			return errors.New("its files are there")
		}
		if after := labtest.Snapshot(name); len(after) > len(before) {
			return fmt.Errorf("left: %q", after[len(before):])
		}
		return nil
	})
}

// The same by the command line, as an ordinary user, when the tests run as root; otherwise all the others run as one already.
func TestLabAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	name := labtest.Name(t)
	swarmnet := func(args ...string) (string, error) {
		cmd := exec.Command(binary, args...) // cleanups come after the test's context has ended
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	before := labtest.Snapshot(name)
	if out, err := swarmnet("lab", "up", "--name", name, "--managers", "2", "--no-cluster"); err != nil {
		if strings.Contains(out, "user namespaces") {
			t.Skipf("the machine gives ordinary users no user namespaces: %s", out)
		}
		t.Fatalf("lab up: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := swarmnet("lab", "down", "--name", name); err != nil {
			t.Errorf("lab down: %v: %s", err, out)
		}
		labtest.Unchanged(t, name, before)
	})
	if out, err := swarmnet("lab", "exec", "--name", name, "n1", "--", "sh", "-c", "id -u; cat /proc/sys/kernel/hostname; mkdir /run/m && mount -t tmpfs x /run/m"); err != nil || out != "0\nn1\n" {
		t.Errorf("on a node: %q %v", out, err)
	}
	if out, err := swarmnet("lab", "kill", "--name", name, "n2"); err != nil {
		t.Errorf("lab kill: %v: %s", err, out)
	}
	if out, err := swarmnet("lab", "status", "--name", name, "--format", "{{.Name}} {{.Power}}"); err != nil || out != "n1 on\nn2 off\noutside on\n" {
		t.Errorf("lab status: %q %v", out, err)
	}
}
