package manager

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
)

// members holds certificates against the nodes in the state: a removed node's counts for nothing, a demoted one's as a
// worker's.
type members struct{ m *Manager }

func (s members) KindOf(ctx context.Context, p ca.Peer, method string) (ca.Kind, error) {
	// Raft itself knows its members, and a manager that has fallen behind must not judge by its old state those who would
	// bring it the new one.
	if strings.HasPrefix(method, "/swarmnet.v1.Raft/") {
		return p.Kind, nil
	}
	if kind, ok := s.kind(p); ok {
		return kind, nil
	}
	if err := s.m.Linearize(ctx); err != nil {
		return ca.KindNone, s.m.rpcError(err)
	}
	kind, ok := s.kind(p)
	if !ok && kind == ca.KindNone {
		return ca.KindNone, status.Errorf(codes.PermissionDenied, "node %s is not in the cluster: it was removed", p.Node)
	}
	return kind, nil
}

// kind is what a node counts as; ok is false if a newer state may say more of it.
func (s members) kind(p ca.Peer) (kind ca.Kind, ok bool) {
	n, there := s.m.View().Node(p.Node)
	switch {
	case !there:
		return ca.KindNone, false
	case p.Kind == ca.KindManager && n.Spec.Role != swarmnet.RoleManager && n.RaftID == 0:
		return ca.KindWorker, false
	}
	return p.Kind, true
}
