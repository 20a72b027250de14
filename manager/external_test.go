package manager

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// A sandbox that has joined an external service is drained when every node has acknowledged that, and only its own node may ask for it.
func TestExternalServiceIsLeftWithEveryNodesWord(t *testing.T) {
	m := initCluster(t)
	one, two := m.enrol(t, swarmnet.RoleWorker, "w1"), m.enrol(t, swarmnet.RoleWorker, "w2")
	here, there := startAgent(t, one, m), startAgent(t, two, m)
	first, second := pb.NewDispatcherClient(m.connect(t, one)), pb.NewDispatcherClient(m.connect(t, two))
	control := m.admin(t)
	if _, err := control.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: &pb.NetworkSpec{Name: "app", Attachable: true}}); err != nil {
		t.Fatal(err)
	}
	made, err := control.CreateService(t.Context(), &pb.CreateServiceRequest{Spec: &pb.ServiceSpec{
		Name: "ext", Mode: pb.ServiceMode_SERVICE_MODE_EXTERNAL, Networks: []*pb.NetworkAttachment{{Network: "app"}}}})
	if err != nil {
		t.Fatal(err)
	}
	join := func(c pb.DispatcherClient, id, name string) (*pb.AttachResponse, error) {
		return c.Attach(t.Context(), &pb.AttachRequest{Sandbox: id, Name: name, Service: "ext", Attachment: &pb.NetworkAttachment{Network: "app"}})
	}
	box, other := swarmnet.NewID(), swarmnet.NewID()
	got, err := join(first, box, "box")
	if err != nil || got.GetEndpoint().GetService() != made.GetId() {
		t.Fatalf("joining: %v, %v", got, err)
	}
	if _, err := join(second, other, "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Drain(t.Context(), &pb.DrainRequest{Sandbox: box}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("another node's sandbox is drained: %v", err)
	}
	there.hush(true)
	done := make(chan error, 1)
	go func() {
		resp, err := first.Drain(t.Context(), &pb.DrainRequest{Sandbox: box})
		if err == nil && len(resp.GetSilent()) > 0 {
			err = fmt.Errorf("no answer from %v", resp.GetSilent())
		}
		done <- err
	}()
	eventually(t, "the node itself to have acknowledged it, and the other not", func() error {
		s := m.View()
		task, _ := s.Task(swarmnet.TaskID(box))
		n, _ := s.Node(here.id.NodeID())
		if task.Desired != swarmnet.DesireDraining || n.Applied < task.Balanced {
			return fmt.Errorf("%s, %s has applied %d", task.Desired, n, n.Applied)
		}
		select {
		case err := <-done:
			t.Fatalf("it is drained without the word of the other node: %v", err)
		default:
		}
		return nil
	})
	there.hush(false)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
