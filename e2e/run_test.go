package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

func TestE2ERunAttached(t *testing.T) {
	c := hosts(t, 1)
	r, err := c.Run(t.Context(), "n1", "swarmnet", "run", "--rm", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
	if err != nil || r.Stdout != "out\n" || r.Stderr != "err\n" || r.Code != 7 {
		t.Errorf("%+v %v", r, err)
	}
	for command, want := range map[string]int{"no-such-command": 127, "/etc/hosts": 126} {
		c.refused("n1", want, []string{command}, "run", "--rm", "--", command)
	}
	if got := c.must("n1", "ps", "-a", "-q"); got != "" {
		t.Errorf("left are %q", got)
	}
	// An interactive one has our input, in a sandbox of its own that goes with it.
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out, errs strings.Builder
	code, err := c.RunTo(t.Context(), &out, &errs, lab.Command{Node: "n1", Stdin: f, Argv: []string{"swarmnet", "run", "--rm", "-i", "--", "sh", "-c", "cat; exit 5"}})
	if err != nil || code != 5 || out.String() != "hello\n" {
		t.Errorf("run -i: status %d %v, %q %q", code, err, out.String(), errs.String())
	}
	if got := c.must("n1", "ps", "-a", "-q"); got != "" {
		t.Errorf("left are %q", got)
	}
}

// A signal to run is the command's.
func TestE2ERunSignal(t *testing.T) {
	c := hosts(t, 1)
	var (
		out, errs strings.Builder
		wg        sync.WaitGroup
		code      int
		err       error
	)
	signals := make(chan os.Signal, 1)
	wg.Go(func() {
		code, err = c.RunTo(t.Context(), &out, &errs, lab.Command{Node: "n1", Signals: signals,
			Argv: []string{"swarmnet", "run", "--name", "a", "--", "sh", "-c", "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done"}})
	})
	labtest.Eventually(t, 5*time.Second, "the command to run", func() error {
		got, err := c.Swarmnet(t.Context(), "n1", "logs", "a")
		if err != nil || got != "ready" {
			return fmt.Errorf("%q %v", got, err)
		}
		return nil
	})
	signals <- syscall.SIGTERM
	wg.Wait()
	if err != nil || code != 9 || out.String() != "ready\nbye\n" {
		t.Errorf("status %d %v, %q %q", code, err, out.String(), errs.String())
	}
}

func TestE2ELifecycle(t *testing.T) {
	c := hosts(t, 1)
	script := []string{"--", "sh", "-c", "echo run; sleep 0.2; exit 3"}
	c.must("n1", append([]string{"run", "-d", "--name", "a"}, script...)...)
	if got := c.must("n1", "wait", "a"); got != "3" {
		t.Errorf("wait prints %q", got)
	}
	if got := c.must("n1", "ps", "-a", "--format", "{{.Names}} {{.Status}}"); !strings.HasPrefix(got, "a Exited (3) ") {
		t.Errorf("ps says %q", got)
	}
	// Started again and looked at: what it had put out before is not shown again.
	r, err := c.Run(t.Context(), "n1", "swarmnet", "start", "-a", "a")
	if err != nil || r.Code != 3 || r.Stdout != "run\n" {
		t.Errorf("start -a: %+v %v", r, err)
	}
	if got := c.must("n1", "logs", "a"); got != "run\nrun" {
		t.Errorf("logs: %q", got)
	}
	if got := c.must("n1", "logs", "-n", "1", "a"); got != "run" {
		t.Errorf("logs -n 1: %q", got)
	}
	c.must("n1", append([]string{"run", "-d", "--name", "b", "--restart", "on-failure:2"}, script...)...)
	labtest.Eventually(t, 10*time.Second, "b to be restarted twice and to end", func() error {
		if got := c.must("n1", "inspect", "--format", "{{.State}} {{.Restarts}}", "b"); got != "exited 2" {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	c.box("s")
	c.refused("n1", 1, []string{"s", "stop"}, "rm", "s")
	c.refused("n1", 125, []string{"taken", `"s"`}, "run", "-d", "--name", "s", "--", "true")
	c.must("n1", "rm", "-f", "s", "a", "b")
	c.refused("n1", 1, []string{"nosuch"}, "stop", "nosuch")
	if got := c.must("n1", "ps", "-a", "-q"); got != "" {
		t.Errorf("left are %q", got)
	}
}
