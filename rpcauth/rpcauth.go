// Package rpcauth decides who may call what. The rules are the allow options of the methods in the proto files; a method
// without one may be called by nobody, and so may a method that is in no proto file.
package rpcauth

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/swarmnet/swarmnet/ca"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Rules are the kinds of caller of each method, by its full name (/package.Service/Method).
type Rules map[string][]pb.Caller

// FromProto reads the rules out of the options of every method of a proto package that this program knows.
func FromProto(pkg string) Rules {
	rules := Rules{}
	protoregistry.GlobalFiles.RangeFilesByPackage(protoreflect.FullName(pkg), func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				var allow []pb.Caller
				if o, ok := m.Options().(*descriptorpb.MethodOptions); ok && proto.HasExtension(o, pb.E_Allow) {
					allow, _ = proto.GetExtension(o, pb.E_Allow).([]pb.Caller)
				}
				rules[fmt.Sprintf("/%s/%s", s.FullName(), m.Name())] = allow
			}
		}
		return true
	})
	return rules
}

// Allows reports whether a kind of caller may call a method. CALLER_ANYONE in a rule opens it to strangers only by that
// name: nodes and admins are named apart.
func (r Rules) Allows(method string, c pb.Caller) bool {
	return c != pb.Caller_CALLER_UNSPECIFIED && slices.Contains(r[method], c)
}

// Members says whether a node that shows a valid certificate is still what the certificate says: it returns the kind of
// caller that the node counts as, or an error for the caller (a removed node).
type Members interface {
	KindOf(ctx context.Context, p ca.Peer, method string) (ca.Kind, error)
}

// Guard authorises calls.
type Guard struct {
	Rules   Rules
	Members Members // nil: what a certificate says is believed
}

type peerKey struct{}

// Peer returns the authorised caller of the call that ctx belongs to.
func Peer(ctx context.Context) ca.Peer {
	p, _ := ctx.Value(peerKey{}).(ca.Peer)
	return p
}

// WithPeer returns a context of a call by p, for calls that do not come through a Guard.
func WithPeer(ctx context.Context, p ca.Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// Authorise decides on one call and returns its context, from which Peer reads the caller.
func (g Guard) Authorise(ctx context.Context, method string) (context.Context, error) {
	p, err := ca.PeerFromContext(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "the caller is not known: %v", err)
	}
	if p.IsNode() && g.Members != nil {
		kind, err := g.Members.KindOf(ctx, p, method)
		if err != nil {
			return nil, err
		}
		p.Kind = kind
	}
	if !g.Rules.Allows(method, p.Kind.Caller()) {
		name := method[strings.LastIndexByte(method, '.')+1:]
		if p.Kind == ca.KindNone {
			return nil, status.Errorf(codes.Unauthenticated, "%s needs a certificate of this cluster", name)
		}
		return nil, status.Errorf(codes.PermissionDenied, "%s may not call %s", p.Kind, name)
	}
	return WithPeer(ctx, p), nil
}

// Unary is the guard as an interceptor.
func (g Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := g.Authorise(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// Stream is the guard as an interceptor.
func (g Guard) Stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := g.Authorise(s.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, stream{s, ctx})
}

// Options make a gRPC server ask the guard.
func (g Guard) Options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.Unary), grpc.ChainStreamInterceptor(g.Stream)}
}

type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }
