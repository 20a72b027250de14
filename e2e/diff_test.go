package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// agree waits until `swarmnet diff` is empty on each of the nodes, asked on the node itself.
func (c cluster) agree(within time.Duration, nodes ...string) time.Duration {
	c.t.Helper()
	var most time.Duration
	for _, n := range nodes {
		took := labtest.Eventually(c.t, within, n+" to agree", func() error { return c.differs(n) })
		most = max(most, took)
	}
	return most
}

// differs is what `swarmnet diff` says on a node that does not agree, or nil.
func (c cluster) differs(node string, args ...string) error {
	r, err := c.Run(c.t.Context(), node, append([]string{"swarmnet", "diff"}, args...)...)
	if err == nil && (r.Code != 0 || r.Stdout != "") {
		err = fmt.Errorf("status %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	return err
}

// Any manager compares any node, a worker too; what cannot be told is status 2.
func TestE2EDiffOfAnotherNode(t *testing.T) {
	c := cluster{labtest.Up(t, lab.Config{Binary: binary, Managers: 2, Workers: 1}), t}
	c.createWeb()
	nodes := []string{"n1", "n2", "n3"}
	c.agree(10*time.Second, nodes...)
	for _, from := range nodes[:2] {
		for _, n := range append(nodes, "self") {
			labtest.Eventually(t, 10*time.Second, from+" to find that "+n+" agrees", func() error { return c.differs(from, n) })
		}
	}
	c.refused("n3", 2, []string{"worker"}, "diff", "n1")
	c.refused("n1", 2, []string{"n9"}, "diff", "n9")
	if err := c.Stop("n3", true); err != nil {
		t.Fatal(err)
	}
	c.refused("n3", 2, []string{"cannot reach the daemon"}, "diff")
	labtest.Eventually(t, 20*time.Second, "n1 to say that n3 cannot be asked", func() error {
		r, err := c.Run(t.Context(), "n1", "swarmnet", "diff", "n3")
		if err == nil && (r.Code != 2 || !strings.Contains(r.Stderr, "n3")) {
			err = fmt.Errorf("status %d: %s%s", r.Code, r.Stdout, r.Stderr)
		}
		return err
	})
}
