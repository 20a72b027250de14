package e2e

import (
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// A node tries out at its start what its kernel has, and tells: its own commands, with a cluster and without, and every manager.
func TestE2EKernelFeaturesAreTold(t *testing.T) {
	c := cluster{labtest.Up(t, lab.Config{Binary: binary, Managers: 1, Workers: 1}), t}
	said := func(node string, args ...string) string {
		t.Helper()
		return strings.TrimSpace(c.must(node, args...))
	}
	of := said("n2", "cluster", "info", "--format", "{{.Features}}")
	for _, want := range []string{"network namespaces", "veth", "bridge", "VXLAN", "nftables NAT", "nftables for bridges"} {
		if !strings.Contains(of, want) {
			t.Errorf("cluster info on n2 does not name %s: %s", want, of)
		}
	}
	if got := said("n1", "node", "inspect", "n2", "--format", "{{.Description.Features}}"); got != of {
		t.Errorf("node inspect says %s of n2, which says %s itself", got, of)
	}
	if got := said("n2", "version", "--format", "{{.Daemon.Features}}"); got != of {
		t.Errorf("version says %s", got)
	}
	c.must("n2", "cluster", "leave")
	if got := said("n2", "cluster", "info", "--format", "{{.Features}}"); got != of {
		t.Errorf("in no cluster it is %s", got)
	}
}
