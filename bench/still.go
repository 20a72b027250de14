package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/swarmnet/swarmnet/ingress/kernel"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
)

// A small cluster, as most are: what its passes cost is what each costs at least.
const (
	fewServices = 3
	fewTasks    = 2
	fewPasses   = 100
)

// nothingToDo measures what a pass costs a node that changes nothing, of published ports and of the virtual addresses of one sandbox, over each balancer that
// the kernel has: with many services and with few. The kernel tells of changes in nftables; IPVS is looked through every few seconds, in the fabric and in each sandbox.
func nothingToDo(ctx context.Context, _ *lab, out io.Writer) error {
	kinds := []string{"nftables"}
	if err := ipvs.Probe(ipvs.RoundRobin); err != nil {
		fmt.Fprintf(out, "nftables alone: %v\n", err)
	} else {
		kinds = append(kinds, "IPVS")
	}
	var rows []row
	for _, kind := range kinds {
		var r, few idled
		if err := alone(ctx, &r, "passes", kind, strconv.Itoa(programServices), strconv.Itoa(programTasks), strconv.Itoa(programChanges)); err != nil {
			return err
		}
		if err := alone(ctx, &few, "passes", kind, strconv.Itoa(fewServices), strconv.Itoa(fewTasks), strconv.Itoa(fewPasses)); err != nil {
			return err
		}
		rows = append(rows,
			row{kind + ": published ports", "ms", r.Mesh}, row{kind + ": virtual addresses", "ms", r.VIPs},
			row{kind + ": CPU time of both", "ms", r.CPU}, row{kind + ": from nothing", "ms", sample{r.First}},
			row{kind + ": few published ports", "ms", few.Mesh}, row{kind + ": few virtual addresses", "ms", few.VIPs},
			row{kind + ": CPU time of these", "ms", few.CPU})
	}
	table(out, rows...)
	return nil
}

// idled is what passes took, in milliseconds each.
type idled struct {
	First           float64
	Mesh, VIPs, CPU sample
}

// stayStill programs a node in the caller's namespaces over a BALANCER with SERVICES of TASKS each, then makes PASSES more.
func stayStill(ctx context.Context, args []string, out io.Writer) (err error) {
	var num [3]int
	if len(args) != 1+len(num) {
		return fmt.Errorf("passes: %d arguments instead of %d", len(args), 1+len(num))
	}
	for i := range num {
		if num[i], err = strconv.Atoi(args[1+i]); err != nil {
			return err
		}
	}
	var balancer kernel.Balancer
	if args[0] == "IPVS" {
		balancer = kernel.NewIPVS(ipvs.RoundRobin, nil)
	}
	n, err := newNodeOver(balancer)
	if err != nil {
		return err
	}
	defer n.close()
	w := newWorld(num[0], num[1])
	first, err := n.program(ctx, w)
	if err != nil {
		return err
	}
	r := idled{First: 1000 * (first.mesh + first.vips)}
	_, want := n.want(w)
	for range num[2] {
		cpu, lap := cpuSeconds(0), stopwatch()
		if _, err := n.mesh.Reconcile(ctx, want.Mesh); err != nil {
			return err
		}
		r.Mesh = append(r.Mesh, 1000*lap())
		if _, err := n.vips.Reconcile(ctx, n.sandbox(), want.Tasks[0].VIPs); err != nil {
			return err
		}
		r.VIPs, r.CPU = append(r.VIPs, 1000*lap()), append(r.CPU, 1000*(cpuSeconds(0)-cpu))
	}
	return json.NewEncoder(out).Encode(r)
}
