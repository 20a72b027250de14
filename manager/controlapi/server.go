// Package controlapi is the admin API of the managers: it resolves what requests name, proposes commands, and reads.
//
// The state validates: a command that cannot be is rejected with a reason, which becomes the call's error. Reads are
// linearizable: they wait until this manager's state is as new as any acknowledged write.
package controlapi

import (
	"context"
	"iter"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/manager/raftnode"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/rpcauth"
)

// Backend is the manager, as its API needs it. Its errors carry gRPC codes.
type Backend interface {
	View() *state.State
	Propose(ctx context.Context, actor string, cmds ...state.Command) ([]state.Result, error)
	Linearize(ctx context.Context) error
	// Raft is this manager's view of the group.
	Raft() raftnode.Status
	// Changes returns what changed after a revision, the revision that it leads to, and a channel that is closed when there
	// is more; OUT_OF_RANGE when that is not retained any more.
	Changes(since uint64) (changes []state.Change, upTo uint64, more <-chan struct{}, err error)
	// DiffNode asks a node whose session this manager holds; another manager's it asks by way of that one.
	DiffNode(ctx context.Context, n swarmnet.Node) (*pb.NodeDiff, error)
	// Retained is the revision from which on Changes knows all.
	Retained() uint64
}

// Server implements the Control service.
type Server struct {
	pb.UnimplementedControlServer
	b Backend
}

func New(b Backend) *Server { return &Server{b: b} }

// read returns a state that has every change acknowledged before the call.
func (s *Server) read(ctx context.Context) (*state.State, error) {
	if err := s.b.Linearize(ctx); err != nil {
		return nil, err
	}
	return s.b.View(), nil
}

// write proposes one command and returns the state after it.
func (s *Server) write(ctx context.Context, cmd state.Command) (*state.State, state.Result, error) {
	results, err := s.b.Propose(ctx, actor(ctx), cmd)
	if err != nil {
		return nil, state.Result{}, err
	}
	return s.b.View(), results[0], Rejection(results[0])
}

// actor names the caller in events.
func actor(ctx context.Context) string {
	if p := rpcauth.Peer(ctx); p.Kind != ca.KindNone {
		return p.Actor()
	}
	p, err := ca.PeerFromContext(ctx)
	if err != nil {
		return "unknown"
	}
	return p.Actor()
}

// Rejection is the error of a command that the state has rejected, nil for one that it has accepted.
func Rejection(r state.Result) error { return rejected(r.Err) }

func rejected(r *state.Rejection) error {
	if r == nil {
		return nil
	}
	code := codes.Internal
	switch r.Code {
	case state.InvalidArgument:
		code = codes.InvalidArgument
	case state.NotFound:
		code = codes.NotFound
	case state.AlreadyExists:
		code = codes.AlreadyExists
	case state.FailedPrecondition:
		code = codes.FailedPrecondition
	}
	return status.Error(code, r.Message)
}

func malformed(err error) error { return status.Error(codes.InvalidArgument, err.Error()) }

// found turns the answer of the state's Find methods into Go's usual one.
func found[T any](v T, r *state.Rejection) (T, error) {
	return v, rejected(r)
}

func filter[T any](all iter.Seq[T], keep func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := range all {
			if keep(v) && !yield(v) {
				return
			}
		}
	}
}

func list[T, M any](all iter.Seq[T], to func(T) M) []M {
	var out []M
	for v := range all {
		out = append(out, to(v))
	}
	return out
}
