package daemon

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent"
)

// wishedService is the external service that a sandbox is to join, as its label says; empty: none.
func wishedService(spec swarmnet.SandboxSpec) string { return spec.Task.Labels[agent.LabelService] }

func notJoined(spec swarmnet.SandboxSpec) error {
	return status.Errorf(codes.FailedPrecondition, "sandbox %s is to join service %s, as its label %s says, and is on none of that service's networks: give --network with one of them, or leave the label out",
		spec.Name, wishedService(spec), agent.LabelService)
}

// rejoin has a sandbox that is about to start join its service again, which may have been made anew meanwhile. It starts without its service
// when no manager answers, or the node has left the cluster.
func (s *localServer) rejoin(ctx context.Context, ref string) error {
	sb, err := s.d.local.Read().Sandbox(ref)
	if err != nil || sb.Active() || wishedService(sb.Spec) == "" || s.d.current() == nil {
		return nil // what is wrong is said by the start
	}
	env, a, err := s.d.env(ctx)
	if err != nil {
		return err
	}
	spec := sb.Spec
	spec.Networks = slices.Clone(spec.Networks)
	_, joined, err := s.attachAll(ctx, a, sb.ID, &spec, &env)
	switch {
	case status.Code(err) == codes.Unavailable:
		s.d.log.Warn("a sandbox starts, and no manager can say whether it is part of its service", "sandbox", spec.Name, "service", wishedService(spec), "err", err)
		return nil
	case err != nil:
		return refusal(err)
	case !joined:
		return notJoined(spec)
	}
	return nil
}

// drain returns when no node sends a sandbox new connections of the service that it has joined, if it has.
func (s *localServer) drain(ctx context.Context, ref string) {
	sb, err := s.d.local.Read().Sandbox(ref)
	if err != nil || wishedService(sb.Spec) == "" {
		return
	}
	if a, err := s.d.awaitAgent(ctx); err == nil {
		a.Drain(ctx, sb.ID)
	}
}
