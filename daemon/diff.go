package daemon

import (
	"context"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// Diff compares the node's kernel with what it should have.
func (s *localServer) Diff(ctx context.Context, _ *pb.DiffRequest) (*pb.NodeDiff, error) {
	a, err := s.d.awaitAgent(ctx)
	if err != nil {
		return nil, err
	}
	d, err := a.Diff(ctx)
	if err != nil {
		return nil, err
	}
	return wire.NodeDiffToProto(d), nil
}
