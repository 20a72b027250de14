package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/pulse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// welcomeTimeout is how long a manager may take from the attempt to connect to its Welcome.
const welcomeTimeout = 3 * time.Second

// errRenewed ends a stream for the next to begin with what the node says of itself now.
var errRenewed = errors.New("the node's description has changed")

type client = pb.Dispatcher_SessionClient

// stream holds one conversation until it breaks. welcomed says that the manager accepted us.
func (s *Session) stream(ctx context.Context, addr string, save chan<- struct{}) (welcomed bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(welcomeTimeout, func() { cancel(fmt.Errorf("no answer within %s", welcomeTimeout)) })
	defer late.Stop()
	conn, err := s.cfg.Dial(ctx, addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	st, err := pb.NewDispatcherClient(conn).Session(ctx)
	if err != nil {
		return false, because(ctx, err)
	}
	select {
	case <-s.renew: // this stream tells it
	default:
	}
	hello := &pb.Hello{Description: wire.NodeDescriptionToProto(s.cfg.Describe()), Epoch: s.Read().Epoch}
	if err := st.Send(&pb.AgentMessage{Message: &pb.AgentMessage_Hello{Hello: hello}}); err != nil {
		_, err = st.Recv() // Send says EOF only; Recv has the status
		return false, because(ctx, err)
	}
	m, err := st.Recv()
	if err != nil {
		return false, because(ctx, err)
	}
	w := m.GetWelcome()
	if w == nil {
		return false, errors.New("the manager does not begin with a welcome")
	}
	if !late.Stop() {
		return false, because(ctx, context.Canceled)
	}
	s.begin(addr, w.GetEpoch())
	defer s.ended()

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := s.sendAll(ctx, st, w.GetHeartbeatPeriod().AsDuration())
		if err != nil {
			cancel(err) // the receiving side waits on the stream's own context
		}
		return err
	})
	ask := func(q *pb.Question) { g.Go(func() error { s.answer(ctx, q); return nil }) }
	g.Go(func() error { return s.receiveAll(st, save, ask) })
	return true, g.Wait()
}

// because prefers our own reason for ending a stream to "context canceled".
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (s *Session) begin(addr string, epoch uint64) {
	s.mu.Lock()
	s.manager, s.epoch = addr, epoch
	s.outbox.NewStream()
	s.resync, s.untold, s.answers = false, s.ailing, nil
	s.mu.Unlock()
	s.cfg.Logger.Info("session with a manager", "manager", addr, "epoch", epoch)
	poke(s.changed)
	poke(s.send)
}

func (s *Session) ended() {
	s.mu.Lock()
	s.manager = ""
	s.mu.Unlock()
	poke(s.changed)
}

// sendAll sends what is due, and a heartbeat every period, up to half of one sooner.
func (s *Session) sendAll(ctx context.Context, st client, period time.Duration) error {
	if period <= 0 {
		period = time.Second
	}
	var acknowledged uint64
	beat := time.NewTimer(0)
	defer beat.Stop()
	for {
		var out []*pb.AgentMessage
		select {
		case <-ctx.Done():
			return st.CloseSend()
		case <-s.renew:
			return errRenewed
		case <-beat.C:
			beat.Reset(max(pulse.In(period), period/2))
			out = append(out, &pb.AgentMessage{Message: &pb.AgentMessage_Heartbeat{Heartbeat: &pb.Heartbeat{}}})
		case <-s.send:
			out = s.due(&acknowledged)
		}
		for _, m := range out {
			if err := st.Send(m); err != nil {
				return nil // the receiving side has the reason
			}
		}
	}
}

// due collects what the managers are to be told.
func (s *Session) due(acknowledged *uint64) []*pb.AgentMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*pb.AgentMessage
	if s.resync {
		s.resync = false
		out = append(out, &pb.AgentMessage{Message: &pb.AgentMessage_Resync{Resync: &pb.Resync{}}})
	}
	if s.untold {
		s.untold = false
		m := &pb.DegradedPorts{Ports: wire.DegradedPortsToProto(s.ports)}
		out = append(out, &pb.AgentMessage{Message: &pb.AgentMessage_DegradedPorts{DegradedPorts: m}})
	}
	if updates := s.outbox.Next(); updates != nil {
		m := &pb.TaskStatuses{}
		for _, u := range updates {
			m.Updates = append(m.Updates, &pb.TaskStatusUpdate{Task: string(u.Task), Status: wire.TaskStatusToProto(u.Status)})
		}
		out = append(out, &pb.AgentMessage{Message: &pb.AgentMessage_TaskStatuses{TaskStatuses: m}})
	}
	for _, a := range s.answers {
		out = append(out, &pb.AgentMessage{Message: &pb.AgentMessage_Answer{Answer: a}})
	}
	s.answers = nil
	if s.applied > *acknowledged {
		*acknowledged = s.applied
		out = append(out, &pb.AgentMessage{Message: &pb.AgentMessage_Applied{Applied: &pb.Applied{Revision: s.applied}}})
	}
	return out
}

// receiveAll folds what the manager sends, and hands its questions to ask, until the stream breaks; it never returns nil.
func (s *Session) receiveAll(st client, save chan<- struct{}, ask func(*pb.Question)) error {
	var f Fold
	asked := false // for a complete set, since a gap
	for {
		m, err := st.Recv()
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *pb.ManagerMessage_Complete:
			set, err := wire.AssignmentSetFromProto(m.Complete)
			if err != nil {
				return fmt.Errorf("assignments: %w", err)
			}
			f.Complete(set)
			asked = false
		case *pb.ManagerMessage_Delta:
			d, err := wire.DeltaFromProto(m.Delta)
			if err != nil {
				return fmt.Errorf("assignments: %w", err)
			}
			if !f.Delta(d) {
				if !asked {
					asked = true
					s.askForAll()
				}
				continue
			}
		case *pb.ManagerMessage_StatusesCommitted:
			s.mu.Lock()
			s.outbox.Committed(m.StatusesCommitted.GetCount())
			s.mu.Unlock()
			continue
		case *pb.ManagerMessage_Question:
			ask(m.Question)
			continue
		default:
			continue // of a newer version
		}
		set, _ := f.Set()
		if s.publish(set) {
			poke(save)
		}
	}
}

func (s *Session) askForAll() {
	s.mu.Lock()
	s.resync = true
	s.mu.Unlock()
	poke(s.send)
}

// publish puts a set into force unless it is older than the one there is: a manager that lags behind must not take us back.
func (s *Session) publish(set swarmnet.AssignmentSet) bool {
	s.mu.Lock()
	older := s.have && Older(set, s.set)
	if s.set.Cluster.ID != set.Cluster.ID || s.set.Cluster.Epoch != set.Cluster.Epoch {
		s.applied = 0 // of other revisions
	}
	if !older {
		s.set, s.have, s.live = set, true, true
		close(s.newer)
		s.newer = make(chan struct{})
		s.outbox.Forget(func(id swarmnet.TaskID) bool { _, ok := set.Tasks[id]; return !ok })
	}
	s.mu.Unlock()
	if !older {
		poke(s.changed)
	}
	return !older
}
