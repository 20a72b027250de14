package manager

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// open begins a session and returns its stream and what the manager answered to Hello.
func open(t *testing.T, m *running, id *ca.Identity, epoch uint64) (pb.Dispatcher_SessionClient, *pb.ManagerMessage, error) {
	t.Helper()
	stream, err := pb.NewDispatcherClient(m.connect(t, id)).Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.AgentMessage{Message: &pb.AgentMessage_Hello{Hello: &pb.Hello{Epoch: epoch}}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	return stream, answer, err
}

func TestSessionEpochs(t *testing.T) {
	m := initCluster(t)
	id := m.enrol(t, swarmnet.RoleWorker, "w1")
	first, w, err := open(t, m, id, 0)
	if err != nil || w.GetWelcome().GetEpoch() != 1 || w.GetWelcome().GetHeartbeatPeriod().AsDuration() != 300*time.Millisecond {
		t.Fatalf("got %v, %v", w, err)
	}
	// The same start of the agent, on a new stream: the epoch stays, the old stream ends.
	second, w, err := open(t, m, id, 1)
	if err != nil || w.GetWelcome().GetEpoch() != 1 {
		t.Fatalf("got %v, %v", w, err)
	}
	for err == nil {
		_, err = first.Recv()
	}
	if status.Code(err) != codes.Aborted {
		t.Fatalf("the superseded stream ended with %v", err)
	}
	// A new start: another epoch, and the one before is refused.
	_, w, err = open(t, m, id, 0)
	if err != nil || w.GetWelcome().GetEpoch() != 2 {
		t.Fatalf("got %v, %v", w, err)
	}
	for err == nil {
		_, err = second.Recv()
	}
	for _, epoch := range []uint64{1, 3} {
		if _, _, err = open(t, m, id, epoch); status.Code(err) != codes.PermissionDenied {
			t.Fatalf("epoch %d: %v", epoch, err)
		}
	}
}

func TestSessionBeginsWithHello(t *testing.T) {
	m := initCluster(t)
	stream, err := pb.NewDispatcherClient(m.connect(t, m.enrol(t, swarmnet.RoleWorker, "w1"))).Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.AgentMessage{Message: &pb.AgentMessage_Heartbeat{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Fatalf("got %v", err)
	}
}

// A node reports on its own tasks only; what it says of others is acknowledged and changes nothing.
func TestReports(t *testing.T) {
	m := initCluster(t)
	agent := startAgent(t, m.enrol(t, swarmnet.RoleWorker, "w1"), m)
	control := m.admin(t)
	network, err := control.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: &pb.NetworkSpec{Name: "app"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.CreateService(t.Context(), web(network)); err != nil {
		t.Fatal(err)
	}
	tasksRunning(t, control, 3)
	set, err := agent.state()
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := open(t, m, m.enrol(t, swarmnet.RoleWorker, "w2"), 0)
	if err != nil {
		t.Fatal(err)
	}
	failed := wire.TaskStatusToProto(swarmnet.TaskStatus{State: swarmnet.TaskFailed, At: time.Now()})
	var lies []*pb.TaskStatusUpdate
	for task := range set.Tasks {
		lies = append(lies, &pb.TaskStatusUpdate{Task: string(task), Status: failed})
	}
	lies = append(lies, &pb.TaskStatusUpdate{Task: "nothing", Status: failed})
	for range 3 {
		if err := other.Send(&pb.AgentMessage{Message: &pb.AgentMessage_TaskStatuses{TaskStatuses: &pb.TaskStatuses{Updates: lies}}}); err != nil {
			t.Fatal(err)
		}
	}
	for acked := uint64(0); acked < 3; {
		answer, err := other.Recv()
		if err != nil {
			t.Fatal(err)
		}
		acked = max(acked, answer.GetStatusesCommitted().GetCount())
	}
	for task := range set.Tasks {
		if now, ok := m.View().Task(task); !ok || now.Status.State != swarmnet.TaskRunning {
			t.Errorf("task %s is %s by another node's word", task, now.Status.State)
		}
	}
	eventually(t, "the agent's reports are acknowledged", func() error {
		agent.mu.Lock()
		defer agent.mu.Unlock()
		if agent.acks == 0 {
			return fmt.Errorf("none is")
		}
		return nil
	})
}

// The sessions that a manager held are lost with it: its nodes are down unless they come to another one, and what ran on
// them runs elsewhere.
func TestDeadManagersSessions(t *testing.T) {
	m1 := initCluster(t)
	m2, m3 := m1.addManager(t, "m2"), m1.addManager(t, "m3")
	leader, others := leaderOf(t, []*running{m1, m2, m3})
	victim, left := others[0], []*running{leader, others[1]}
	startAgent(t, m1.enrol(t, swarmnet.RoleWorker, "w1"), victim)
	control := leader.admin(t)
	network, err := control.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: &pb.NetworkSpec{Name: "app"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.CreateService(t.Context(), web(network)); err != nil {
		t.Fatal(err)
	}
	tasksRunning(t, control, 3)
	spare := startAgent(t, m1.enrol(t, swarmnet.RoleWorker, "w2"), left[1])
	if err := victim.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tasks run on the other node", func() error {
		set, err := spare.state()
		if err != nil {
			return err
		}
		n := 0
		for _, task := range set.Tasks {
			if task.Status.State == swarmnet.TaskRunning {
				n++
			}
		}
		if n != 3 {
			return fmt.Errorf("%d of 3 do", n)
		}
		return nil
	})
}

// A hundred tasks on three nodes: every change reaches every agent in contiguous deltas, and all run soon.
func TestScale(t *testing.T) {
	m := initCluster(t)
	var agents []*fakeAgent
	for i := range 3 {
		agents = append(agents, startAgent(t, m.enrol(t, swarmnet.RoleWorker, fmt.Sprintf("w%d", i)), m))
	}
	control := m.admin(t)
	network, err := control.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: &pb.NetworkSpec{Name: "app"}})
	if err != nil {
		t.Fatal(err)
	}
	req := web(network)
	svc, err := control.CreateService(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	tasksRunning(t, control, 3)
	svc.Spec.Replicas = 100
	begin := time.Now()
	if _, err := control.UpdateService(t.Context(), &pb.UpdateServiceRequest{Ref: "web", Spec: svc.GetSpec()}); err != nil {
		t.Fatal(err)
	}
	tasksRunning(t, control, 100)
	t.Logf("97 more tasks ran after %s", time.Since(begin))
	want := m.View().Revision()
	for _, a := range agents {
		eventually(t, "every agent knows of all endpoints", func() error {
			set, err := a.state()
			if err != nil {
				return err
			}
			running := 0
			for _, e := range set.Endpoints {
				if e.State == swarmnet.TaskRunning {
					running++
				}
			}
			if running != 100 {
				return fmt.Errorf("%d of 100 at revision %d of %d", running, set.Revision, want)
			}
			return nil
		})
	}
}

// A promoted worker gets a manager's certificate and joins the group.
func TestPromotion(t *testing.T) {
	m1 := initCluster(t)
	id := m1.enrol(t, swarmnet.RoleWorker, "w1")
	conn := m1.connect(t, id)
	join := &pb.JoinGroupRequest{NodeId: string(id.NodeID()), Addr: "127.0.0.1:1"}
	if _, err := pb.NewRaftMembershipClient(conn).Join(t.Context(), join); status.Code(err) != codes.PermissionDenied {
		t.Fatalf("a worker may join the group: %v", err)
	}
	spec := &pb.NodeSpec{Role: pb.Role_ROLE_MANAGER}
	if _, err := m1.admin(t).UpdateNode(t.Context(), &pb.UpdateNodeRequest{Ref: "w1", Spec: spec}); err != nil {
		t.Fatal(err)
	}
	if err := ca.Renew(t.Context(), conn, id); err != nil {
		t.Fatal(err)
	}
	if id.Role() != swarmnet.RoleManager {
		t.Fatalf("its new certificate says %s", id.Role())
	}
	m2 := start(t, Config{Identity: id, JoinVia: []string{m1.Addr().String()}})
	m2.waitReady(t)
	if n := nodeOf(m2, id); n.Role != swarmnet.RoleManager || n.RaftID == 0 {
		t.Fatalf("the node is %s, member %d", n.Role, n.RaftID)
	}
}
