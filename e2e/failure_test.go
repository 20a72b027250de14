package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// background is a command that runs while the test does other things.
type background struct {
	mu   sync.Mutex
	out  bytes.Buffer
	done chan struct{}
	code int
	err  error
	stop context.CancelFunc // ends the command
}

func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *background) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

// start runs a swarmnet command on a node until it ends or the test does.
func (c cluster) start(node string, args ...string) *background {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	b := &background{done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(b.done)
		b.code, b.err = c.RunTo(ctx, b, os.Stderr, lab.Command{Node: node, Argv: append([]string{"swarmnet"}, args...)})
	}()
	c.t.Cleanup(func() { cancel(); <-b.done })
	return b
}

// finish waits for the end of the command.
func (b *background) finish(t *testing.T, within time.Duration) string {
	t.Helper()
	select {
	case <-b.done:
	case <-time.After(within):
		t.Fatalf("it does not end within %v; so far: %.300s", within, b.text())
	}
	if b.err != nil || b.code != 0 {
		t.Fatalf("status %d, %v: %.300s", b.code, b.err, b.text())
	}
	return b.text()
}

// load asks for so many new connections a second (see labtest.Load) for a while, through the URLs in turn, and tells of each.
func (c cluster) load(rate int, lasts time.Duration, urls ...string) *background {
	return c.start(lab.Outside, append([]string{"probe", "load", "--rate", strconv.Itoa(labtest.Load(rate)), "--duration", lasts.String(),
		"--timeout", labtest.Patience(2 * time.Second).String()}, urls...)...)
}

func TestE2ENodeDies(t *testing.T) {
	c := up(t)
	c.createWeb()
	const rate = 100
	load := c.load(rate, 18*time.Second, web("n1"), web("n2"))
	labtest.Eventually(t, 10*time.Second, "the load to flow", func() error {
		if n := strings.Count(load.text(), "\n"); n < labtest.Load(2*rate) {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	killed := time.Now()
	if err := c.Kill("n3"); err != nil {
		t.Fatal(err)
	}
	elsewhere := labtest.Eventually(t, 30*time.Second, "the lost task to run elsewhere", func() error {
		for _, entry := range []string{"n1", "n2"} {
			n := 0
			for _, r := range c.runningTasks(entry, "web") {
				if r.Node != "n3" {
					n++
				}
			}
			if n == 3 {
				return nil
			}
		}
		return fmt.Errorf("not yet")
	})
	failed, last := 0, time.Duration(0)
	replies := lines[probe.Reply](t, load.finish(t, time.Minute))
	for _, r := range replies {
		if r.Err != "" {
			failed++
			last = max(last, r.At.Sub(killed))
			if r.At.Before(killed) && r.At.Add(r.Took).Before(killed) {
				t.Errorf("a request failed before the kill: %s", r.Err)
			}
		}
	}
	for _, r := range replies {
		if at := r.At.Sub(killed); r.Err != "" && at > 3*time.Second {
			t.Logf("late failure, %v after the kill, after %v: %s", at, r.Took, r.Err)
		}
	}
	t.Logf("%d of %d requests failed, the last one made %v after the kill; the task runs elsewhere after %v", failed, len(replies), last, elsewhere)
	if most := labtest.Patience(5 * time.Second); last > most {
		t.Errorf("a request made %v after the kill failed, want none after %v", last, most)
	}
	if most := labtest.Patience(10 * time.Second); elsewhere > most {
		t.Errorf("the task ran elsewhere %v after the kill, want %v at most", elsewhere, most)
	}
	if len(replies) < labtest.Load(15*rate) {
		t.Errorf("only %d requests were made", len(replies))
	}
}

const gigabyte = 1 << 30

func TestE2EDaemonsKilledDuringDownload(t *testing.T) {
	c := up(t)
	c.createWeb()
	// Slow enough to be under way while all three daemons die.
	download := c.start(lab.Outside, "probe", "fetch", "--octets", fmt.Sprint(gigabyte), "--pace", fmt.Sprint(70<<20), web("n1")+fmt.Sprintf("/bytes/%d", gigabyte))
	before := c.runningTasks("n1", "web")
	for _, n := range []string{"n2", "n3", "n1"} {
		if err := c.Stop(n, true); err != nil {
			t.Fatal(err)
		}
		// Its published port goes on answering without it.
		if r := c.ask(3, web(n)); r[0].Err != "" {
			t.Errorf("%s without its daemon: %s", n, r[0].Err)
		}
		if err := c.Start(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitFormed(t.Context(), 3, 3, 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-download.done:
		t.Errorf("the download was over before the daemons were killed: nothing is shown: %s", download.text())
	default:
	}
	d := decode[probe.Download](t, download.finish(t, 2*time.Minute))
	if d.Err != "" || d.Octets != gigabyte {
		t.Errorf("the download: %+v", d)
	}
	t.Logf("1 GiB from %s through n1 in %v", d.Node, d.Took)
	labtest.Eventually(t, 10*time.Second, "n2 to answer, and the tasks not to have noticed", func() error {
		if after := c.runningTasks("n2", "web"); len(before) == 0 || fmt.Sprint(ids(after)) != fmt.Sprint(ids(before)) {
			return fmt.Errorf("they were %v, are %v", ids(before), ids(after))
		}
		return nil
	})
}

func ids(rows []taskRow) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.Name+" "+r.ID)
	}
	return out
}

func TestE2EManagerKilledAmidWrites(t *testing.T) {
	c := up(t)
	nodes := lines[struct{ Hostname, ManagerStatus string }](t, c.must("n1", "node", "ls", "--format", "json"))
	leader := ""
	for _, n := range nodes {
		if n.ManagerStatus == "Leader" {
			leader = n.Hostname
		}
	}
	entry := map[string]string{"n1": "n2", "n2": "n3", "n3": "n1"}[leader]
	if entry == "" {
		t.Fatalf("no leader in %+v", nodes)
	}
	writes := c.start(entry, "probe", "writes", "--count", "1000", "--parallel", "4")
	labtest.Eventually(t, 30*time.Second, "some writes", func() error {
		if n := strings.Count(writes.text(), "\n"); n < 100 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	if err := c.Stop(leader, true); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(writes.text(), "\n"); n >= 1000 {
		t.Fatalf("all %d writes were done before the leader died: nothing is shown", n)
	} else {
		t.Logf("%d writes were acknowledged when the leader died", n)
	}
	acknowledged := strings.Fields(writes.finish(t, 2*time.Minute))
	if len(acknowledged) < 150 || len(acknowledged) > 1000 {
		t.Errorf("%d writes were acknowledged: the kill was to come in the middle", len(acknowledged))
	}
	if err := c.Start(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitFormed(t.Context(), 3, 3, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"n1", "n2", "n3"} {
		there := map[string]bool{}
		labtest.Eventually(t, 10*time.Second, n+" to answer", func() error {
			out, err := c.Swarmnet(t.Context(), n, "network", "ls", "--format", "{{.Name}}")
			for _, name := range strings.Fields(out) {
				there[name] = true
			}
			return err
		})
		missing := 0
		for _, name := range acknowledged {
			if !there[name] {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("%s lacks %d of %d acknowledged writes", n, missing, len(acknowledged))
		}
	}
	t.Logf("%d of 1000 writes acknowledged, all of them on every manager", len(acknowledged))
}

// The lab itself is killed with a whole cluster at work in it.
func TestE2ELabKilledLeavesNothing(t *testing.T) {
	name := labtest.Name(t)
	before := labtest.Snapshot(name)
	l, err := lab.Up(t.Context(), lab.Config{Name: name, Binary: binary})
	if err != nil {
		t.Fatal(err)
	}
	cluster{l, t}.createWeb()
	if err := syscall.Kill(l.SupervisorPID(), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := lab.Down(name); err != nil {
		t.Error(err)
	}
	labtest.Unchanged(t, name, before)
}
