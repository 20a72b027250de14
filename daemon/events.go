package daemon

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Events streams what happens to the node's own, from a time on, until the caller goes away or another time has come.
func (s *localServer) Events(req *pb.EventsRequest, stream grpc.ServerStreamingServer[pb.Event]) error {
	ctx := stream.Context()
	since, until := moment(req.GetSinceTime()), moment(req.GetUntil())
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	after := uint64(0)
	if since.IsZero() {
		after = s.d.local.LastEvent()
	}
	for {
		over := ctx.Err() != nil // then what has happened before is told, and no more
		events, last, more := s.d.local.Events(after)
		after = last
		for _, e := range events {
			if e.At.Before(since) || !until.IsZero() && !e.At.Before(until) {
				continue
			}
			err := stream.Send(&pb.Event{At: timestamppb.New(e.At), Kind: e.Kind, Action: e.Action, Id: e.ID, Name: e.Name, Actor: e.Actor, Detail: e.Detail})
			if err != nil {
				return err
			}
		}
		if over {
			return stream.Context().Err()
		}
		select {
		case <-ctx.Done():
		case <-more:
		}
	}
}
