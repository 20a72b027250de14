package controlapi

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// CreateNetwork answers with the network as it was asked for: the leader gives it its VNI and subnets right after.
func (s *Server) CreateNetwork(ctx context.Context, req *pb.CreateNetworkRequest) (*pb.Network, error) {
	spec, err := wire.NetworkSpecFromProto(req.GetSpec())
	if err != nil {
		return nil, malformed(err)
	}
	if spec.Driver == "" {
		spec.Driver = swarmnet.DriverOverlay
	}
	if d, ok := driver.Find(spec.Driver); ok {
		if spec.Options, err = d.Normalise(spec.Options); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	if err := s.checkMTU(ctx, spec); err != nil {
		return nil, err
	}
	id := swarmnet.NetworkID(swarmnet.NewID())
	v, _, err := s.write(ctx, state.CreateNetwork{Network: swarmnet.Network{ID: id, Spec: spec}})
	if err != nil {
		return nil, err
	}
	n, ok := v.Network(id)
	if !ok { // removed by somebody else meanwhile
		n = swarmnet.Network{ID: id, Spec: spec}
	}
	return wire.NetworkToProto(n), nil
}

// checkMTU refuses an MTU that no network of these nodes can have: it would be lowered, and whoever asked would not know. Nodes that come later,
// or find out later that less gets through, lower it all the same.
func (s *Server) checkMTU(ctx context.Context, spec swarmnet.NetworkSpec) error {
	wish := spec.WantedMTU()
	if wish == 0 {
		return nil
	}
	v, err := s.read(ctx)
	if err != nil {
		return err
	}
	var least swarmnet.Node // of several with too little room the one that decides: what is left on it is left on all
	for n := range v.Nodes() {
		if room := n.Description.Room(); room > 0 && wish > room && (least.ID == "" || room < least.Description.Room()) {
			least = n
		}
	}
	if least.ID != "" {
		return status.Errorf(codes.FailedPrecondition, "network %s: mtu=%d is more than node %s has room for: %d octets get through to it and from it, which leaves %d for an overlay network: ask for at most that",
			spec.Name, wish, least.Name(), least.Description.UnderlayMTU, least.Description.Room())
	}
	return nil
}

func (s *Server) ListNetworks(ctx context.Context, _ *pb.ListNetworksRequest) (*pb.ListNetworksResponse, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.ListNetworksResponse{Networks: list(v.Networks(), wire.NetworkToProto)}, nil
}

func (s *Server) GetNetwork(ctx context.Context, req *pb.ObjectRef) (*pb.Network, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	n, err := found(v.FindNetwork(req.GetRef()))
	if err != nil {
		return nil, err
	}
	return wire.NetworkToProto(n), nil
}

func (s *Server) RemoveNetwork(ctx context.Context, req *pb.ObjectRef) (*pb.RemoveNetworkResponse, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	n, err := found(v.FindNetwork(req.GetRef()))
	if err != nil {
		return nil, err
	}
	if _, _, err = s.write(ctx, state.RemoveNetwork{ID: n.ID}); err != nil {
		return nil, err
	}
	return &pb.RemoveNetworkResponse{}, nil
}

func (s *Server) ListEndpoints(ctx context.Context, req *pb.ListEndpointsRequest) (*pb.ListEndpointsResponse, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if req.GetNetwork() == "" {
		return &pb.ListEndpointsResponse{Endpoints: list(v.Endpoints(), wire.EndpointToProto)}, nil
	}
	n, err := found(v.FindNetwork(req.GetNetwork()))
	if err != nil {
		return nil, err
	}
	return &pb.ListEndpointsResponse{Endpoints: list(v.EndpointsByNetwork(n.ID), wire.EndpointToProto)}, nil
}
