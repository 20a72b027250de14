package dispatcher

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"golang.org/x/sync/errgroup"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// session is one agent's stream.
type session struct {
	server *Server
	node   swarmnet.NodeID
	stream pb.Dispatcher_SessionServer
	in     *inbox
	cancel context.CancelCauseFunc
	done   chan struct{}

	feed    Feed
	reports *reports

	questions    chan *asked // nil: nobody to ask
	lastQuestion uint64
	waiting      map[uint64]*asked // for their answers, by the question's id
}

// open puts the session into the state and greets the agent.
func (ss *session) open(ctx context.Context, desc swarmnet.NodeDescription, epoch uint64) error {
	if err := ss.admit(ctx, epoch); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	epoch, err := openSession(ctx, ss.server.cfg, ss.node, desc, epoch)
	if err != nil {
		return err
	}
	ss.feed = Feed{Manager: ss.server.cfg.Self, Node: ss.node, Epoch: epoch}
	ss.reports = newReports(ss.server.cfg.Backend, ss.node, epoch)
	return ss.stream.Send(&pb.ManagerMessage{Message: &pb.ManagerMessage_Welcome{
		Welcome: &pb.Welcome{Epoch: epoch, HeartbeatPeriod: durationpb.New(ss.period())},
	}})
}

// admit checks that the node is in the cluster and that the epoch it claims is its own. This manager may be behind.
func (ss *session) admit(ctx context.Context, epoch uint64) error {
	check := func() error {
		n, ok := ss.server.cfg.Backend.View().Node(ss.node)
		switch {
		case !ok:
			return status.Errorf(codes.PermissionDenied, "node %s is not in the cluster: it was removed, or never joined", ss.node)
		case epoch != 0 && epoch != n.Epoch:
			return status.Errorf(codes.PermissionDenied, "epoch %d is not the node's, which is %d: another start of its agent has taken over", epoch, n.Epoch)
		}
		return nil
	}
	if check() == nil {
		return nil
	}
	if err := ss.server.cfg.Backend.Linearize(ctx); err != nil {
		return status.Errorf(codes.Unavailable, "%v", err)
	}
	return check()
}

func (ss *session) period() time.Duration {
	if c, _ := ss.server.cfg.Backend.View().Cluster(); c.Spec.HeartbeatPeriod > 0 {
		return c.Spec.HeartbeatPeriod
	}
	return swarmnet.DefaultClusterSpec().HeartbeatPeriod
}

// run serves the open session.
func (ss *session) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ss.reports.run(ctx) })
	g.Go(func() error { return ss.serve(ctx) })
	return g.Wait()
}

// missed is after how many heartbeat periods of silence an agent counts as gone.
const missed = 3

func (ss *session) serve(ctx context.Context) error {
	backend := ss.server.cfg.Backend
	changed := backend.Changed()
	if err := ss.feed.Check(ss.view()); err != nil {
		return err
	}
	if err := ss.sendComplete(); err != nil {
		return err
	}
	silence := time.NewTimer(missed * ss.period())
	defer silence.Stop()
	var flush <-chan time.Time // set while changes are gathered
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ss.in.errs:
			return err
		case <-silence.C:
			return status.Error(codes.DeadlineExceeded, "the agent has gone silent")
		case m := <-ss.in.msgs:
			silence.Reset(missed * ss.period())
			if err := ss.receive(m); err != nil {
				return err
			}
		case <-changed:
			changed = nil
			flush = time.After(ss.server.cfg.Coalesce)
		case <-flush:
			flush, changed = nil, backend.Changed()
			if err := ss.sendDelta(); err != nil {
				return err
			}
		case x := <-ss.questions:
			if err := ss.put(x); err != nil {
				return err
			}
		case n := <-ss.reports.committed:
			m := &pb.ManagerMessage_StatusesCommitted{StatusesCommitted: &pb.StatusesCommitted{Count: n}}
			if err := ss.stream.Send(&pb.ManagerMessage{Message: m}); err != nil {
				return err
			}
		}
	}
}

func (ss *session) receive(m *pb.AgentMessage) error {
	switch {
	case m.GetHello() != nil:
		return status.Error(codes.InvalidArgument, "the session has begun already")
	case m.GetTaskStatuses() != nil:
		return ss.reports.add(m.GetTaskStatuses())
	case m.GetDegradedPorts() != nil:
		return ss.reports.ports(m.GetDegradedPorts())
	case m.GetResync() != nil:
		return ss.sendComplete()
	case m.GetAnswer() != nil:
		ss.answered(m.GetAnswer())
	case m.GetApplied() != nil:
		ss.feed.Applied(m.GetApplied().GetRevision())
		ss.acknowledge()
	}
	return nil // a heartbeat, or what this version does not know: the agent lives
}

func (ss *session) view() *state.State { return ss.server.cfg.Backend.View() }

func (ss *session) sendComplete() error {
	m := &pb.ManagerMessage_Complete{Complete: wire.AssignmentSetToProto(ss.feed.Complete(ss.view()))}
	return ss.stream.Send(&pb.ManagerMessage{Message: m})
}

// sendDelta sends what is new.
func (ss *session) sendDelta() error {
	view := ss.view()
	if err := ss.feed.Check(view); err != nil {
		return err
	}
	d, news := ss.feed.Delta(view)
	if !news {
		ss.acknowledge()
		return nil
	}
	return ss.stream.Send(&pb.ManagerMessage{Message: &pb.ManagerMessage_Delta{Delta: wire.DeltaToProto(d)}})
}
