// Package labtest gives tests a lab of their own and checks that none leaves anything behind.
package labtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/lab"
)

// Binary is the swarmnet that labs run: $SWARMNET_BIN, or one that is built here. It is called swarmnet and anybody may execute it.
func Binary() (path string, cleanup func(), err error) {
	if bin := os.Getenv("SWARMNET_BIN"); bin != "" {
		path, err = filepath.Abs(bin)
		return path, func() {}, err
	}
	dir, err := os.MkdirTemp("/tmp", "swarmnet-bin-")
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	path = filepath.Join(dir, "swarmnet")
	cmd := exec.Command("go", "build", "-o", path, "github.com/swarmnet/swarmnet/cmd/swarmnet")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		cleanup()
		return "", nil, fmt.Errorf("cannot build swarmnet: %w\n%s", err, out)
	}
	return path, cleanup, os.Chmod(dir, 0o755)
}

// Main builds the binary, runs the tests and returns their exit status.
func Main(m *testing.M, binary *string) int {
	path, cleanup, err := Binary()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer cleanup()
	*binary = path
	return m.Run()
}

// BalancerEnv names the environment variable that says how the daemons of labs balance where a test does not: the same tests, over another one.
const BalancerEnv = "SWARMNET_BALANCER"

// Up makes a lab named after the test and takes it down at its end. On failure it shows the ends of the daemons' logs.
func Up(t *testing.T, c lab.Config) *lab.Lab {
	t.Helper()
	c.Name, c.Bound = Name(t), true
	if c.Balancer == "" {
		c.Balancer = os.Getenv(BalancerEnv)
	}
	if c.BootTimeout == 0 {
		c.BootTimeout = Patience(time.Minute)
	}
	before := Snapshot(c.Name)
	l, err := lab.Up(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs(t, l)
		}
		if err := l.Down(); err != nil {
			t.Errorf("lab down: %v", err)
		}
		Unchanged(t, c.Name, before)
	})
	return l
}

// Name is a lab's name for a test.
func Name(t *testing.T) string {
	name := strings.ToLower(t.Name())
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
	return strings.Trim(name[:min(len(name), 24)], "-") + fmt.Sprintf("-%d", os.Getpid()%100000)
}

func logs(t *testing.T, l *lab.Lab) {
	nodes, err := l.Nodes()
	if err != nil {
		t.Logf("no logs: %v", err)
		return
	}
	for _, n := range nodes {
		b, err := os.ReadFile(l.Log(n.Name))
		if err != nil {
			continue
		}
		t.Logf("%s (%+v), its last warnings, and the end of its log:\n%s[…]\n%s", n.Name, n, warnings(b), b[max(0, len(b)-2000):])
	}
}

// warnings are the last lines of a daemon's log that are worse than information, each cut to what says what it is about.
func warnings(log []byte) []byte {
	const lines, octets = 15, 300
	var out [][]byte
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte(" level=WARN ")) || bytes.Contains(line, []byte(" level=ERROR ")) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			out = append(out, append(slices.Clone(line[:min(len(line), octets)]), '\n'))
		}
	}
	return bytes.Join(out[max(0, len(out)-lines):], nil)
}

// Snapshot is what a lab could leave behind on the machine: mounts, links, files, processes. What others do on it meanwhile, other labs
// too, does not count: a mount or a file bears the lab's name, and a link one that only labs give.
func Snapshot(name string) []string {
	var out []string
	if b, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, name+"/") || strings.Contains(line, name+" ") {
				out = append(out, "mount "+strings.TrimSpace(line))
			}
		}
	}
	if links, err := net.Interfaces(); err == nil {
		for _, l := range links {
			if slices.ContainsFunc(labLinks, func(begin string) bool { return strings.HasPrefix(l.Name, begin) }) {
				out = append(out, "link "+l.Name)
			}
		}
	}
	for _, pattern := range []string{"/tmp/swarmnet-lab*" + name, "/run/swarmnet*", "/var/lib/swarmnet*"} {
		files, _ := filepath.Glob(pattern) //nolint:errcheck // the pattern is well-formed
		for _, f := range files {
			out = append(out, "file "+f)
		}
	}
	return append(out, processes(name)...)
}

// labLinks are how the names begin that a lab and the daemons in it give to links, where nobody else does.
var labLinks = []string{"swarmnet", "uplink", "vx-", "n1", "n2", "n3", "outside"}

// processes are those whose command line or environment names the lab's directory.
func processes(name string) []string {
	var out []string
	pids, _ := filepath.Glob("/proc/[0-9]*") //nolint:errcheck // the pattern is well-formed
	for _, p := range pids {
		if p == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		cmd, _ := os.ReadFile(p + "/cmdline") //nolint:errcheck // it has ended
		env, _ := os.ReadFile(p + "/environ") //nolint:errcheck // it has ended, or is another user's
		if text := string(cmd) + string(env); strings.Contains(text, "/swarmnet-lab-"+name+"/") || strings.Contains(text, "-"+name+`"`) {
			out = append(out, "process "+filepath.Base(p)+" "+strings.ReplaceAll(string(cmd), "\x00", " "))
		}
	}
	return out
}

// Unchanged fails the test if anything was added since the snapshot.
func Unchanged(t *testing.T, name string, before []string) {
	t.Helper()
	for _, s := range Snapshot(name) {
		if !slices.Contains(before, s) {
			t.Errorf("the lab left behind: %s", s)
		}
	}
}

// SlowEnv names the environment variable that says how many times slower than an ordinary machine this one is (an emulated one): a whole number.
const SlowEnv = "SWARMNET_SLOW"

func slow() int {
	if n, err := strconv.Atoi(os.Getenv(SlowEnv)); err == nil && n > 1 {
		return n
	}
	return 1
}

// Patience is how long to wait here for what takes no longer than d on an ordinary machine.
func Patience(d time.Duration) time.Duration { return d * time.Duration(slow()) }

// Load is how much to ask of this machine, in requests a second or in clients at once, where n is right for an ordinary one. A machine of which more is
// asked than it can do shows how long its queues are, and nothing else.
func Load(n int) int { return max(1, n/slow()) }

// Eventually polls until ok returns nil, and fails the test after the deadline (see Patience) with its last error.
func Eventually(t *testing.T, within time.Duration, what string, ok func() error) time.Duration {
	t.Helper()
	within = Patience(within)
	start := time.Now()
	for {
		err := ok()
		if err == nil {
			return time.Since(start)
		}
		if time.Since(start) > within {
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(context.Cause(t.Context()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
