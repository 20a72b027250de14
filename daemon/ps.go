package daemon

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func sandboxToProto(sb swarmnet.Sandbox) *pb.Sandbox {
	m := wire.SandboxToProto(sb)
	m.Service = taskOf(sb)
	return m
}

// taskOf is the service whose task a sandbox is; empty for the node's own, also when they have joined a service.
func taskOf(sb swarmnet.Sandbox) string {
	if sb.Spec.Task.Labels[agent.LabelTask] != string(sb.ID) {
		return ""
	}
	return sb.Spec.Task.Labels[agent.LabelService]
}

func (s *localServer) ListSandboxes(ctx context.Context, req *pb.ListSandboxesRequest) (*pb.ListSandboxesResponse, error) {
	a, err := s.d.awaitAgent(ctx)
	if err != nil {
		return nil, err
	}
	resp := &pb.ListSandboxesResponse{}
	for _, sb := range a.Sandboxes() {
		if req.GetAll() || sb.Active() {
			resp.Sandboxes = append(resp.Sandboxes, sandboxToProto(sb.Sandbox))
		}
	}
	for _, sb := range a.Tasks() {
		if req.GetAll() || sb.State == swarmnet.SandboxRunning {
			resp.Sandboxes = append(resp.Sandboxes, sandboxToProto(sb))
		}
	}
	return resp, nil
}

func (s *localServer) GetSandbox(ctx context.Context, req *pb.ObjectRef) (*pb.Sandbox, error) {
	return s.get(ctx, req.GetRef())
}

func (s *localServer) get(ctx context.Context, ref string) (*pb.Sandbox, error) {
	a, err := s.d.awaitAgent(ctx)
	if err != nil {
		return nil, err
	}
	sb, err := s.find(a, ref)
	if err != nil {
		return nil, err
	}
	return sandboxToProto(sb), nil
}

// find finds a sandbox of the node's own, or a task of a service on it, by id, name, or the beginning of an id.
func (s *localServer) find(a *agent.Agent, ref string) (swarmnet.Sandbox, error) {
	own, err := a.Sandbox(ref)
	if err == nil {
		return own.Sandbox, nil
	}
	var found []swarmnet.Sandbox
	for _, t := range a.Tasks() {
		switch {
		case string(t.ID) == ref || t.Spec.Name == ref:
			return t, nil
		case ref != "" && (strings.HasPrefix(string(t.ID), ref) || strings.HasPrefix(t.Spec.Name, ref)):
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return swarmnet.Sandbox{}, refusal(err)
	case 1:
		return found[0], nil
	}
	return swarmnet.Sandbox{}, status.Errorf(codes.InvalidArgument, "%q begins the names or ids of %d tasks of this node: give more of it", ref, len(found))
}

// ownOnly refuses to command a task of a service, which is the managers'.
func (s *localServer) ownOnly(ctx context.Context, ref string) error {
	sb, a, err := s.task(ctx, ref)
	if err != nil || a == nil {
		return err
	}
	service := taskOf(sb)
	return status.Errorf(codes.FailedPrecondition, "%s is a task of service %s: command the service instead, as with `swarmnet service scale %s=N`", sb.Spec.Name, service, service)
}

// task finds a task of a service on this node; the agent is nil when the reference is to a sandbox of the node's own.
func (s *localServer) task(ctx context.Context, ref string) (swarmnet.Sandbox, *agent.Agent, error) {
	if _, err := s.d.local.Read().Sandbox(ref); err == nil {
		return swarmnet.Sandbox{}, nil, nil
	}
	a, err := s.d.awaitAgent(ctx)
	if err != nil {
		return swarmnet.Sandbox{}, nil, err
	}
	sb, err := s.find(a, ref)
	if err != nil || taskOf(sb) == "" {
		return sb, nil, err
	}
	return sb, a, nil
}
