package daemon

import (
	"context"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (s *localServer) CreateNetwork(ctx context.Context, req *pb.CreateNetworkRequest) (*pb.Network, error) {
	spec, err := wire.NetworkSpecFromProto(req.GetSpec())
	if err != nil {
		return nil, badRequest(err)
	}
	env, _, err := s.d.env(ctx)
	if err != nil {
		return nil, err
	}
	// What the host says of a configuration is found out before the step, since its plugins may take their time.
	id := swarmnet.NetworkID(swarmnet.NewID())
	_, made, err := s.d.local.Read().CreateNetwork(id, spec, env)
	if err != nil {
		return nil, refusal(err)
	}
	env.Conf = func(swarmnet.NetworkSpec) (string, error) { return made.Conf, nil }
	_, err = s.d.local.Step(func(st local.State) (next local.State, err error) {
		next, made, err = st.CreateNetwork(id, spec, env)
		return next, err
	})
	if err != nil {
		return nil, refusal(err)
	}
	return networkToProto(made), nil
}

// networkToProto leaves out the number of the switch: it means something on this node alone, and is no VNI.
func networkToProto(n local.Network) *pb.Network {
	n.VNI = 0
	return wire.NetworkToProto(n.Network)
}

func (s *localServer) ListNetworks(context.Context, *pb.ListNetworksRequest) (*pb.ListNetworksResponse, error) {
	resp := &pb.ListNetworksResponse{}
	for _, n := range s.d.local.Read().SortedNetworks() {
		resp.Networks = append(resp.Networks, networkToProto(n))
	}
	return resp, nil
}

func (s *localServer) GetNetwork(_ context.Context, req *pb.ObjectRef) (*pb.Network, error) {
	n, err := s.d.local.Read().Network(req.GetRef())
	if err != nil {
		return nil, refusal(err)
	}
	return networkToProto(n), nil
}

func (s *localServer) RemoveNetwork(ctx context.Context, req *pb.ObjectRef) (*pb.RemoveNetworkResponse, error) {
	_, err := s.d.local.Step(func(st local.State) (local.State, error) { return st.RemoveNetwork(req.GetRef()) })
	if err != nil {
		return nil, refusal(err)
	}
	if a, err := s.d.awaitAgent(ctx); err == nil {
		a.PruneParents(ctx)
	}
	return &pb.RemoveNetworkResponse{}, nil
}
