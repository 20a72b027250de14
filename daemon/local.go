package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/internal/version"
	"github.com/swarmnet/swarmnet/manager"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// localServer is the API of this node itself.
type localServer struct {
	pb.UnimplementedLocalServer
	d *daemon
}

// formTimeout bounds how long a node waits to become a working member before the attempt is undone.
const formTimeout = 30 * time.Second

func (s *localServer) Init(ctx context.Context, req *pb.InitRequest) (*pb.InitResponse, error) {
	d := s.d
	d.commands.Lock()
	defer d.commands.Unlock()
	if err := d.refuseMember("cluster init"); err != nil {
		return nil, err
	}
	spec, err := wire.ClusterSpecFromProto(req.GetSpec())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	spec = clusterSpec(spec)
	if err := spec.Validate(); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	addrs, err := d.cfg.resolveAddresses(req.GetListenAddr(), req.GetAdvertiseAddr())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	now := time.Now()
	cluster, err := ca.NewCluster(spec, now)
	if err != nil {
		return nil, err
	}
	id, node, err := ca.FirstManager(cluster, d.cfg.Hostname, availability(req.GetAvailability()), now)
	if err != nil {
		return nil, err
	}
	if err := d.clearRemains(); err != nil {
		return nil, err
	}
	rec := record{Addresses: addrs, Managers: []string{addrs.Advertise}}
	m := newMember(d, id, rec, &manager.Bootstrap{Cluster: cluster, Node: node})
	if err := d.form(ctx, m); err != nil {
		return nil, err
	}
	resp := &pb.InitResponse{NodeId: string(id.NodeID()), AdvertiseAddr: addrs.Advertise}
	resp.WorkerToken, _ = ca.TokenFor(cluster, swarmnet.RoleWorker)
	resp.ManagerToken, _ = ca.TokenFor(cluster, swarmnet.RoleManager)
	return resp, nil
}

func (s *localServer) JoinCluster(ctx context.Context, req *pb.JoinClusterRequest) (*pb.JoinClusterResponse, error) {
	d := s.d
	d.commands.Lock()
	defer d.commands.Unlock()
	if err := d.refuseMember("cluster join"); err != nil {
		return nil, err
	}
	if len(req.GetRemotes()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "a manager's address HOST:PORT is missing")
	}
	if _, err := ca.ParseToken(req.GetToken()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	addrs, err := d.cfg.resolveAddresses(req.GetListenAddr(), req.GetAdvertiseAddr())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	joined, err := ca.Join(ctx, req.GetRemotes(), req.GetToken(), d.cfg.Hostname, availability(req.GetAvailability()))
	if err != nil {
		if _, ok := status.FromError(err); ok {
			return nil, err
		}
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	if err := d.clearRemains(); err != nil {
		return nil, err
	}
	managers := joined.Managers
	if len(managers) == 0 {
		managers = req.GetRemotes()
	}
	m := newMember(d, joined.Identity, record{Addresses: addrs, Managers: managers}, nil)
	if err := d.form(ctx, m); err != nil {
		return nil, err
	}
	return &pb.JoinClusterResponse{NodeId: string(joined.Identity.NodeID()), Role: pb.Role(joined.Identity.Role()) + 1}, nil
}

// form makes m the node's membership and keeps it on the disk once it works; if it does not come to work, nothing is left of it.
func (d *daemon) form(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, formTimeout)
	defer cancel()
	d.install(m)
	err := m.awaitReady(ctx)
	if err == nil {
		err = errors.Join(m.id.Save(d.identityDir()), m.keep())
	}
	if err == nil {
		return nil
	}
	undo, cancelUndo := context.WithTimeout(context.WithoutCancel(ctx), formTimeout)
	defer cancelUndo()
	if lerr := m.leave(undo); lerr != nil && !errors.Is(lerr, os.ErrNotExist) {
		d.log.Warn("cannot undo a failed attempt to become a member", "err", lerr)
	}
	return status.Error(codes.FailedPrecondition, err.Error())
}

func (d *daemon) refuseMember(verb string) error {
	if d.current() != nil {
		return status.Errorf(codes.FailedPrecondition, "%s: this node is already part of a cluster: leave it first with `swarmnet cluster leave`", verb)
	}
	return nil
}

// clearRemains removes what an attempt that died halfway has left.
func (d *daemon) clearRemains() error {
	for _, sub := range []string{"agent", "manager", "identity"} {
		if err := os.RemoveAll(filepath.Join(d.cfg.DataDir, sub)); err != nil {
			return fmt.Errorf("cannot clear the data directory: %w", err)
		}
	}
	return nil
}

func availability(a pb.Availability) swarmnet.Availability {
	if a == pb.Availability_AVAILABILITY_UNSPECIFIED {
		return swarmnet.AvailabilityActive
	}
	return swarmnet.Availability(a - 1)
}

func (s *localServer) Leave(ctx context.Context, req *pb.LeaveRequest) (*pb.LeaveResponse, error) {
	d := s.d
	d.commands.Lock()
	defer d.commands.Unlock()
	m := d.current()
	if m == nil {
		return nil, status.Error(codes.FailedPrecondition, "cluster leave: this node is in no cluster")
	}
	if m.id.Role() == swarmnet.RoleManager && !req.GetForce() {
		return nil, status.Error(codes.FailedPrecondition, "cluster leave: this node is a manager, and leaving may cost the cluster its quorum: demote it first with `swarmnet node demote`, or use --force")
	}
	m.giveBack(ctx)
	m.resign(ctx)
	if err := m.leave(ctx); err != nil {
		return nil, err
	}
	return &pb.LeaveResponse{}, nil
}

func (s *localServer) Info(ctx context.Context, _ *pb.InfoRequest) (*pb.InfoResponse, error) {
	d := s.d
	info := &pb.InfoResponse{
		Version: version.Version, Commit: version.Commit, GoVersion: runtime.Version(), Kernel: kernelRelease(),
		Features: d.features, Balancer: d.balancing.String(), BalancerWhy: d.balancing.Why(), Hostname: d.cfg.Hostname,
		Uptime: durationpb.New(time.Since(d.started).Round(time.Second)),
		State:  "inactive",
	}
	d.mu.Lock()
	m, lastErr := d.member, d.lastErr
	if d.agent != nil {
		info.Repaired = d.agent.Repaired()
	}
	d.mu.Unlock()
	if m == nil {
		if lastErr != nil && !errors.Is(lastErr, errLeft) {
			info.State, info.Error = "error", lastErr.Error()
		}
		return info, nil
	}
	m.describe(info)
	return info, nil
}

func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func (s *localServer) Logs(req *pb.LogsRequest, stream grpc.ServerStreamingServer[pb.LogChunk]) error {
	a, err := s.d.awaitAgent(stream.Context())
	if err != nil {
		return err
	}
	if sb, err := s.find(a, req.GetTask()); err == nil && sb.State == swarmnet.SandboxCreated && sb.Started.IsZero() {
		return nil // it has put out nothing yet
	}
	q := executor.LogQuery{Follow: req.GetFollow(), Tail: int(req.GetTail()), Since: moment(req.GetSince()), Until: moment(req.GetUntil())}
	err = a.Logs(stream.Context(), req.GetTask(), q, func(l executor.Line) error {
		return stream.Send(&pb.LogChunk{Data: l.Data, Stderr: l.Stderr, At: timestamppb.New(l.At)})
	})
	if err != nil && stream.Context().Err() == nil {
		return status.Error(codes.NotFound, err.Error())
	}
	return nil
}
