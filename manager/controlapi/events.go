package controlapi

import (
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Events streams changes from a revision on, until the caller goes away. A caller that is too slow is told OUT_OF_RANGE, and
// so is one that comes back too late.
func (s *Server) Events(req *pb.EventsRequest, stream pb.Control_EventsServer) error {
	ctx := stream.Context()
	if err := s.b.Linearize(ctx); err != nil {
		return err
	}
	since := req.GetSince()
	if since == 0 {
		since = s.b.View().Revision()
	}
	for {
		changes, upTo, more, err := s.b.Changes(since)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if err := stream.Send(event(c)); err != nil {
				return err
			}
		}
		since = upTo
		if len(changes) > 0 {
			continue // what came while these were sent
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

func event(c state.Change) *pb.Event {
	e := &pb.Event{
		Revision: c.Revision, At: timestamppb.New(c.At), Kind: string(c.Kind()), Action: c.Action(),
		Id: c.ID(), Name: c.Name(), Actor: c.Actor,
	}
	o := c.After
	if o == nil {
		o = c.Before
	}
	if str, ok := o.(fmt.Stringer); ok {
		e.Detail = str.String()
	}
	return e
}
