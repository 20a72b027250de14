package manager

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/controlapi"
	"github.com/swarmnet/swarmnet/manager/raftnode"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/rpcauth"
)

// membershipServer lets managers into the group and out of it. Only the leader does; the others ask it.
type membershipServer struct {
	pb.UnimplementedRaftMembershipServer
	m *Manager
}

const membershipTimeout = 10 * time.Second

// Join gives the calling manager a seat. The leader makes a learner of it, and a voter when it has caught up.
func (s membershipServer) Join(ctx context.Context, req *pb.JoinGroupRequest) (*pb.JoinGroupResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, membershipTimeout)
	defer cancel()
	if conn, err := s.m.toLeader(); err != nil {
		return nil, err
	} else if conn != nil {
		defer conn.Close()
		return pb.NewRaftMembershipClient(conn).Join(ctx, req)
	}
	id := swarmnet.NodeID(req.GetNodeId())
	// Another manager may ask on a node's behalf: it forwards.
	n, ok := s.m.View().Node(id)
	switch {
	case !ok:
		return nil, status.Errorf(codes.PermissionDenied, "node %s is not in the cluster", id)
	case n.Spec.Role != swarmnet.RoleManager:
		return nil, status.Errorf(codes.PermissionDenied, "node %s is not to be a manager: promote it first", n.Name())
	case req.GetAddr() == "":
		return nil, status.Error(codes.InvalidArgument, "the address at which the manager is reached is missing")
	}
	node := s.m.node.Load()
	for _, p := range node.Status().Members {
		if p.NodeID == string(id) { // it asks because it lost its log: what it once acknowledged is gone
			if err := node.Remove(ctx, p.ID); err != nil {
				return nil, s.m.rpcError(err)
			}
		}
	}
	// A number is never used twice: a member that comes back without its log is another one.
	results, err := s.m.Propose(ctx, rpcauth.Peer(ctx).Actor(), state.ClearRaftID{Node: id}, state.AssignRaftID{Node: id})
	if err != nil {
		return nil, s.m.rpcError(err)
	}
	if err := controlapi.Rejection(results[1]); err != nil {
		return nil, err
	}
	raftID := results[1].RaftID
	if err := node.AddLearner(ctx, raftnode.Peer{ID: raftID, NodeID: string(id), Addr: req.GetAddr()}); err != nil {
		return nil, s.m.rpcError(err)
	}
	resp := &pb.JoinGroupResponse{RaftId: raftID, LeaderAddr: s.m.cfg.AdvertiseAddr}
	for _, p := range node.Status().Members {
		resp.Members = append(resp.Members, &pb.RaftMember{RaftId: p.ID, NodeId: p.NodeID, Addr: p.Addr, Voter: p.Voter})
	}
	return resp, nil
}

// Leave is how a manager that is about to leave the cluster goes: its node becomes a worker, and the leader does the rest.
func (s membershipServer) Leave(ctx context.Context, req *pb.LeaveGroupRequest) (*pb.LeaveGroupResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, membershipTimeout)
	defer cancel()
	n, ok := s.m.View().Node(swarmnet.NodeID(req.GetNodeId()))
	if !ok {
		return nil, status.Errorf(codes.NotFound, "node %s is not in the cluster", req.GetNodeId())
	}
	if err := s.m.Demote(ctx, rpcauth.Peer(ctx).Actor(), n.ID); err != nil {
		return nil, err
	}
	return &pb.LeaveGroupResponse{}, nil
}

// toLeader returns a connection to the leader, or nil if this manager is it.
func (m *Manager) toLeader() (*grpc.ClientConn, error) {
	st := m.Raft()
	switch {
	case st.ID == 0:
		return nil, errStarting
	case st.IsLeader:
		return nil, nil
	case st.Leader == 0 || st.LeaderAddr == "":
		return nil, status.Error(codes.Unavailable, noQuorum(st))
	}
	return grpc.NewClient("passthrough:///"+st.LeaderAddr, m.cfg.Identity.DialOptions()...)
}
