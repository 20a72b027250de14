package session

import (
	"context"
	"errors"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// answer finds the answer to a manager's question and has it sent, on the stream that the question came by: ctx ends with that.
func (s *Session) answer(ctx context.Context, q *pb.Question) {
	a := &pb.Answer{Id: q.GetId()}
	err := errors.New("its daemon does not know the question: does it run the same version?")
	if q.GetDiff() && s.cfg.Diff != nil {
		d, derr := s.cfg.Diff(ctx)
		a.What, err = &pb.Answer_Diff{Diff: wire.NodeDiffToProto(d)}, derr
	}
	if err != nil {
		a.What = &pb.Answer_Error{Error: err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() == nil {
		s.answers = append(s.answers, a)
		poke(s.send)
	}
}
