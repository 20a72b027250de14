package cli

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Events: two things that happened to the node's own.
func (f *fake) Events(r *pb.EventsRequest, s grpc.ServerStreamingServer[pb.Event]) error {
	f.note("local Events", r)
	for _, e := range []*pb.Event{
		{At: timestamppb.New(noon.Add(-time.Minute)), Kind: "sandbox", Action: "die", Id: "aaaaaaaaaaaa0000000000000", Name: "db", Actor: "node", Detail: "exit status 3"},
		{At: timestamppb.New(noon.Add(-time.Second)), Kind: "network", Action: "create", Id: "mmmmmmmmmmmm0000000000000", Name: "mynet", Actor: "admin", Detail: "bridge"},
	} {
		if err := s.Send(e); err != nil {
			return err
		}
	}
	return nil
}

// Events: one thing, in between.
func (f *fakeCluster) Events(r *pb.EventsRequest, s grpc.ServerStreamingServer[pb.Event]) error {
	if f.err != nil {
		return f.err
	}
	return s.Send(&pb.Event{At: timestamppb.New(noon.Add(-30 * time.Second)), Revision: 7, Kind: "service", Action: "update", Id: "wwwwwwwwwwww0000000000000", Name: "web", Actor: "admin"})
}
