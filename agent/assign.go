package agent

import (
	"context"
	"sync"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
)

// assign hands each task to its runner. look has them look at what is there even if nothing is new.
func (a *Agent) assign(ctx context.Context, wg *sync.WaitGroup, set swarmnet.AssignmentSet, want desired.NodeState, look bool) {
	vnis := a.vnis.Load()
	for _, t := range want.Tasks {
		r := a.runner(ctx, wg, t.ID)
		if t.Standalone() && t.Desired == swarmnet.DesireRemove {
			r.drop()
			continue
		}
		r.update(t, want.Revision, vnis != nil && hasAll(*vnis, t.Sandbox), environment(set, t.Task), look)
	}
}

// refreshSandboxes has every sandbox looked at again: a bridge that was made anew has lost its ports.
func (a *Agent) refreshSandboxes() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.runners {
		r.refresh()
	}
}

// prune takes away what nobody assigned. It must not be done for want of a task in an old set from the disk.
func (a *Agent) prune(ctx context.Context, wg *sync.WaitGroup, want desired.NodeState) {
	assigned := map[swarmnet.TaskID]bool{}
	for _, t := range want.Tasks {
		assigned[t.ID] = true
	}
	for _, id := range a.present() {
		if !assigned[id] {
			a.runner(ctx, wg, id).drop()
		}
	}
}

// hasAll reports whether the fabric has every network that a sandbox is to be on.
func hasAll(vnis map[swarmnet.VNI]bool, s desired.Sandbox) bool {
	for _, ifc := range s.Interfaces {
		if !vnis[ifc.VNI] && ifc.Parent == "" && ifc.Wish == nil {
			return false
		}
	}
	return true
}

// present are all tasks of which there is anything here.
func (a *Agent) present() []swarmnet.TaskID {
	ids := a.parts.executor.List()
	names, err := a.parts.sandboxes.List()
	if err != nil {
		a.cfg.Logger.Warn("the sandboxes cannot be listed", "err", err)
	}
	for _, n := range names {
		ids = append(ids, swarmnet.TaskID(n))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.runners {
		ids = append(ids, id)
	}
	return ids
}

// runner returns the runner of a task; a new one is started.
func (a *Agent) runner(ctx context.Context, wg *sync.WaitGroup, id swarmnet.TaskID) *runner {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.runners[id]
	if r == nil {
		r = newRunner(a, id)
		a.runners[id] = r
		wg.Go(func() {
			if r.run(ctx) {
				a.mu.Lock()
				delete(a.runners, id)
				a.mu.Unlock()
				a.gone(ctx, id)
				a.wakePlan() // should it have been assigned again meanwhile
			}
		})
	}
	return r
}

func (a *Agent) wakePlan() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// environment is what a task is told of itself, before its own settings.
func environment(set swarmnet.AssignmentSet, t swarmnet.Task) []string {
	env := []string{"SWARMNET_TASK=" + t.Name(), "SWARMNET_TASK_ID=" + string(t.ID), "SWARMNET_NODE=" + set.Nodes[set.Self].Name()}
	if v, ok := set.Services[t.Member]; ok {
		env = append(env, "SWARMNET_SERVICE="+v.Spec.Name)
	}
	if !t.Standalone() {
		env = append(env, "SWARMNET_SERVICE="+t.ServiceName)
	}
	return append(env, t.Spec.Env...)
}

// wanted is what is wanted of a task, as its runner last heard.
func (a *Agent) wanted(id swarmnet.TaskID) desired.Task {
	a.mu.Lock()
	r := a.runners[id]
	a.mu.Unlock()
	if r == nil {
		return desired.Task{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.want
}
