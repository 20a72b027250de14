package controlapi

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (s *Server) ListNodes(ctx context.Context, _ *pb.ListNodesRequest) (*pb.ListNodesResponse, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	out := &pb.ListNodesResponse{Nodes: list(v.Nodes(), wire.NodeToProto)}
	st := s.b.Raft()
	for _, m := range st.Members {
		n, _ := v.Node(swarmnet.NodeID(m.NodeID))
		out.Managers = append(out.Managers, &pb.ManagerStatus{
			Node: m.NodeID, Leader: m.ID == st.Leader, Learner: !m.Voter, Addr: m.Addr,
			// Only the leader hears of all others; elsewhere a manager counts as reachable while its agent has a session.
			Reachable: m.Active || m.ID == st.Leader || !st.IsLeader && n.Status.State == swarmnet.NodeReady,
		})
	}
	return out, nil
}

func (s *Server) GetNode(ctx context.Context, req *pb.ObjectRef) (*pb.Node, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	n, err := found(v.FindNode(req.GetRef()))
	if err != nil {
		return nil, err
	}
	return wire.NodeToProto(n), nil
}

// DiffNode has a node compare its kernel with what it should have. Which manager holds its session, this manager must know for certain.
func (s *Server) DiffNode(ctx context.Context, req *pb.ObjectRef) (*pb.NodeDiff, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	n, err := found(v.FindNode(req.GetRef()))
	if err != nil {
		return nil, err
	}
	if n.Status.State != swarmnet.NodeReady {
		return nil, status.Errorf(codes.Unavailable, "node %s is %s: it can be asked itself only, with `swarmnet diff` there", n.Name(), n.Status.State)
	}
	return s.b.DiffNode(ctx, n)
}

// UpdateNode changes what is wanted of a node: its role too. A promoted node asks for a new certificate and joins the
// managers; a demoted one is taken out of the group by the leader.
func (s *Server) UpdateNode(ctx context.Context, req *pb.UpdateNodeRequest) (*pb.Node, error) {
	spec, err := wire.NodeSpecFromProto(req.GetSpec())
	if err != nil {
		return nil, malformed(err)
	}
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	n, err := found(v.FindNode(req.GetRef()))
	if err != nil {
		return nil, err
	}
	if v, _, err = s.write(ctx, state.UpdateNode{ID: n.ID, Spec: spec, Version: req.GetVersion()}); err != nil {
		return nil, err
	}
	n, _ = v.Node(n.ID)
	return wire.NodeToProto(n), nil
}

func (s *Server) RemoveNode(ctx context.Context, req *pb.RemoveNodeRequest) (*pb.RemoveNodeResponse, error) {
	v, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	n, err := found(v.FindNode(req.GetRef()))
	if err != nil {
		return nil, err
	}
	if _, _, err = s.write(ctx, state.RemoveNode{ID: n.ID, Force: req.GetForce()}); err != nil {
		return nil, err
	}
	return &pb.RemoveNodeResponse{}, nil
}
