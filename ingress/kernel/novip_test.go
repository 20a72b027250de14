package kernel

import (
	"testing"

	"github.com/swarmnet/swarmnet/internal/nft"
)

// A sandbox on networks without services has no table, so that nothing is tracked in it. One whose last virtual address went keeps its table, for
// the connections that are translated still.
func TestKernelNoVIPsNoTable(t *testing.T) {
	c := newCluster(t, 1)
	c.service("web", "10.0.1.200")
	ns := c.task("web", "t1", 0, "app", "10.0.1.11")
	there := func() (is bool) {
		err := withNFT(ns.Path, func(conn *nft.Conn) error {
			have, err := conn.Observe(nft.INet, vipTable)
			is = have != nil
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	v := c.nodes[0].vips
	if n, err := v.Reconcile(t.Context(), ns.Path, nil); n != 0 || err != nil || there() {
		t.Errorf("with none: %d changes, table %v, %v", n, there(), err)
	}
	if c.balance(0, "t1", ns) == 0 || !there() {
		t.Error("with one there is no table")
	}
	for i := range 2 {
		n, err := v.Reconcile(t.Context(), ns.Path, nil)
		if err != nil || (n > 0) != (i == 0) || !there() {
			t.Errorf("without it: %d changes, table %v, %v", n, there(), err)
		}
	}
}
