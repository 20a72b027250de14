package agent

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/executor/process"
	"github.com/swarmnet/swarmnet/agent/local"
)

// leaveGrace is how long tasks get to end by themselves when their node leaves the cluster.
const leaveGrace = 5 * time.Second

// Leave stops every task of the cluster and takes everything of it off the host. Run must have ended. It may be called again after an
// error. The node's own sandboxes run on; what they share with the cluster's is left to the agent that keeps them next.
func (a *Agent) Leave(ctx context.Context) error {
	own := map[swarmnet.TaskID]bool{}
	if a.cfg.Local != nil {
		state, err := a.cfg.Local.Step(func(s local.State) (local.State, error) { return s.LeaveCluster(), nil })
		if err != nil {
			return err
		}
		for id, sb := range state.Sandboxes {
			own[id] = sb.Run > 0
		}
	}
	ex, err := process.New(process.Config{Dir: a.cfg.tasksDir(), Logger: a.cfg.Logger})
	if err != nil {
		return err
	}
	defer ex.Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, id := range ex.List() {
		if own[id] {
			continue
		}
		wg.Go(func() {
			err := end(ctx, ex, id)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	names, err := a.parts.sandboxes.List()
	errs = append(errs, err)
	for _, name := range names {
		if own[swarmnet.TaskID(name)] {
			continue
		}
		errs = append(errs, a.parts.sandboxes.Delete(ctx, name))
	}
	if len(own) == 0 {
		errs = append(errs, a.parts.balancer.Remove(ctx), a.parts.fabric.Remove(ctx), os.RemoveAll(a.cfg.tasksDir()))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(a.cfg.assignmentsFile()), os.RemoveAll(a.cfg.gossipKeyFile()))
}

// end stops a task, with grace, and forgets it.
func end(ctx context.Context, ex executor.Executor, id swarmnet.TaskID) error {
	if ex.Status(id).Phase < executor.Ended && ex.Stop(id, "", leaveGrace) == nil {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ex.Status(id).Phase < executor.Ended && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}
	return ex.Remove(ctx, id)
}
