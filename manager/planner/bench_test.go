package planner

import (
	"fmt"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

func big(b testing.TB, services, tasks, nodes int) *cluster {
	c := newCluster(b)
	var cmds []state.Command
	cmds = append(cmds, must(c.commands("init", "", nil, nil))...)
	for i := range nodes {
		cmds = append(cmds, must(c.commands("node create", fmt.Sprintf("n%d", i), nil, nil))...)
	}
	network := swarmnet.NetworkID(swarmnet.DeriveID("network", "app"))
	cmds = append(cmds, state.CreateNetwork{Network: swarmnet.Network{ID: network, Spec: swarmnet.NetworkSpec{
		Name: "app", Driver: swarmnet.DriverOverlay, IPAM: []swarmnet.IPAMConfig{{Subnet: swarmnet.DefaultClusterSpec().AddrPools[0].Base}}}}})
	cmds[1] = state.CreateNetwork{Network: swarmnet.Network{ID: swarmnet.NetworkID(swarmnet.DeriveID("network", "ingress")), Spec: swarmnet.NetworkSpec{
		Name: "ingress", Driver: swarmnet.DriverOverlay, Ingress: true, IPAM: networkOf(0, "", map[string][]string{"subnet": {"172.16.0.0/16"}}, nil).Spec.IPAM}}}
	for i := range services {
		name := fmt.Sprintf("s%d", i)
		cmds = append(cmds, state.CreateService{Service: swarmnet.Service{ID: swarmnet.ServiceID(swarmnet.DeriveID("service", name)), Spec: swarmnet.ServiceSpec{
			Name: name, Replicas: uint32(tasks), Networks: []swarmnet.NetworkAttachment{{Network: network}},
			Ports: []swarmnet.PortSpec{{Target: 80}}, Task: swarmnet.TaskSpec{Command: []string{"x"}}}}})
	}
	if _, err := c.propose(cmds...); err != nil {
		b.Fatal(err)
	}
	return c
}

func BenchmarkPlanNew(b *testing.B) {
	c := big(b, 100, 100, 50)
	b.ReportAllocs()
	for b.Loop() {
		if r := Run(c.s, c.now, c.led); len(r.Commands) < 30_000 || !r.Settled {
			b.Fatalf("%d commands", len(r.Commands))
		}
	}
}

func BenchmarkApplyPlan(b *testing.B) {
	c := big(b, 100, 100, 50)
	batch := state.Batch{At: c.now, Commands: Plan(c.s, c.now)}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := state.ApplyBatch(c.s, batch, [16]byte{9, 9, 9, 9}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlanIdle(b *testing.B) {
	c := big(b, 100, 100, 50)
	c.settle()
	b.ReportAllocs()
	for b.Loop() {
		if r := Run(c.s, c.now, c.led); len(r.Commands) != 0 {
			b.Fatal("there is something to do")
		}
	}
}
