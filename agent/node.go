package agent

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/agent/session"
)

// Exec starts a command inside a task or sandbox of this node.
func (a *Agent) Exec(id swarmnet.TaskID, x executor.Exec) (executor.Process, error) {
	return a.parts.executor.Exec(id, x)
}

// Signal sends the command of one of the node's sandboxes a signal.
func (a *Agent) Signal(id swarmnet.TaskID, signal string) error {
	return a.parts.executor.Signal(id, signal)
}

// Join attaches files to the output of a task or sandbox of this node that runs.
func (a *Agent) Join(id swarmnet.TaskID, stdout, stderr *os.File) (executor.Attachment, error) {
	return a.parts.executor.Attach(id, stdout, stderr)
}

// Processes are those of a task or sandbox of this node that runs.
func (a *Agent) Processes(id swarmnet.TaskID) ([]executor.Proc, error) {
	return a.parts.executor.Processes(id)
}

// Attach asks the managers for an endpoint of one of the node's sandboxes on a network of the cluster, as a member of service if that is not
// empty.
func (a *Agent) Attach(ctx context.Context, id swarmnet.TaskID, name string, att swarmnet.NetworkAttachment, service string) (session.Attachment, error) {
	return a.session.Attach(ctx, id, name, att, service)
}

// Detach gives such an endpoint back; no network: all of the sandbox's.
func (a *Agent) Detach(ctx context.Context, id swarmnet.TaskID, network swarmnet.NetworkID) error {
	if a.standalone() {
		return nil
	}
	return a.session.Detach(ctx, id, network)
}

// Assigned is what the managers assigned to this node; of a node in no cluster, nothing.
func (a *Agent) Assigned() swarmnet.AssignmentSet {
	r, _ := a.assigned()
	return r.Set
}

// Tasks are the tasks of services that this node holds, in the form of sandboxes and by name, with their endpoints.
func (a *Agent) Tasks() []swarmnet.Sandbox {
	set := a.Assigned()
	var out []swarmnet.Sandbox
	for id, t := range set.Tasks {
		if t.Standalone() {
			continue
		}
		w := a.parts.executor.Status(id)
		if w.Phase == executor.Absent && t.Status.State.Terminal() {
			continue
		}
		out = append(out, asSandbox(set, t, w))
	}
	slices.SortFunc(out, func(x, y swarmnet.Sandbox) int { return cmp.Compare(x.Spec.Name, y.Spec.Name) })
	return out
}

// Labels by which a task of a service is known among sandboxes.
const (
	LabelService = "swarmnet.service"
	LabelTask    = "swarmnet.task"
)

func asSandbox(set swarmnet.AssignmentSet, t swarmnet.Task, w executor.Status) swarmnet.Sandbox {
	sb := swarmnet.Sandbox{
		ID: t.ID, Meta: t.Meta, Wanted: t.Wanted(), Status: t.Status, Started: w.StartedAt, Finished: w.EndedAt,
		Spec: swarmnet.SandboxSpec{Name: t.Name(), Task: t.Spec, Networks: t.Attachments()},
	}
	sb.Spec.Task.Labels = maps.Clone(t.Spec.Labels)
	if sb.Spec.Task.Labels == nil {
		sb.Spec.Task.Labels = map[string]string{}
	}
	sb.Spec.Task.Labels[LabelService], sb.Spec.Task.Labels[LabelTask] = t.ServiceName, string(t.ID)
	switch {
	case w.Phase == executor.Running:
		sb.State, sb.Status.PID = swarmnet.SandboxRunning, w.PID
	case w.Phase >= executor.Ended || t.Status.State.Terminal():
		sb.State, sb.Status.ExitCode = swarmnet.SandboxExited, w.ExitCode
	}
	for _, p := range t.Ports {
		if p.Mode == swarmnet.PublishHost && p.Published != 0 {
			sb.Ports = append(sb.Ports, p)
		}
	}
	sb.Endpoints = endpointsOf(set, t.ID, t.Attachments())
	return sb
}

// endpointsOf are the endpoints of a task in a set, in the order of its networks.
func endpointsOf(set swarmnet.AssignmentSet, id swarmnet.TaskID, order []swarmnet.NetworkAttachment) []swarmnet.Endpoint {
	var out []swarmnet.Endpoint
	for _, ep := range set.Endpoints {
		if ep.Task == id {
			out = append(out, ep.Endpoint)
		}
	}
	return inOrder(out, order)
}

// inOrder sorts endpoints by the order of their networks; others come last.
func inOrder(out []swarmnet.Endpoint, order []swarmnet.NetworkAttachment) []swarmnet.Endpoint {
	place := func(ep swarmnet.Endpoint) int {
		i := slices.IndexFunc(order, func(a swarmnet.NetworkAttachment) bool { return a.Network == ep.Network })
		if i < 0 {
			i = len(order)
		}
		return i
	}
	slices.SortFunc(out, func(x, y swarmnet.Endpoint) int {
		return cmp.Or(cmp.Compare(place(x), place(y)), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// Sandboxes are the node's own, by name, with their endpoints on the cluster's networks, too.
func (a *Agent) Sandboxes() []local.Sandbox {
	if a.cfg.Local == nil {
		return nil
	}
	state := a.cfg.Local.Read()
	out := state.SortedSandboxes()
	for i, sb := range out {
		out[i] = a.complete(state, sb)
	}
	return out
}

// Sandbox finds one of the node's own by id, name, or unique prefix of an id.
func (a *Agent) Sandbox(ref string) (local.Sandbox, error) {
	state := a.cfg.Local.Read()
	sb, err := state.Sandbox(ref)
	if err != nil {
		return sb, err
	}
	return a.complete(state, sb), nil
}

// complete adds what the managers gave a sandbox, and what is to be said of a stack that is not its own.
func (a *Agent) complete(state local.State, sb local.Sandbox) local.Sandbox {
	foreign := func(n swarmnet.NetworkAttachment) bool { _, own := state.Networks[n.Network]; return !own }
	if slices.ContainsFunc(sb.Spec.Networks, foreign) {
		set := a.Assigned()
		all := slices.Clone(sb.Endpoints)
		for _, ep := range endpointsOf(set, sb.ID, nil) {
			if ep.Node == set.Self {
				all = append(all, ep)
			}
		}
		sb.Endpoints = local.Routed(inOrder(all, sb.Spec.Networks), sb.Spec.Networks, func(id swarmnet.NetworkID) swarmnet.Network {
			if n, own := state.Networks[id]; own {
				return n.Network
			}
			return set.Networks[id]
		})
	}
	owner := state.Sandboxes[sb.Spec.SharedWith]
	if sb.Spec.Mode == swarmnet.ModeShared && sb.State == swarmnet.SandboxRunning && owner.State != swarmnet.SandboxRunning {
		sb.Status.Message = fmt.Sprintf("running; %s, whose network stack it uses, has stopped", owner.Spec.Name)
	}
	return sb
}

// Settled returns when what was last asked of a sandbox's networks is in force, or its sandbox is not to be there. A driver's refusal is a
// *driver.Refusal.
func (a *Agent) Settled(ctx context.Context, id swarmnet.TaskID, since time.Time) error {
	return a.awaitNetwork(ctx, id, func(t desired.Task) bool { return !t.Meta.UpdatedAt.Before(since) }) // planned
}

// Connected returns when a task of a service is on a network, or off it, and that is in force.
func (a *Agent) Connected(ctx context.Context, id swarmnet.TaskID, network swarmnet.NetworkID, on bool) error {
	return a.awaitNetwork(ctx, id, func(t desired.Task) bool {
		return slices.ContainsFunc(t.Endpoints, func(ep swarmnet.PeerEndpoint) bool { return ep.Network == network }) == on
	})
}

func (a *Agent) awaitNetwork(ctx context.Context, id swarmnet.TaskID, heard func(desired.Task) bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := a.settled(id, heard); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (a *Agent) settled(id swarmnet.TaskID, heard func(desired.Task) bool) (bool, error) {
	a.mu.Lock()
	r := a.runners[id]
	a.mu.Unlock()
	if r == nil {
		return a.cfg.Local == nil || !a.cfg.Local.Read().Sandboxes[id].Active(), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !heard(r.want) {
		return false, nil
	}
	if r.want.Desired >= swarmnet.DesireShutdown || !r.want.Stack.Own() {
		return true, nil
	}
	if r.inForce == nil {
		return false, nil
	}
	ok, err := r.inForce()
	return ok && !r.want.Stack.Awaits, err
}
