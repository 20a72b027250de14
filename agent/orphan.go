package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet"
)

// orphanAfter is how long the managers may hold an endpoint for a sandbox that has no use for it before it is given back: a sandbox that
// is being made has its endpoints first.
const orphanAfter = 30 * time.Second

// orphans remembers since when which endpoints have had no sandbox. The zero value is ready; it is used by one goroutine.
type orphans map[swarmnet.EndpointID]time.Time

// due returns the endpoints that a cluster holds for this node's sandboxes in vain, and has for long enough.
func (o orphans) due(set swarmnet.AssignmentSet, used func(swarmnet.TaskID, swarmnet.NetworkID) bool, now time.Time) []swarmnet.PeerEndpoint {
	seen := map[swarmnet.EndpointID]bool{}
	var out []swarmnet.PeerEndpoint
	for id, ep := range set.Endpoints {
		t, here := set.Tasks[ep.Task]
		if here && !t.Standalone() || ep.Service != "" && t.Member == "" || ep.Node != set.Self || used(ep.Task, ep.Network) {
			continue
		}
		seen[id] = true
		if _, known := o[id]; !known {
			o[id] = now
		} else if now.Sub(o[id]) >= orphanAfter {
			o[id] = now // should it be in vain, not again at once
			out = append(out, ep)
		}
	}
	for id := range o {
		if !seen[id] {
			delete(o, id)
		}
	}
	return out
}

// giveBack has the managers free what they hold for sandboxes that are gone: a removal may have found none of them.
func (a *Agent) giveBack(ctx context.Context, wg *sync.WaitGroup, set swarmnet.AssignmentSet) {
	if a.standalone() || a.cfg.Local == nil {
		return
	}
	state := a.cfg.Local.Read()
	used := func(id swarmnet.TaskID, n swarmnet.NetworkID) bool {
		sb, there := state.Sandboxes[id]
		return there && slices.ContainsFunc(sb.Spec.Networks, func(a swarmnet.NetworkAttachment) bool { return a.Network == n })
	}
	for _, ep := range a.orphans.due(set, used, time.Now()) {
		wg.Go(func() {
			if err := a.session.Detach(ctx, ep.Task, ep.Network); err != nil && ctx.Err() == nil {
				a.cfg.Logger.Warn("an endpoint that nobody uses cannot be given back, trying again", "sandbox", swarmnet.ShortID(ep.Task), "err", err)
			}
		})
	}
}
