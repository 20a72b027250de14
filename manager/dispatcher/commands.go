package dispatcher

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// openSession puts a session into the state and returns the node's epoch.
func openSession(ctx context.Context, cfg Config, node swarmnet.NodeID, desc swarmnet.NodeDescription, epoch uint64) (uint64, error) {
	results, err := cfg.Backend.Propose(ctx, "node:"+string(node), state.OpenSession{
		Node: node, Description: desc, Manager: cfg.Self, NewEpoch: epoch == 0,
	})
	if err != nil {
		return 0, err
	}
	if r := results[0].Err; r != nil {
		return 0, status.Errorf(codes.PermissionDenied, "the session is refused: %s", r.Message)
	}
	return results[0].Epoch, nil
}

func closeSession(n swarmnet.Node, manager swarmnet.NodeID) state.Command {
	return state.CloseSession{Node: n.ID, Epoch: n.Epoch, Manager: manager}
}
