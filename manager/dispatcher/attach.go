package dispatcher

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/controlapi"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
	"github.com/swarmnet/swarmnet/rpcauth"
)

// allocateTimeout is how long a sandbox waits for a network that was made just now to get its subnet.
const allocateTimeout = 3 * time.Second

// Attach gives a sandbox of the calling node an endpoint on a network of the cluster. The state decides; the caller's certificate says
// which node it is.
func (s *Server) Attach(ctx context.Context, req *pb.AttachRequest) (*pb.AttachResponse, error) {
	a, err := wire.NetworkAttachmentFromProto(req.GetAttachment())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the attachment is malformed: %v", err)
	}
	if err := s.cfg.Backend.Linearize(ctx); err != nil {
		return nil, err
	}
	n, err := s.allocated(ctx, string(a.Network))
	if err != nil {
		return nil, err
	}
	a.Network = n.ID
	node := rpcauth.Peer(ctx).Node
	results, err := s.cfg.Backend.Propose(ctx, "node:"+string(node), state.CreateAttachment{
		Sandbox: swarmnet.TaskID(req.GetSandbox()), Name: req.GetName(), Node: node, Attachment: a, Service: req.GetService(),
	})
	if err != nil {
		return nil, err
	}
	if err := controlapi.Rejection(results[0]); err != nil {
		return nil, err
	}
	for e := range s.cfg.Backend.View().EndpointsByTask(swarmnet.TaskID(req.GetSandbox())) {
		if string(e.ID) == results[0].ID {
			return &pb.AttachResponse{Network: wire.NetworkToProto(n), Endpoint: wire.EndpointToProto(e), Revision: results[0].Revision}, nil
		}
	}
	return nil, status.Error(codes.Aborted, "the sandbox was detached meanwhile: try again")
}

// allocated finds a network, and waits a moment for its subnet if it has none: who makes a network uses it at once. One that stays
// without is returned as it is, and the state says what is wrong.
func (s *Server) allocated(ctx context.Context, ref string) (swarmnet.Network, error) {
	timeout := time.NewTimer(allocateTimeout)
	defer timeout.Stop()
	for {
		changed := s.cfg.Backend.Changed()
		n, r := s.cfg.Backend.View().FindNetwork(ref)
		if r != nil {
			return n, controlapi.Rejection(state.Result{Err: r})
		}
		if n.Allocated() {
			return n, nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return n, nil
		case <-ctx.Done():
			return n, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// Drain takes a sandbox of the calling node out of the service that it has joined, and returns when every node has acknowledged that, or has
// not for too long.
func (s *Server) Drain(ctx context.Context, req *pb.DrainRequest) (*pb.DrainResponse, error) {
	node := rpcauth.Peer(ctx).Node
	results, err := s.cfg.Backend.Propose(ctx, "node:"+string(node), state.DrainAttachment{Sandbox: swarmnet.TaskID(req.GetSandbox()), Node: node})
	if err != nil {
		return nil, err
	}
	if err := controlapi.Rejection(results[0]); err != nil {
		return nil, err
	}
	t, ok := s.cfg.Backend.View().Task(swarmnet.TaskID(results[0].ID))
	if !ok { // it has joined none
		return &pb.DrainResponse{}, nil
	}
	silent, err := s.heard(ctx, t.Balanced)
	return &pb.DrainResponse{Silent: silent}, err
}

// heardLook is how often it is looked whether a node that does not answer counts no more.
const heardLook = 500 * time.Millisecond

// heard waits until every node has acknowledged a revision, and returns the names of those that have not within state.DrainFor.
func (s *Server) heard(ctx context.Context, revision uint64) ([]string, error) {
	timeout, look := time.NewTimer(state.DrainFor), time.NewTicker(heardLook)
	defer timeout.Stop()
	defer look.Stop()
	for {
		changed := s.cfg.Backend.Changed()
		silent := s.cfg.Backend.View().Silent(revision, time.Now())
		if len(silent) == 0 {
			return nil, nil
		}
		select {
		case <-changed:
		case <-look.C:
		case <-timeout.C:
			return silent, nil
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// Detach takes endpoints of the calling node's sandboxes away.
func (s *Server) Detach(ctx context.Context, req *pb.DetachRequest) (*pb.DetachResponse, error) {
	node := rpcauth.Peer(ctx).Node
	results, err := s.cfg.Backend.Propose(ctx, "node:"+string(node), state.RemoveAttachment{
		Sandbox: swarmnet.TaskID(req.GetSandbox()), Node: node, Network: swarmnet.NetworkID(req.GetNetwork()),
	})
	if err != nil {
		return nil, err
	}
	if err := controlapi.Rejection(results[0]); err != nil {
		return nil, err
	}
	return &pb.DetachResponse{Revision: results[0].Revision}, nil
}
