package manager

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/rpcauth"
)

// DiffNode implements controlapi.Backend. What another manager passed on is not passed on again.
func (m *Manager) DiffNode(ctx context.Context, n swarmnet.Node) (*pb.NodeDiff, error) {
	if n.Status.Manager == m.cfg.Identity.NodeID() {
		return m.dispatcher.Diff(ctx, n.ID)
	}
	holder, ok := m.View().Node(n.Status.Manager)
	if !ok || rpcauth.Peer(ctx).Kind == ca.KindManager {
		return nil, status.Errorf(codes.Unavailable, "node %s is changing to another manager: try again", n.Name())
	}
	conn, err := m.dial(ctx, holder.Description.APIAddr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return pb.NewControlClient(conn).DiffNode(ctx, &pb.ObjectRef{Ref: string(n.ID)})
}
