package kernel

import (
	"testing"

	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

// makeCluster is newCluster, over one of the balancers.
type makeCluster func(t *testing.T, nodes int) *cluster

// overBalancers runs a test once over each balancer that the kernel has: the same desired state, the same behaviour.
func overBalancers(t *testing.T, test func(t *testing.T, newCluster makeCluster)) {
	for _, b := range []struct {
		name  string
		needs kerneltest.Feature
		make  func() Balancer
	}{
		{"nftables", kerneltest.NFTables, func() Balancer { return NewNFTables(nil) }},
		{"ipvs", kerneltest.IPVS, func() Balancer { return NewIPVS(ipvs.RoundRobin, nil) }},
	} {
		t.Run(b.name, func(t *testing.T) {
			kerneltest.Require(t, b.needs)
			test(t, func(t *testing.T, n int) *cluster { return newClusterOver(t, n, b.make) })
		})
	}
}
