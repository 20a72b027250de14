package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/lab/labtest"
)

// TestE2EDamagedLog damages the log of a manager that is off, in the middle, where what follows was acknowledged. The manager must not vote
// with what is left; the node says so and what to do, goes on with its tasks, and is a manager again once that was done.
func TestE2EDamagedLog(t *testing.T) {
	c := up(t)
	c.createWeb()
	if err := c.Stop("n2", true); err != nil {
		t.Fatal(err)
	}
	raft := filepath.Join(c.Dir(), "n2", "data", "manager", "raft")
	damage(t, filepath.Join(raft, "log"))
	if err := c.Start(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, 10*time.Second, "n2 to say what is wrong", func() error {
		out, err := c.Swarmnet(t.Context(), "n2", "cluster", "info")
		if err == nil && !(strings.Contains(out, "must not vote") && strings.Contains(out, raft[strings.Index(raft, "n2")+2:])) {
			err = fmt.Errorf("cluster info: %s", out)
		}
		return err
	})
	c.refused("n2", 1, []string{"must not vote"}, "node", "ls")
	c.answers(web("n2"), 10*time.Second)
	c.must("n1", "service", "scale", "web=4")

	if err := c.Stop("n2", false); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(raft); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitFormed(t.Context(), 3, 3, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, 10*time.Second, "n2 to know what was written meanwhile", func() error {
		out, err := c.Swarmnet(t.Context(), "n2", "service", "ls")
		if err == nil && !strings.Contains(out, "4/4") {
			err = fmt.Errorf("service ls: %s", out)
		}
		return err
	})
}

// damage overwrites some octets early in the first segment of a log, far from its end.
func damage(t *testing.T, dir string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no log in %s: %v", dir, err)
	}
	f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 64), 1024); err != nil {
		t.Fatal(err)
	}
}
