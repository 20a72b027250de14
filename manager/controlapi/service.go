package controlapi

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// maxSpec bounds a service's spec, of which every task has a copy.
const maxSpec = 128 << 10 // octets

// serviceSpec reads a spec whose networks may be named by any reference.
func serviceSpec(v *state.State, m *pb.ServiceSpec) (swarmnet.ServiceSpec, error) {
	if size := proto.Size(m); size > maxSpec {
		return swarmnet.ServiceSpec{}, status.Errorf(codes.InvalidArgument, "the service's spec has %d octets, and may have %d: keep large settings elsewhere", size, maxSpec)
	}
	spec, err := wire.ServiceSpecFromProto(m)
	if err != nil {
		return spec, malformed(err)
	}
	spec.Networks = slices.Clone(spec.Networks)
	for i, a := range spec.Networks {
		n, err := found(v.FindNetwork(string(a.Network)))
		if err != nil {
			return spec, err
		}
		spec.Networks[i].Network = n.ID
	}
	return spec, nil
}

func (s *Server) CreateService(ctx context.Context, req *pb.CreateServiceRequest) (*pb.Service, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	spec, err := serviceSpec(v, req.GetSpec())
	if err != nil {
		return nil, err
	}
	svc := swarmnet.Service{ID: swarmnet.ServiceID(swarmnet.NewID()), Spec: spec}
	v, _, err = s.write(ctx, state.CreateService{Service: svc})
	if err != nil {
		return nil, err
	}
	return serviceNow(v, svc), nil
}

// serviceNow is the service as it is now, or as it was when somebody else has removed it meanwhile.
func serviceNow(v *state.State, svc swarmnet.Service) *pb.Service {
	if now, ok := v.Service(svc.ID); ok {
		svc = now
	}
	return wire.ServiceToProto(svc)
}

func (s *Server) UpdateService(ctx context.Context, req *pb.UpdateServiceRequest) (*pb.Service, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	svc, err := found(v.FindService(req.GetRef()))
	if err != nil {
		return nil, err
	}
	if svc.Spec, err = serviceSpec(v, req.GetSpec()); err != nil {
		return nil, err
	}
	v, _, err = s.write(ctx, state.UpdateService{ID: svc.ID, Spec: svc.Spec, Version: req.GetVersion()})
	if err != nil {
		return nil, err
	}
	return serviceNow(v, svc), nil
}

func (s *Server) RollbackService(ctx context.Context, req *pb.ObjectRef) (*pb.Service, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	svc, err := found(v.FindService(req.GetRef()))
	if err != nil {
		return nil, err
	}
	if v, _, err = s.write(ctx, state.RollbackService{ID: svc.ID}); err != nil {
		return nil, err
	}
	return serviceNow(v, svc), nil
}

func (s *Server) ListServices(ctx context.Context, _ *pb.ListServicesRequest) (*pb.ListServicesResponse, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	live := filter(v.Services(), func(v swarmnet.Service) bool { return !v.Removing })
	return &pb.ListServicesResponse{Services: list(live, wire.ServiceToProto)}, nil
}

func (s *Server) GetService(ctx context.Context, req *pb.ObjectRef) (*pb.Service, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	svc, err := found(v.FindService(req.GetRef()))
	if err != nil {
		return nil, err
	}
	return wire.ServiceToProto(svc), nil
}

func (s *Server) RemoveService(ctx context.Context, req *pb.ObjectRef) (*pb.RemoveServiceResponse, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	svc, err := found(v.FindService(req.GetRef()))
	if err != nil {
		return nil, err
	}
	if _, _, err = s.write(ctx, state.RemoveService{ID: svc.ID}); err != nil {
		return nil, err
	}
	return &pb.RemoveServiceResponse{}, nil
}

// ListTasks answers with tasks, of one service or one node if the request names them, and their endpoints.
func (s *Server) ListTasks(ctx context.Context, req *pb.ListTasksRequest) (*pb.ListTasksResponse, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	tasks := v.Tasks()
	if req.GetService() != "" {
		svc, err := found(v.FindService(req.GetService()))
		if err != nil {
			return nil, err
		}
		tasks = v.TasksByService(svc.ID)
	}
	if req.GetNode() != "" {
		n, err := found(v.FindNode(req.GetNode()))
		if err != nil {
			return nil, err
		}
		tasks = filter(tasks, func(t swarmnet.Task) bool { return t.Node == n.ID })
	}
	out := &pb.ListTasksResponse{}
	for t := range tasks {
		out.Tasks = append(out.Tasks, wire.TaskToProto(t))
		out.Endpoints = append(out.Endpoints, list(v.EndpointsByTask(t.ID), wire.EndpointToProto)...)
	}
	return out, nil
}
