package dispatcher

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// askTimeout bounds how long an agent may take for an answer.
const askTimeout = 10 * time.Second

// asked is a question on its way.
type asked struct {
	q      *pb.Question
	answer chan *pb.Answer // has room for the one
}

// Diff has a node whose session this manager holds compare its kernel with what it should have.
func (s *Server) Diff(ctx context.Context, node swarmnet.NodeID) (*pb.NodeDiff, error) {
	a, err := s.ask(ctx, node, &pb.Question{What: &pb.Question_Diff{Diff: true}})
	return a.GetDiff(), err
}

// ask asks an agent, and returns when it answers or its session ends.
func (s *Server) ask(ctx context.Context, node swarmnet.NodeID, q *pb.Question) (*pb.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s.mu.Lock()
	ss := s.sessions[node]
	s.mu.Unlock()
	gone := status.Error(codes.Unavailable, "the node has no session with this manager: is it up? see `swarmnet node ls`")
	if ss == nil || ss.questions == nil {
		return nil, gone
	}
	x := &asked{q, make(chan *pb.Answer, 1)}
	select {
	case ss.questions <- x:
	case <-ss.done:
		return nil, gone
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	select {
	case a := <-x.answer:
		if why := a.GetError(); why != "" {
			return nil, status.Error(codes.FailedPrecondition, "the node cannot say: "+why)
		}
		return a, nil
	case <-ss.done:
		return nil, gone
	case <-ctx.Done():
		return nil, status.Error(codes.DeadlineExceeded, "the node does not answer: does its daemon run the same version?")
	}
}

// put sends a question and remembers who asked. It and answered are called by the one goroutine that serves the session.
func (ss *session) put(x *asked) error {
	ss.lastQuestion++
	x.q.Id = ss.lastQuestion
	if ss.waiting == nil {
		ss.waiting = map[uint64]*asked{}
	}
	ss.waiting[x.q.Id] = x
	return ss.stream.Send(&pb.ManagerMessage{Message: &pb.ManagerMessage_Question{Question: x.q}})
}

func (ss *session) answered(a *pb.Answer) {
	if x := ss.waiting[a.GetId()]; x != nil {
		x.answer <- a
		delete(ss.waiting, a.GetId())
	}
}
