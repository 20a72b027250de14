package session

import (
	"context"
	"net/netip"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (m *manager) Attach(_ context.Context, r *pb.AttachRequest) (*pb.AttachResponse, error) {
	if r.GetAttachment().GetNetwork() == "closed" {
		return nil, status.Error(codes.FailedPrecondition, "network closed is not attachable")
	}
	return &pb.AttachResponse{
		Network: wire.NetworkToProto(swarmnet.Network{ID: "net", Spec: swarmnet.NetworkSpec{Name: r.GetAttachment().GetNetwork()}}),
		Endpoint: wire.EndpointToProto(swarmnet.Endpoint{ID: "ep", Network: "net", Task: swarmnet.TaskID(r.GetSandbox()),
			Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.9/24")}}),
		Revision: 8,
	}, nil
}

func (m *manager) Detach(_ context.Context, r *pb.DetachRequest) (*pb.DetachResponse, error) {
	if r.GetSandbox() != "box" || r.GetNetwork() != "net" {
		return nil, status.Error(codes.InvalidArgument, "asked for something else")
	}
	return &pb.DetachResponse{}, nil
}

// The first manager of the list is away: the call goes to the next one, and returns when the assignments hold what it got.
func TestAttach(t *testing.T) {
	m := newManager(t)
	s := startSession(t, "", "127.0.0.1:1", m.addr)
	tk := within(t, "a stream", m.streams)
	tk.welcome(t, 1)
	old := swarmnet.EmptyAssignmentSet()
	old.Revision = 7
	tk.complete(t, old)
	waitRevision(t, s, 7)
	type result struct {
		Attachment
		err error
	}
	done := make(chan result, 1)
	go func() {
		a, err := s.Attach(t.Context(), "box", "box", swarmnet.NetworkAttachment{Network: "app"}, "")
		done <- result{a, err}
	}()
	set := swarmnet.EmptyAssignmentSet()
	set.Revision = 8
	set.Endpoints["ep"] = swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{ID: "ep"}}
	tk.complete(t, set)
	got := within(t, "the attachment", done)
	if got.err != nil || got.Endpoint.Task != "box" || got.Network.Spec.Name != "app" {
		t.Fatalf("%+v", got)
	}
	if r := s.Read(); r.Set.Revision != 8 {
		t.Fatalf("it returned at revision %d", r.Set.Revision)
	}
	if _, err := s.Attach(t.Context(), "box", "box", swarmnet.NetworkAttachment{Network: "closed"}, ""); status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("a refusal: %v", err)
	}
	if err := s.Detach(t.Context(), "box", "net"); err != nil {
		t.Fatal(err)
	}
}

func TestAttachWithoutManagers(t *testing.T) {
	for _, managers := range [][]string{nil, {"127.0.0.1:1"}} {
		s := startSession(t, "", managers...)
		if _, err := s.Attach(t.Context(), "box", "box", swarmnet.NetworkAttachment{Network: "app"}, ""); status.Code(err) != codes.Unavailable {
			t.Errorf("%v: %v", managers, err)
		}
	}
}

// A sandbox outside services runs again after it has ended; its last report counts, whatever the one before said.
func TestOutboxAgain(t *testing.T) {
	var o Outbox
	o.Put(Update{Task: "box", Status: swarmnet.TaskStatus{State: swarmnet.TaskShutdown}, Again: true})
	o.Put(Update{Task: "box", Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}, Again: true})
	o.Put(Update{Task: "web", Status: swarmnet.TaskStatus{State: swarmnet.TaskShutdown}})
	o.Put(Update{Task: "web", Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}})
	next := o.Next()
	if len(next) != 2 || next[0].Status.State != swarmnet.TaskRunning || next[1].Status.State != swarmnet.TaskShutdown {
		t.Fatalf("%+v", next)
	}
}
