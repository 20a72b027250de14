package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// Diff compares what the node's kernel has with what it should have, and changes nothing. It is about this moment: what is just being made is
// missing, too.
func (a *Agent) Diff(ctx context.Context) (swarmnet.NodeDiff, error) {
	d := comparison{NodeDiff: swarmnet.NodeDiff{Repaired: a.drifts.count()}}
	r, ok := a.assigned()
	own, _ := a.own()
	switch {
	case !ok:
		d.Unknown = append(d.Unknown, "what this node should have: no manager has told it yet")
		return d.NodeDiff, nil
	case a.idle(own):
		return d.NodeDiff, nil
	case !r.Live:
		d.Unknown = append(d.Unknown, "what the managers want now: none has answered since the daemon started, and nothing is removed before")
	}
	d.part(ctx, swarmnet.PartNetworks, a.fabric.Diff)
	d.part(ctx, swarmnet.PartPorts, a.mesh.Diff)
	a.diffSandboxes(ctx, &d, r.Live)
	return d.NodeDiff, ctx.Err()
}

// Repaired is how many differences were put right since the daemon started that came up after all had been in force.
func (a *Agent) Repaired() uint64 { return a.drifts.count() }

// diffSandboxes compares each sandbox, in the order of their names, and finds those that nobody wants.
func (a *Agent) diffSandboxes(ctx context.Context, d *comparison, live bool) {
	names, err := a.parts.sandboxes.List()
	if err != nil {
		d.unknown("the sandboxes", err)
	}
	there := map[swarmnet.TaskID]bool{}
	for _, n := range names {
		there[swarmnet.TaskID(n)] = true
	}
	a.mu.Lock()
	var runners []*runner
	for id, r := range a.runners {
		if _, _, gone := r.kept(); !gone {
			delete(there, id)
			runners = append(runners, r)
		}
	}
	a.mu.Unlock()
	slices.SortFunc(runners, func(x, y *runner) int { return strings.Compare(x.label(), y.label()) })
	for _, r := range runners {
		switch n, due, _ := r.kept(); {
		case n != nil:
			d.part(ctx, r.label(), n.loop.Diff)
		case due:
			d.Unknown = append(d.Unknown, r.label()+": it is about to be made")
		}
	}
	for _, n := range names {
		if there[swarmnet.TaskID(n)] && live {
			d.Differences = append(d.Differences, swarmnet.Difference{Part: swarmnet.PartSandbox(swarmnet.ShortID(n)), Surplus: true, Object: "netns " + a.parts.sandboxes.Path(n)})
		}
	}
}

// comparison gathers differences.
type comparison struct{ swarmnet.NodeDiff }

func (c *comparison) unknown(part string, why error) {
	c.Unknown = append(c.Unknown, fmt.Sprintf("%s: %v", part, why))
}

// part takes in what a pass over a part would change.
func (c *comparison) part(ctx context.Context, part string, diff func(context.Context) (lines []string, ok bool, err error)) {
	lines, ok, err := diff(ctx)
	switch {
	case err != nil:
		c.unknown(part, err)
	case !ok:
		c.unknown(part, errNotPlanned)
	}
	for _, l := range lines {
		object, surplus := strings.CutPrefix(l, "- ")
		c.Differences = append(c.Differences, swarmnet.Difference{Part: part, Surplus: surplus, Object: strings.TrimPrefix(object, "+ ")})
	}
}

var errNotPlanned = errors.New("what should be there is not computed yet")
