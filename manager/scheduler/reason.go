package scheduler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// reason says why no node can take a task: each reason with the number of nodes that it keeps away.
func (p *planner) reason(t swarmnet.Task, g *group) string {
	count := map[string]int{}
	if n := len(p.nodes) - len(g.match); n > 0 {
		count["do not meet its constraints ("+strings.Join(t.Spec.Placement.Constraints, ", ")+")"] = n
	}
	for _, n := range g.match {
		if why := p.d.View().Unfit(t, n); why != "" {
			count[why]++
		}
	}
	var parts []string
	for why, n := range count {
		nodes := "nodes"
		if n == 1 {
			nodes = "node"
		}
		parts = append(parts, fmt.Sprintf("%d %s: %s", n, nodes, why))
	}
	if len(parts) == 0 {
		return "no suitable node: the cluster has none"
	}
	slices.Sort(parts)
	return "no suitable node (" + strings.Join(parts, "; ") + ")"
}
