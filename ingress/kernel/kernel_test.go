package kernel

import (
	"testing"

	"github.com/swarmnet/swarmnet"
)

func web(mode swarmnet.PublishMode) []swarmnet.PortSpec {
	return []swarmnet.PortSpec{
		{Protocol: swarmnet.TCP, Published: 8080, Target: 80, Mode: mode},
		{Protocol: swarmnet.UDP, Published: 8080, Target: 80, Mode: mode},
	}
}

func TestKernelMeshKeepsTheClientsAddress(t *testing.T) {
	c := newCluster(t, 3)
	c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
	for i, id := range []swarmnet.TaskID{"t1", "t2"} { // nothing on the third node
		addr := []string{"10.0.1.11", "10.0.1.12"}[i]
		serve(t, c.task("web", id, i, "app", addr), string(id), 80)
	}
	// One whose network is the ingress network itself: its answers come in by the same bridge as the requests.
	serve(t, c.task("web", "t3", 1, "ingress", "10.255.0.50"), "t3", 80)
	for _, network := range []string{"tcp", "udp"} {
		for _, n := range c.nodes {
			answered := map[string]int{}
			for range 60 {
				name, saw := ask(t, c.outside, network, n.under.String()+":8080")
				answered[name]++
				if saw.Addr().String() != outsideAddr {
					t.Fatalf("%s by %s: %s saw %s, not the client", network, n.id, name, saw)
				}
			}
			if len(answered) != 3 {
				t.Errorf("%s by %s: answered %v, want all three", network, n.id, answered)
			}
		}
	}
	for _, n := range c.nodes {
		if changes := n.reconcile(); changes != 0 {
			t.Errorf("%s: a second pass changed %d things", n.id, changes)
		}
	}
}
