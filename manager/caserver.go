package manager

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/manager/controlapi"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
	"github.com/swarmnet/swarmnet/rpcauth"
)

// caServer hands out certificates, with the root key in the state.
type caServer struct {
	pb.UnimplementedCAServer
	m *Manager
}

const adminCertLifetime = 90 * 24 * time.Hour

// Join makes a new node of whoever has a token. A node that asks again, with the same key, is the same node.
func (s *caServer) Join(ctx context.Context, req *pb.JoinRequest) (*pb.Certificate, error) {
	token, err := ca.ParseToken(req.GetToken())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	availability, err := wire.AvailabilityFromProto(req.GetAvailability())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	id, err := ca.NodeIDOf(req.GetCsr())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := s.m.Linearize(ctx); err != nil { // a token that was rotated on another manager must not pass here
		return nil, s.m.rpcError(err)
	}
	cluster, _ := s.m.View().Cluster()
	role, ok := ca.RoleOf(cluster, token)
	if !ok {
		return nil, status.Error(codes.PermissionDenied, "the join token is not valid: it was rotated, or mistyped; `swarmnet cluster join-token` on a manager prints the one in force")
	}
	cert, serial, err := s.sign(cluster, req.GetCsr(), ca.Subject{Cluster: cluster.ID, Node: id, Kind: ca.KindOf(role)}, ca.Lifetime(cluster.Spec, role))
	if err != nil {
		return nil, err
	}
	if _, known := s.m.View().Node(id); !known {
		results, err := s.m.Propose(ctx, "node:"+string(id), state.CreateNode{Node: swarmnet.Node{
			ID: id, Spec: swarmnet.NodeSpec{Role: role, Availability: availability}, Role: role,
			Description: swarmnet.NodeDescription{Hostname: req.GetHostname()}, CertSerial: serial,
		}})
		if err != nil {
			return nil, s.m.rpcError(err)
		}
		if err := controlapi.Rejection(results[0]); err != nil {
			return nil, err
		}
	}
	return s.answer(cluster, cert, id, role), nil
}

// Renew signs for the calling node, with the role that it is to have. A demoted manager gets none until it is out of the
// group: it still needs the one that it has.
func (s *caServer) Renew(ctx context.Context, req *pb.RenewRequest) (*pb.Certificate, error) {
	id := rpcauth.Peer(ctx).Node
	if owner, err := ca.NodeIDOf(req.GetCsr()); err != nil || owner != id {
		return nil, status.Error(codes.InvalidArgument, "the certificate request is not made with the node's own key")
	}
	if err := s.m.Linearize(ctx); err != nil {
		return nil, s.m.rpcError(err)
	}
	view := s.m.View()
	n, ok := view.Node(id)
	if !ok {
		return nil, status.Errorf(codes.PermissionDenied, "node %s is not in the cluster: it was removed", id)
	}
	role := n.Spec.Role
	if role != swarmnet.RoleManager && n.RaftID != 0 {
		return nil, status.Errorf(codes.Unavailable, "node %s is still being taken out of the group of managers: try again in a moment", n.Name())
	}
	cluster, _ := view.Cluster()
	cert, serial, err := s.sign(cluster, req.GetCsr(), ca.Subject{Cluster: cluster.ID, Node: id, Kind: ca.KindOf(role)}, ca.Lifetime(cluster.Spec, role))
	if err != nil {
		return nil, err
	}
	results, err := s.m.Propose(ctx, "node:"+string(id), state.SetNodeCert{ID: id, Role: role, Serial: serial})
	if err != nil {
		return nil, s.m.rpcError(err)
	}
	if err := controlapi.Rejection(results[0]); err != nil {
		return nil, err
	}
	return s.answer(cluster, cert, id, role), nil
}

// AdminCert signs for a person's CLI.
func (s *caServer) AdminCert(ctx context.Context, req *pb.RenewRequest) (*pb.Certificate, error) {
	cluster, ok := s.m.View().Cluster()
	if !ok {
		return nil, errStarting
	}
	cert, _, err := s.sign(cluster, req.GetCsr(), ca.Subject{Cluster: cluster.ID, Node: "admin", Kind: ca.KindAdmin}, adminCertLifetime)
	if err != nil {
		return nil, err
	}
	return s.answer(cluster, cert, "", swarmnet.RoleWorker), nil
}

func (s *caServer) sign(c swarmnet.Cluster, csr []byte, subject ca.Subject, lifetime time.Duration) (cert []byte, serial string, err error) {
	root, err := ca.OpenRoot(c.CA)
	if err != nil {
		return nil, "", status.Error(codes.Internal, err.Error())
	}
	cert, serial, err = root.Sign(csr, subject, lifetime, time.Now())
	if err != nil {
		return nil, "", status.Error(codes.InvalidArgument, err.Error())
	}
	return cert, serial, nil
}

func (s *caServer) answer(c swarmnet.Cluster, cert []byte, id swarmnet.NodeID, role swarmnet.Role) *pb.Certificate {
	out := &pb.Certificate{Cert: cert, Root: c.CA.RootCert, NodeId: string(id), ClusterId: string(c.ID), Role: wire.RoleToProto(role)}
	for _, p := range s.m.Raft().Members {
		out.Managers = append(out.Managers, p.Addr)
	}
	return out
}
