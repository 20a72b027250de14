package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// answerTimeout is how long nodes may take to put a service that has converged into their balancers before the wait ends without them.
const answerTimeout = 10 * time.Second

// answering is on how many nodes a service whose tasks run answers: those that have acknowledged that their names, virtual addresses and
// published ports lead to them.
type answering struct {
	nodes  int      // that are up
	silent []string // those of them that have not acknowledged it yet
}

func (c convergence) answers() bool { return c.done && len(c.silent) == 0 }

func (n answering) String() string {
	if n.nodes == 0 {
		return ""
	}
	return fmt.Sprintf(", answering on %d of %d nodes", n.nodes-len(n.silent), n.nodes)
}

// hear asks how far the nodes are once the tasks run.
func (a *app) hear(ctx context.Context, c convergence, s swarmnet.Service, tasks []swarmnet.Task) (convergence, error) {
	if !c.done || c.running == 0 {
		return c, nil
	}
	control, err := a.control(ctx)
	if err != nil {
		return c, err
	}
	r, err := control.ListNodes(ctx, &pb.ListNodesRequest{})
	if err != nil {
		return c, err
	}
	for _, m := range r.GetNodes() {
		n, err := wire.NodeFromProto(m)
		if err != nil {
			return c, err
		}
		c.hear(n, s, tasks)
	}
	return c, nil
}

// hear counts a node that is up, and whether what it has in force is as new as the service and the last change to its tasks.
func (n *answering) hear(node swarmnet.Node, s swarmnet.Service, tasks []swarmnet.Task) {
	if node.Status.State != swarmnet.NodeReady {
		return
	}
	n.nodes++
	newest := s.Meta.Updated
	for _, t := range tasks {
		if !t.Status.State.Terminal() {
			newest = max(newest, t.Balanced)
		}
	}
	if node.Applied < newest {
		n.silent = append(n.silent, node.Name())
	}
}
