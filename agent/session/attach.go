package session

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

const (
	// callTimeout is how long one manager may take to answer; long enough for an election.
	callTimeout = 8 * time.Second
	// drainTimeout is for what is answered when all nodes have acknowledged something: as long as managers wait for that, and callTimeout.
	drainTimeout = 18 * time.Second
	// arrivalTimeout is how long an attachment is waited for in the assignments: a stream may be just about to be opened again.
	arrivalTimeout = 2 * time.Second
)

// Attachment is what the managers gave a sandbox on a network of the cluster.
type Attachment struct {
	Network  swarmnet.Network
	Endpoint swarmnet.Endpoint
}

// Attach asks the managers for an endpoint of one of this node's sandboxes on an attachable network, which a.Network names by any reference.
// With service, by name or id, the sandbox joins that if it is an external service which is on the network; the endpoint says whether it has.
// It returns when the assignment set holds the endpoint, or a moment after the managers have given it. The same call again returns the
// same. Errors are the managers', with their gRPC codes; UNAVAILABLE when none answers: then it is not known whether there is an endpoint.
func (s *Session) Attach(ctx context.Context, sandbox swarmnet.TaskID, name string, a swarmnet.NetworkAttachment, service string) (Attachment, error) {
	var resp *pb.AttachResponse
	err := s.ask(ctx, callTimeout, func(ctx context.Context, c pb.DispatcherClient) (err error) {
		resp, err = c.Attach(ctx, &pb.AttachRequest{Sandbox: string(sandbox), Name: name, Attachment: wire.NetworkAttachmentToProto(a), Service: service})
		return err
	})
	if err != nil {
		return Attachment{}, err
	}
	n, err := wire.NetworkFromProto(resp.GetNetwork())
	if err != nil {
		return Attachment{}, status.Errorf(codes.Internal, "the managers' answer: %v", err)
	}
	e, err := wire.EndpointFromProto(resp.GetEndpoint())
	if err != nil {
		return Attachment{}, status.Errorf(codes.Internal, "the managers' answer: %v", err)
	}
	s.await(ctx, resp.GetRevision(), func(set swarmnet.AssignmentSet) bool { _, ok := set.Endpoints[e.ID]; return ok })
	return Attachment{Network: n, Endpoint: e}, nil
}

// Detach gives the endpoint of a sandbox on a network (by id) back. No network: all of the sandbox's; no sandbox either: all of this
// node's. What is not there is detached. Errors are like Attach's.
func (s *Session) Detach(ctx context.Context, sandbox swarmnet.TaskID, network swarmnet.NetworkID) error {
	return s.ask(ctx, callTimeout, func(ctx context.Context, c pb.DispatcherClient) error {
		_, err := c.Detach(ctx, &pb.DetachRequest{Sandbox: string(sandbox), Network: string(network)})
		return err
	})
}

// Drain has the managers take one of this node's sandboxes out of the service that it has joined, on every node. It returns when all have
// acknowledged that, or with the names of those that have not. Errors are like Attach's.
func (s *Session) Drain(ctx context.Context, sandbox swarmnet.TaskID) (silent []string, err error) {
	err = s.ask(ctx, drainTimeout, func(ctx context.Context, c pb.DispatcherClient) error {
		resp, err := c.Drain(ctx, &pb.DrainRequest{Sandbox: string(sandbox)})
		silent = resp.GetSilent()
		return err
	})
	return silent, err
}

// ask calls one manager after the other, beginning with the one that holds the stream, until one answers.
func (s *Session) ask(ctx context.Context, timeout time.Duration, call func(context.Context, pb.DispatcherClient) error) error {
	addrs := s.managers()
	if now := s.Read().Manager; now != "" {
		addrs = append([]string{now}, slices.DeleteFunc(addrs, func(a string) bool { return a == now })...)
	}
	err := status.Error(codes.Unavailable, "this node knows no manager")
	for _, addr := range addrs {
		if err = s.askOne(ctx, addr, timeout, call); err == nil || ctx.Err() != nil {
			return err
		}
		if c := status.Code(err); c != codes.Unavailable && c != codes.DeadlineExceeded {
			return err
		}
	}
	return status.Errorf(codes.Unavailable, "no manager answers: %s", status.Convert(err).Message())
}

func (s *Session) askOne(ctx context.Context, addr string, timeout time.Duration, call func(context.Context, pb.DispatcherClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := s.cfg.Dial(ctx, addr)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	defer conn.Close()
	return call(ctx, pb.NewDispatcherClient(conn))
}

// await waits a moment for a set of a revision or one that has what is looked for.
func (s *Session) await(ctx context.Context, revision uint64, has func(swarmnet.AssignmentSet) bool) {
	ctx, cancel := context.WithTimeout(ctx, arrivalTimeout)
	defer cancel()
	for {
		s.mu.Lock()
		set, newer := s.set, s.newer
		s.mu.Unlock()
		if set.Revision >= revision || has(set) {
			return
		}
		select {
		case <-newer:
		case <-ctx.Done():
			return
		}
	}
}
