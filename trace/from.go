package trace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// start finds the sandbox that the way begins in.
func (t *tracer) start() bool {
	task, n := t.find(t.in.From)
	switch {
	case n > 1:
		return t.fail("from", t.in.From, fmt.Sprintf("%d tasks and sandboxes of this node are meant: give more of the name or id", n))
	case n == 0:
		return t.fail("from", t.in.From, t.notHere(t.in.From))
	}
	t.from, t.stack = task, task.ID
	if owner, ok := t.in.Shared[task.ID]; ok {
		t.stack = owner
	}
	what := t.describe(task)
	switch st := task.Status; {
	case st.State.Terminal():
		why := fmt.Sprintf("it does not run: it is %s", st.State)
		if st.Err != "" {
			why += " (" + st.Err + ")"
		}
		if task.Standalone() {
			why += "; `swarmnet start " + task.Name() + "` starts it"
		}
		return t.fail("from", what, why)
	case st.State < swarmnet.TaskPreparing:
		return t.fail("from", what, "it has no network stack yet: it is "+st.State.String())
	}
	if t.in.Host[t.stack] {
		return t.note("from", what+" on the host's network stack", "it is on none of the networks, and resolves no names of theirs")
	}
	eps := t.endpointsOf(t.stack)
	if len(eps) == 0 {
		return t.note("from", what, "it is on no network")
	}
	var on []string
	for _, ep := range eps {
		if n := t.set.Networks[ep.Network]; !n.Spec.Ingress {
			t.networks = append(t.networks, ep.Network)
		}
		on = append(on, addrsOf(ep)+" on network "+t.network(ep.Network))
	}
	return t.ok("from", what+": "+strings.Join(on, ", "))
}

func (t *tracer) describe(task swarmnet.Task) string {
	if task.Standalone() {
		return "sandbox " + task.Name()
	}
	return "task " + short(task.Name())
}

// short leaves the id out of a task's name, SERVICE.SLOT.ID.
func short(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 && swarmnet.ValidID(name[i+1:]) {
		return name[:i]
	}
	return name
}

// find looks for a task of this node by id, name, or the beginning of an id. It returns how many are meant.
func (t *tracer) find(ref string) (swarmnet.Task, int) {
	var exact, begin []swarmnet.Task
	for _, id := range sorted(t.set.Tasks) {
		task := t.set.Tasks[id]
		switch {
		case string(id) == ref:
			return task, 1
		case ref == "":
		case task.Name() == ref || !task.Standalone() && short(task.Name()) == ref:
			exact = append(exact, task)
		case strings.HasPrefix(string(id), ref) || strings.HasPrefix(task.Name(), ref+"."):
			begin = append(begin, task)
		}
	}
	// Of several with one name the one that runs is meant.
	if live := slices.DeleteFunc(slices.Clone(exact), func(x swarmnet.Task) bool { return x.Status.State.Terminal() }); len(live) > 0 {
		exact = live
	}
	found := exact
	if len(found) == 0 {
		found = begin
	}
	if len(found) == 0 {
		return swarmnet.Task{}, 0
	}
	return found[0], len(found)
}

func (t *tracer) notHere(ref string) string {
	for _, id := range sorted(t.set.Endpoints) {
		ep := t.set.Endpoints[id]
		if ep.Node != t.set.Self && (ep.TaskName == ref || short(ep.TaskName) == ref || string(ep.Task) == ref) {
			return "it runs on node " + t.node(ep.Node) + ": run the trace there"
		}
	}
	return "no task or sandbox of this node has that name or id: `swarmnet ps` lists them"
}

// endpointsOf are a sandbox's endpoints on this node, in the order of its networks.
func (t *tracer) endpointsOf(id swarmnet.TaskID) []swarmnet.PeerEndpoint {
	var out []swarmnet.PeerEndpoint
	for _, ep := range t.set.Endpoints {
		if ep.Task == id && ep.Node == t.set.Self {
			out = append(out, ep)
		}
	}
	order := t.set.Tasks[id].Networks
	place := func(ep swarmnet.PeerEndpoint) int {
		if i := slices.IndexFunc(order, func(a swarmnet.NetworkAttachment) bool { return a.Network == ep.Network }); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortFunc(out, func(a, b swarmnet.PeerEndpoint) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func addrsOf(ep swarmnet.PeerEndpoint) string {
	out := make([]string, len(ep.Addrs))
	for i, p := range ep.Addrs {
		out[i] = p.Addr().String()
	}
	return strings.Join(out, ", ")
}

func (t *tracer) network(id swarmnet.NetworkID) string {
	if n, ok := t.set.Networks[id]; ok {
		return n.Spec.Name
	}
	return swarmnet.ShortID(id)
}

func (t *tracer) node(id swarmnet.NodeID) string {
	if n, ok := t.set.Nodes[id]; ok {
		return n.Name()
	}
	return swarmnet.ShortID(id)
}

func sorted[K ~string, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
