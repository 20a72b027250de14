package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/controlapi"
	"github.com/swarmnet/swarmnet/manager/state"
)

// answerTimeout is how long a caller waits for the group at most: long enough for an election.
const answerTimeout = 5 * time.Second

// Propose has commands committed as one entry and returns what came of each, when they are applied on this manager. Its
// errors carry gRPC codes; a command that the state rejects is a result, not an error.
func (m *Manager) Propose(ctx context.Context, actor string, cmds ...state.Command) ([]state.Result, error) {
	node := m.node.Load()
	if node == nil {
		return nil, errStarting
	}
	data, err := state.EncodeBatch(state.Batch{At: time.Now(), Actor: actor, Commands: cmds})
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	v, err := node.Propose(ctx, data)
	if err != nil {
		return nil, m.rpcError(err)
	}
	results, ok := v.([]state.Result)
	if !ok || len(results) != len(cmds) {
		return nil, status.Errorf(codes.Internal, "the state answered with %T", v)
	}
	return results, nil
}

// Linearize waits until View has every change that was acknowledged, by any manager, before the call.
func (m *Manager) Linearize(ctx context.Context) error {
	node := m.node.Load()
	if node == nil {
		return errStarting
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return m.rpcError(node.Linearize(ctx))
}

// Changes returns what changed after a revision; OUT_OF_RANGE when that is not retained any more.
func (m *Manager) Changes(since uint64) (changes []state.Change, upTo uint64, more <-chan struct{}, err error) {
	changes, upTo, more, err = m.replica.changes.since(since)
	if errors.Is(err, errCompacted) {
		err = status.Errorf(codes.OutOfRange, "what changed since revision %d is not retained any more: list again, and watch from there", since)
	}
	return changes, upTo, more, err
}

// Retained is the revision from which on Changes knows all.
func (m *Manager) Retained() uint64 { return m.replica.changes.retained() }

// Demote makes a worker of a manager: the leader takes it out of the group.
func (m *Manager) Demote(ctx context.Context, actor string, id swarmnet.NodeID) error {
	n, ok := m.View().Node(id)
	if !ok {
		return status.Errorf(codes.NotFound, "node %s is not in the cluster", id)
	}
	spec := n.Spec
	spec.Role = swarmnet.RoleWorker
	results, err := m.Propose(ctx, actor, state.UpdateNode{ID: id, Spec: spec})
	if err != nil {
		return err
	}
	return controlapi.Rejection(results[0])
}

// bootstrap proposes the first objects of a new cluster, unless they are there.
func (m *Manager) bootstrap(ctx context.Context, b Bootstrap) error {
	for ctx.Err() == nil {
		err := m.Linearize(ctx)
		if err == nil {
			if _, ok := m.View().Cluster(); ok {
				return nil
			}
			var results []state.Result
			results, err = m.Propose(ctx, "init",
				state.CreateCluster{Cluster: b.Cluster},
				state.CreateNode{Node: b.Node},
				state.SetRaftID{Node: b.Node.ID, RaftID: firstRaftID},
				state.CreateNetwork{Network: ingressNetwork(b.Cluster.ID)})
			for i, r := range results {
				if r.Err != nil {
					return fmt.Errorf("step %d of the first entry: %w", i+1, r.Err)
				}
			}
			if err == nil {
				return nil
			}
		}
		if status.Code(err) != codes.Unavailable {
			return err
		}
	}
	return nil
}

// ingressNetwork is the network of the routing mesh that a cluster begins with. An admin may replace it.
func ingressNetwork(c swarmnet.ClusterID) swarmnet.Network {
	return swarmnet.Network{
		ID:   swarmnet.NetworkID(swarmnet.DeriveID("ingress", string(c))),
		Spec: swarmnet.NetworkSpec{Name: swarmnet.IngressNetworkName, Driver: swarmnet.DriverOverlay, Ingress: true, IPv6: true},
	}
}
