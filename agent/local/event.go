package local

import (
	"fmt"
	"slices"

	"github.com/swarmnet/swarmnet"
)

// Event is something that a step did, as a person follows it.
type Event struct {
	Kind, Action, ID, Name string // Kind is network or sandbox
	Actor                  string // local: somebody asked for it on the node; node: it happened
	Detail                 string
}

// ActionDrift is that something of ours was found altered in the kernel, and put right. No step does that: see store.Store.Tell.
const ActionDrift = "drift"

// Events are what happened between a state and one that steps made of it.
func Events(was, is State) []Event {
	nets, boxes := is.Touched()
	var out []Event
	nets = slices.Clone(nets)
	slices.Sort(nets)
	for _, id := range slices.Compact(nets) {
		a, had := was.Networks[id]
		b, there := is.Networks[id]
		e := Event{Kind: "network", ID: string(id), Name: b.Spec.Name, Actor: "local", Detail: b.Spec.Driver}
		switch {
		case !had && there:
			e.Action = "create"
		case had && !there:
			e.Action, e.Name, e.Detail = "remove", a.Spec.Name, a.Spec.Driver
		default:
			continue // addresses that rest
		}
		out = append(out, e)
	}
	boxes = slices.Clone(boxes)
	slices.Sort(boxes)
	for _, id := range slices.Compact(boxes) {
		a, had := was.Sandboxes[id]
		b, there := is.Sandboxes[id]
		out = append(out, sandboxEvents(a, b, had, there)...)
	}
	return out
}

func sandboxEvents(a, b Sandbox, had, there bool) (out []Event) {
	sb := b
	if !there {
		sb = a
	}
	add := func(action, actor, detail string) {
		out = append(out, Event{Kind: "sandbox", Action: action, ID: string(sb.ID), Name: sb.Spec.Name, Actor: actor, Detail: detail})
	}
	switch {
	case !had && !there:
		return nil
	case !had:
		add("create", "local", "")
		return out
	case !there:
		add("remove", "local", "")
		return out
	}
	if had && a.Spec.Name != b.Spec.Name {
		add("rename", "local", "from "+a.Spec.Name)
	}
	for _, n := range b.Spec.Networks {
		if !isOn(a, n.Network) {
			add("connect", "local", "network "+string(n.Network))
		}
	}
	for _, n := range a.Spec.Networks {
		if !isOn(b, n.Network) {
			add("disconnect", "local", "network "+string(n.Network))
		}
	}
	if a.Wanted && !b.Wanted && a.Active() {
		add("stop", "local", "")
	}
	if a.State != swarmnet.SandboxRunning && b.State == swarmnet.SandboxRunning {
		add("start", "node", "")
	}
	if over := b.State == swarmnet.SandboxExited || b.State == swarmnet.SandboxRestarting; over && (a.State != b.State || a.Run != b.Run) {
		detail := fmt.Sprintf("exit status %d", b.Status.ExitCode)
		if b.State == swarmnet.SandboxRestarting {
			detail += ", to be started again"
		}
		add("die", "node", detail)
	}
	return out
}

func isOn(sb Sandbox, id swarmnet.NetworkID) bool {
	return slices.ContainsFunc(sb.Spec.Networks, func(a swarmnet.NetworkAttachment) bool { return a.Network == id })
}
