package simulation

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/dns/records"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/manager/dispatcher"
	"github.com/swarmnet/swarmnet/manager/state"
)

// follows is what a node must have in force by a state of the managers alone.
func (n *node) follows(s *state.State) (kernel, *records.Records) {
	set := dispatcher.Assignments(s, n.id)
	view := gossip.View{Nodes: map[swarmnet.NodeID]gossip.Liveness{}}
	for _, o := range n.w.nodes {
		if o.daemon != nil {
			view.Nodes[o.id] = gossip.Alive
		}
	}
	want := desired.Compute(set, view, desired.Local{UnderlayMTU: 1500})
	k := kernel{overlay: want.Overlay, mesh: want.Mesh, sandbox: map[swarmnet.TaskID]desired.Sandbox{}, vips: map[swarmnet.TaskID]ingress.VIPs{}}
	for _, t := range want.Tasks {
		if t.Ready && !t.Status.State.Terminal() {
			k.sandbox[t.ID], k.vips[t.ID] = t.Sandbox, t.VIPs
		}
	}
	return k, records.Compute(set, view)
}

// differs says what a node has in force otherwise than by a state of the managers.
func (n *node) differs(s *state.State) string {
	if n.daemon == nil {
		return "its daemon does not run"
	}
	want, names := n.follows(s)
	for _, part := range []struct {
		what      string
		got, want any
	}{
		{"FDB and neighbours", n.kernel.overlay, want.overlay},
		{"published ports", n.kernel.mesh, want.mesh},
		{"sandboxes", n.kernel.sandbox, want.sandbox},
		{"virtual addresses", n.kernel.vips, want.vips},
		{"names", n.daemon.names, names},
	} {
		if !reflect.DeepEqual(part.got, part.want) {
			return part.what + " are " + difference(fmt.Sprintf("%+v", part.got), fmt.Sprintf("%+v", part.want))
		}
	}
	return ""
}

// difference shows where two texts part.
func difference(got, want string) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	from := max(0, at-40)
	cut := func(s string) string { return s[min(from, len(s)):min(len(s), at+120)] }
	return fmt.Sprintf("…%s… instead of …%s…", cut(got), cut(want))
}

// follow lets time pass until every node has had in force what followed from the managers' truth of that moment: all of it, though roll-outs go on
// meanwhile. It fails those that have not after healWithin.
func (w *World) follow() {
	left := slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return !n.on })
	for end := w.now + healWithin; w.now < end && len(left) > 0; {
		w.run(lookEvery)
		left = slices.DeleteFunc(left, (*node).agrees)
	}
	for _, n := range left {
		w.fail("for %v %s has not been as the managers say: %s", healWithin, n.name, n.differs(w.group.truth()))
	}
}

// agrees reports whether a node has in force what follows from what the managers agreed on a moment ago, which it must have been told, too.
func (n *node) agrees() bool {
	for i := len(n.w.group.log) - 1; i >= 0 && n.daemon != nil; i-- {
		agreed := n.w.group.log[i]
		if dispatcher.Same(n.daemon.planned, dispatcher.Assignments(agreed.s, n.id)) && n.differs(agreed.s) == "" {
			return true
		}
		if agreed.at < n.w.now-behind {
			return false
		}
	}
	return false
}

// Behind names the nodes that do not know what the managers agreed on a moment ago.
func (w *World) Behind() (out []string) {
	for _, n := range w.nodes {
		if !n.on {
			continue
		}
		knows := false
		for i := len(w.group.log) - 1; i >= 0 && n.daemon != nil && !knows; i-- {
			knows = dispatcher.Same(n.daemon.planned, dispatcher.Assignments(w.group.log[i].s, n.id))
			if w.group.log[i].at < w.now-behind {
				break
			}
		}
		if !knows {
			out = append(out, n.name)
		}
	}
	return out
}

// Differing names the nodes that have something else in force than what follows from the managers' truth, and what.
func (w *World) Differing() (out []string) {
	for _, n := range w.nodes {
		if n.on {
			if why := n.differs(w.group.truth()); why != "" {
				out = append(out, n.name+": "+why)
			}
		}
	}
	return out
}

// rest lets time pass until the managers have said nothing new for a while. Every node follows what they say until then.
func (w *World) rest() {
	for end := w.now + 30*time.Second; w.now-w.group.log[len(w.group.log)-1].at < time.Second; w.follow() {
		if w.now > end {
			w.fail("the managers do not come to rest")
			return
		}
	}
}
