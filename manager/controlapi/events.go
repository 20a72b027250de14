package controlapi

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Events streams changes from a revision or a time on, until the caller goes away or another time has come. A caller that is too slow is told OUT_OF_RANGE, and
// so is one that comes back too late.
func (s *Server) Events(req *pb.EventsRequest, stream pb.Control_EventsServer) error {
	ctx := stream.Context()
	if err := s.b.Linearize(ctx); err != nil {
		return err
	}
	since := req.GetSince()
	switch {
	case since == 0 && req.GetSinceTime() != nil:
		since = s.b.Retained()
	case since == 0:
		since = s.b.View().Revision()
	}
	var until time.Time
	if req.GetUntil() != nil {
		until = req.GetUntil().AsTime()
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	for {
		over := ctx.Err() != nil // then what has happened before is told, and no more
		changes, upTo, more, err := s.b.Changes(since)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Acknowledgement() || req.GetSinceTime() != nil && c.At.Before(req.GetSinceTime().AsTime()) || !until.IsZero() && !c.At.Before(until) {
				continue
			}
			if err := stream.Send(event(c)); err != nil {
				return err
			}
		}
		since = upTo
		if over {
			return stream.Context().Err()
		}
		if len(changes) > 0 {
			continue // what came while these were sent
		}
		select {
		case <-ctx.Done():
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
