package kernel

import (
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

// Between the moment in which IPVS has no destination any more and that in which the host leads nobody there, each client is refused all the same, and
// none tries twice.
func TestKernelIPVSRefusesEachClient(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPVS)
	c := newClusterOver(t, 1, func() Balancer { return NewIPVS(ipvs.RoundRobin, nil) })
	c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
	serve(t, c.task("web", "t1", 0, "app", "10.0.1.11"), "t1", 80)
	n := c.nodes[0]
	become(t, services(t, n.fabric.Path()), func(t ipvs.Table) {
		for _, s := range t {
			for a := range s.Dests {
				s.Dests[a] = ipvs.Dest{}
			}
		}
	})
	const clients = 40
	wire := c.outside.Capture("eth0")
	for range clients {
		refused(t, c.outside, "tcp", n.under.String()+":8080")
	}
	if got := wire.Count(synTo(n.under)); got != clients {
		t.Errorf("%d clients asked %d times", clients, got)
	}
}
