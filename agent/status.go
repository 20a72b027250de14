package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/reconcile"
)

// Status is where an agent stands.
type Status struct {
	Manager  string // the address of the manager that it has a session with; empty: none answers
	Revision uint64 // of the assignments
	Live     bool   // they came from a manager since this start
	Epoch    uint64
	// Overlay and Mesh are how far the node's networks and published ports are in force.
	Overlay, Mesh reconcile.Status
	Workloads     []executor.Status // in the order of their ids
}

// Status returns where the agent stands now.
func (a *Agent) Status() Status {
	r := a.session.Read()
	s := Status{Manager: r.Manager, Revision: r.Set.Revision, Live: r.Live, Epoch: r.Epoch, Overlay: a.fabric.Status(), Mesh: a.mesh.Status()}
	for _, id := range a.parts.executor.List() {
		s.Workloads = append(s.Workloads, a.parts.executor.Status(id))
	}
	return s
}

// Logs copies the output of a task of this node to sink; task is its id, its name, or a unique prefix of either.
func (a *Agent) Logs(ctx context.Context, task string, q executor.LogQuery, sink func(executor.Line) error) error {
	id, err := a.find(task)
	if err != nil {
		return err
	}
	return a.parts.executor.Logs(ctx, id, q, sink)
}

func (a *Agent) find(ref string) (swarmnet.TaskID, error) {
	names := map[swarmnet.TaskID]string{}
	for _, id := range a.parts.executor.List() {
		names[id] = ""
	}
	for _, sb := range a.Sandboxes() {
		if _, here := names[sb.ID]; here {
			names[sb.ID] = sb.Spec.Name
		}
	}
	for id, t := range a.session.Read().Set.Tasks {
		if _, here := names[id]; here {
			names[id] = t.Name()
		}
	}
	var found []swarmnet.TaskID
	for _, id := range slices.Sorted(maps.Keys(names)) {
		if string(id) == ref || names[id] == ref {
			return id, nil
		}
		if ref != "" && (strings.HasPrefix(string(id), ref) || strings.HasPrefix(names[id], ref)) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no sandbox or task %q with any output on this node: `swarmnet ps -a` lists them", ref)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%q means %d sandboxes or tasks of this node: give more of the id", ref, len(found))
}
