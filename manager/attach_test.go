package manager

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// A worker attaches a sandbox: its assignments hold a task without a service and the endpoint, another node on the network sees a
// peer with the sandbox's name and aliases; what the state refuses, and whose node it is, the caller is told.
func TestS02_Attach(t *testing.T) {
	m := initCluster(t)
	one, two := m.enrol(t, swarmnet.RoleWorker, "w1"), m.enrol(t, swarmnet.RoleWorker, "w2")
	here, there := startAgent(t, one, m), startAgent(t, two, m)
	first, second := pb.NewDispatcherClient(m.connect(t, one)), pb.NewDispatcherClient(m.connect(t, two))
	control := m.admin(t)
	for _, spec := range []*pb.NetworkSpec{{Name: "app", Attachable: true}, {Name: "closed"}} {
		if _, err := control.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: spec}); err != nil {
			t.Fatal(err)
		}
	}
	box, other := swarmnet.NewID(), swarmnet.NewID()
	attach := func(c pb.DispatcherClient, id, name, network string, addr ...byte) (*pb.AttachResponse, error) {
		a := &pb.NetworkAttachment{Network: network, Aliases: []string{"db-" + name}}
		if addr != nil {
			a.Addrs = [][]byte{addr}
		}
		return c.Attach(t.Context(), &pb.AttachRequest{Sandbox: id, Name: name, Attachment: a})
	}
	// The network was made just now: the call waits for its subnet.
	got, err := attach(first, box, "box", "app")
	if err != nil || len(got.GetEndpoint().GetAddrs()) != 1 || got.GetNetwork().GetSpec().GetName() != "app" {
		t.Fatalf("got %v, %v", got, err)
	}
	if again, err := attach(first, box, "box", "app"); err != nil || again.GetEndpoint().GetId() != got.GetEndpoint().GetId() {
		t.Fatalf("again: %v, %v", again, err)
	}
	if _, err := attach(second, other, "other", "app"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id, network string
		addr        []byte
		code        codes.Code
		want        string
	}{
		{swarmnet.NewID(), "closed", nil, codes.FailedPrecondition, "not attachable"},
		{swarmnet.NewID(), "ingress", nil, codes.FailedPrecondition, "routing mesh"},
		{swarmnet.NewID(), "nothing", nil, codes.NotFound, "network nothing does not exist"},
		{swarmnet.NewID(), "app", got.GetEndpoint().GetAddrs()[0].GetAddr(), codes.FailedPrecondition, "held by sandbox box on node"},
		{box, "app", nil, codes.AlreadyExists, "another node"},
		{"short", "app", nil, codes.InvalidArgument, "not the id"},
	} {
		_, err := attach(second, c.id, "box2", c.network, c.addr...)
		if status.Code(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %s: %v, want %s: %s", c.id, c.network, err, c.code, c.want)
		}
	}
	endpoint := swarmnet.EndpointID(got.GetEndpoint().GetId())
	eventually(t, "both nodes know", func() error {
		mine, err := here.state()
		if err != nil {
			return err
		}
		theirs, err := there.state()
		if err != nil {
			return err
		}
		task, peer := mine.Tasks[swarmnet.TaskID(box)], theirs.Endpoints[endpoint]
		if !task.Standalone() || task.Name() != "box" || len(task.Networks) != 1 || mine.Endpoints[endpoint].Node != mine.Self {
			return fmt.Errorf("its own node has %v, %v", task, mine.Endpoints[endpoint])
		}
		if peer.TaskName != "box" || len(peer.Aliases) != 1 || peer.Aliases[0] != "db-box" || peer.Node != mine.Self {
			return fmt.Errorf("the other node has %v", peer)
		}
		if _, ok := theirs.Tasks[swarmnet.TaskID(box)]; ok {
			return fmt.Errorf("the other node is to run it, too")
		}
		if _, ok := theirs.Nodes[mine.Self]; !ok {
			return fmt.Errorf("the other node does not know its node")
		}
		return nil
	})
	// Another node cannot detach it; its own can, twice.
	if _, err := second.Detach(t.Context(), &pb.DetachRequest{Sandbox: box}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("another node detaches: %v", err)
	}
	for range 2 {
		if _, err := first.Detach(t.Context(), &pb.DetachRequest{Sandbox: box, Network: got.GetNetwork().GetId()}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "both nodes forget", func() error {
		mine, err := here.state()
		if err != nil {
			return err
		}
		theirs, err := there.state()
		if err != nil {
			return err
		}
		if _, ok := mine.Tasks[swarmnet.TaskID(box)]; ok {
			return fmt.Errorf("its node still has it")
		}
		if _, ok := theirs.Endpoints[endpoint]; ok {
			return fmt.Errorf("the other node still has it")
		}
		return nil
	})
}
