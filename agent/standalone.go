package agent

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/agent/session"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/gossip/member"
)

// standalone reports whether the node is in no cluster: there is no session, no gossip, and nothing but what is the node's own.
func (a *Agent) standalone() bool { return a.cfg.Dial == nil }

// assigned is what the managers want of this node: of one that is in no cluster, nothing. ok is false while nobody knows.
func (a *Agent) assigned() (r session.Reading, ok bool) {
	if a.standalone() {
		return session.Reading{Set: local.Standalone(a.cfg.Hostname), Have: true, Live: true}, true
	}
	r = a.session.Read()
	return r, r.Have
}

// own is the node's own networks and sandboxes, and when they change by themselves; never: the zero time.
func (a *Agent) own() (f local.Fragment, due time.Time) {
	if a.cfg.Local == nil {
		return local.Fragment{}, time.Time{}
	}
	now := time.Now()
	state := a.cfg.Local.Read()
	return state.Fragment(now), state.NextDue(now)
}

// idle reports whether a node in no cluster has nothing to do and never had: then nothing is made on it.
func (a *Agent) idle(f local.Fragment) bool {
	if !a.standalone() || len(f.Tasks) > 0 || a.vnis.Load() != nil {
		return false
	}
	_, err := os.Stat(a.cfg.fabricFile())
	return err != nil
}

// reportOwn takes in what became of a sandbox's process.
func (a *Agent) reportOwn(id swarmnet.TaskID, run uint64, st swarmnet.TaskStatus) error {
	if a.cfg.Local == nil {
		return nil
	}
	_, err := a.cfg.Local.Step(func(s local.State) (local.State, error) { return s.Report(id, run, st, time.Now()), nil })
	return err
}

// reportGiven takes in what drivers gave a sandbox's endpoints.
func (a *Agent) reportGiven(id swarmnet.TaskID, given map[swarmnet.NetworkID]driver.Given) error {
	if a.cfg.Local == nil || len(given) == 0 {
		return nil
	}
	_, err := a.cfg.Local.Step(func(s local.State) (local.State, error) {
		for n, g := range given {
			s = s.Attached(id, n, g)
		}
		return s, nil
	})
	return err
}

// detached forgets what drivers gave a sandbox whose interfaces are gone.
func (a *Agent) detached(id swarmnet.TaskID) error {
	if a.cfg.Local == nil {
		return nil
	}
	_, err := a.cfg.Local.Step(func(s local.State) (local.State, error) { return s.Detached(id), nil })
	return err
}

// gone forgets a sandbox that was removed, if it is one. Should that fail, it is removed again. What the managers hold for one that went by itself
// is given back now: nobody waits for its end who would do so.
func (a *Agent) gone(ctx context.Context, id swarmnet.TaskID) {
	if a.cfg.Local == nil {
		return
	}
	own := a.cfg.Local.Read()
	sb := own.Sandboxes[id]
	foreign := func(n swarmnet.NetworkAttachment) bool { _, mine := own.Networks[n.Network]; return !mine }
	if sb.Spec.AutoRemove && !a.standalone() && slices.ContainsFunc(sb.Spec.Networks, foreign) {
		if err := a.session.Detach(ctx, id, ""); err != nil { // giveBack tries again
			a.cfg.Logger.Warn("the managers still hold addresses of a sandbox", "sandbox", swarmnet.ShortID(id), "err", err)
		}
	}
	if _, err := a.cfg.Local.Step(func(s local.State) (local.State, error) { return s.Gone(id), nil }); err != nil {
		a.cfg.Logger.Error("a removed sandbox cannot be forgotten", "sandbox", swarmnet.ShortID(id), "err", err)
	}
}

// watchOwn has plan look whenever something of the node's own changes.
func (a *Agent) watchOwn() (stop func()) {
	if a.cfg.Local == nil {
		return func() {}
	}
	return a.cfg.Local.Watch(a.wake)
}

// PruneParents takes away the VLAN devices of networks that are gone.
func (a *Agent) PruneParents(ctx context.Context) {
	if a.cfg.Local == nil {
		return
	}
	var parents []string
	for _, n := range a.cfg.Local.Read().Networks {
		if p := n.Spec.Options[driver.Parent]; p != "" {
			parents = append(parents, p)
		}
	}
	if err := a.parts.sandboxes.PruneParents(ctx, parents); err != nil {
		a.cfg.Logger.Warn("VLAN devices that nobody needs cannot be removed", "err", err)
	}
}

// pruneAttachments has plugins take away what they made for sandboxes that are gone. It is called again and again, and does one round at a
// time.
func (a *Agent) pruneAttachments(ctx context.Context, wg *sync.WaitGroup) {
	if a.cfg.Local == nil || !a.pruning.CompareAndSwap(false, true) {
		return
	}
	wg.Go(func() {
		defer a.pruning.Store(false)
		a.parts.sandboxes.PruneAttachments(ctx, func(name string) bool {
			id := swarmnet.TaskID(name)
			_, own := a.cfg.Local.Read().Sandboxes[id]
			a.mu.Lock()
			defer a.mu.Unlock()
			return own || a.runners[id] != nil
		})
	})
}

// silence is the gossip of a node that is in no cluster.
type silence struct{}

func (silence) Run(ctx context.Context) error   { <-ctx.Done(); return nil }
func (silence) Configure(member.Settings) error { return nil }
func (silence) SetEndpoint(swarmnet.NetworkID, swarmnet.EndpointID, gossip.EndpointState) {
}
func (silence) DeleteEndpoint(swarmnet.NetworkID, swarmnet.EndpointID) {}
func (silence) View() gossip.View                                      { return gossip.View{} }
func (silence) Changed() <-chan struct{}                               { return nil }
