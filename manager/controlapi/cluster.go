package controlapi

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// GetCluster answers without the cluster's secrets.
func (s *Server) GetCluster(ctx context.Context, _ *pb.GetClusterRequest) (*pb.Cluster, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	return redacted(v)
}

func redacted(v *state.State) (*pb.Cluster, error) {
	c, ok := v.Cluster()
	if !ok {
		return nil, status.Error(codes.Unavailable, "this manager has no cluster yet: try again in a moment")
	}
	return wire.RedactedClusterToProto(c), nil
}

func (s *Server) UpdateCluster(ctx context.Context, req *pb.UpdateClusterRequest) (*pb.Cluster, error) {
	spec, err := wire.ClusterSpecFromProto(req.GetSpec())
	if err != nil {
		return nil, malformed(err)
	}
	v, _, err := s.write(ctx, state.UpdateCluster{Spec: spec})
	if err != nil {
		return nil, err
	}
	return redacted(v)
}

func (s *Server) GetJoinToken(ctx context.Context, req *pb.GetJoinTokenRequest) (*pb.GetJoinTokenResponse, error) {
	role, err := wire.RoleFromProto(req.GetRole())
	if err != nil {
		return nil, malformed(err)
	}
	if req.GetRole() == pb.Role_ROLE_UNSPECIFIED {
		return nil, status.Error(codes.InvalidArgument, "which join token is wanted? worker or manager")
	}
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if req.GetRotate() {
		cluster, _ := v.Cluster()
		tokens := slices.DeleteFunc(slices.Clone(cluster.Tokens), func(t swarmnet.JoinToken) bool { return t.Role == role })
		if v, _, err = s.write(ctx, state.SetTokens{Tokens: append(tokens, ca.NewJoinToken(role))}); err != nil {
			return nil, err
		}
	}
	cluster, _ := v.Cluster()
	token, ok := ca.TokenFor(cluster, role)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "the cluster has no join token for a %s: make one with --rotate", role)
	}
	return &pb.GetJoinTokenResponse{Token: token}, nil
}
