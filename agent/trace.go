package agent

import (
	"context"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/trace"
	"github.com/swarmnet/swarmnet/trace/kernel"
)

// Trace follows a packet's way from one of the node's sandboxes to a target and hands each step to emit. elsewhere, where the node is a
// manager, says what the cluster knows of a name that this node's networks do not.
func (a *Agent) Trace(ctx context.Context, from, to string, elsewhere func(name string) string, emit func(trace.Step) error) error {
	r, _ := a.assigned()
	own, _ := a.own()
	in := trace.Input{
		Set: local.Merge(r.Set, own), View: a.parts.gossip.View(), From: from, To: to, Elsewhere: elsewhere,
		Shared: map[swarmnet.TaskID]swarmnet.TaskID{}, Host: map[swarmnet.TaskID]bool{},
	}
	for id, s := range own.Stacks {
		switch s.Mode {
		case swarmnet.ModeShared:
			in.Shared[id] = s.Owner
		case swarmnet.ModeHost:
			in.Host[id] = true
		}
	}
	p := kernel.Prober{Fabric: a.cfg.fabricFile(), Stack: func(id swarmnet.TaskID) (string, error) {
		if in.Host[id] {
			return "", nil
		}
		return a.parts.sandboxes.Path(string(id)), nil
	}}
	return trace.Run(ctx, in, p, emit)
}
