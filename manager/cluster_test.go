package manager

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/manager/dispatcher"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
	"github.com/swarmnet/swarmnet/rpcauth"
)

var fold = dispatcher.Fold

// adminIdentity gets an admin certificate as the daemon's socket would: by a call that is known to be the local admin's.
func adminIdentity(t *testing.T, r *running) *ca.Identity {
	t.Helper()
	conn := localConn{r}
	cert, key, root, err := ca.AdminCert(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	id, err := ca.ParseIdentity(cert, key, root)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func leaderOf(t *testing.T, ms []*running) (leader *running, others []*running) {
	t.Helper()
	eventually(t, "a leader", func() error {
		leader, others = nil, nil
		for _, m := range ms {
			if m.Raft().IsLeader {
				leader = m
			} else {
				others = append(others, m)
			}
		}
		if leader == nil {
			return errors.New("none leads")
		}
		return nil
	})
	return leader, others
}

func web(network *pb.Network) *pb.CreateServiceRequest {
	return &pb.CreateServiceRequest{Spec: wire.ServiceSpecToProto(swarmnet.ServiceSpec{
		Name: "web", Mode: swarmnet.Replicated, Replicas: 3, Task: swarmnet.TaskSpec{Command: []string{"sleep", "1000"}},
		Networks: []swarmnet.NetworkAttachment{{Network: swarmnet.NetworkID(network.GetSpec().GetName())}},
	})}
}

// TestCluster is the way of a cluster of three managers and a worker: init, join, a network and a service made through a
// follower, run by the worker; then the leader dies, another takes over, and nothing that was acknowledged is lost.
func TestCluster(t *testing.T) {
	m1 := initCluster(t)
	m2, m3 := m1.addManager(t, "m2"), m1.addManager(t, "m3")
	all := []*running{m1, m2, m3}
	leader, followers := leaderOf(t, all)

	worker := startAgent(t, m1.enrol(t, swarmnet.RoleWorker, "w1"), followers[0])
	control := followers[0].admin(t)
	network, err := control.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: &pb.NetworkSpec{Name: "app"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.CreateService(t.Context(), web(network)); err != nil {
		t.Fatal(err)
	}
	tasksRunning(t, control, 3)
	set, err := worker.state()
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Tasks) != 3 || len(set.Networks) == 0 || len(set.Services) != 1 || set.Self != worker.id.NodeID() {
		t.Fatalf("the worker holds %d tasks, %d networks, %d services", len(set.Tasks), len(set.Networks), len(set.Services))
	}

	// The leader dies while writes go on.
	acked := make(chan string, 1000)
	writes, stopWrites := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := 0; writes.Err() == nil; i++ {
			name := fmt.Sprintf("n%d", i)
			spec := &pb.NetworkSpec{Name: name, Driver: swarmnet.DriverOverlay}
			if _, err := control.CreateNetwork(writes, &pb.CreateNetworkRequest{Spec: spec}); err == nil {
				acked <- name
			}
		}
	}()
	waitAcks(t, acked, 10)
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, followers)
	waitAcks(t, acked, len(acked)+10)
	stopWrites()
	<-written
	close(acked)
	for _, m := range followers {
		list, err := m.admin(t).ListNetworks(t.Context(), &pb.ListNetworksRequest{})
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, n := range list.GetNetworks() {
			have[n.GetSpec().GetName()] = true
		}
		for name := range acked {
			if !have[name] {
				t.Errorf("manager %s has lost the acknowledged network %s", m.Addr(), name)
			}
		}
	}
	// The dead one comes back and has everything.
	back := leader.restart(t)
	eventually(t, "the old leader catches up", func() error {
		if err := back.Linearize(t.Context()); err != nil {
			return err
		}
		if a, b := back.View().Hash(), followers[0].View().Hash(); a != b {
			return fmt.Errorf("hash %x, not %x", a, b)
		}
		return nil
	})
}

// waitAcks waits until the channel holds n names.
func waitAcks(t *testing.T, acked chan string, n int) {
	t.Helper()
	eventually(t, "writes are acknowledged", func() error {
		if len(acked) < n {
			return fmt.Errorf("%d of %d", len(acked), n)
		}
		return nil
	})
}

func tasksRunning(t *testing.T, control pb.ControlClient, want int) {
	t.Helper()
	eventually(t, "the tasks run", func() error {
		list, err := control.ListTasks(t.Context(), &pb.ListTasksRequest{Service: "web"})
		if err != nil {
			return err
		}
		n := 0
		for _, task := range list.GetTasks() {
			if task.GetStatus().GetState() == pb.TaskState_TASK_STATE_RUNNING {
				n++
			}
		}
		if n != want {
			return fmt.Errorf("%d of %d run: %v", n, want, list.GetTasks())
		}
		return nil
	})
}

func TestTokens(t *testing.T) {
	m := initCluster(t)
	control := m.admin(t)
	old, err := control.GetJoinToken(t.Context(), &pb.GetJoinTokenRequest{Role: pb.Role_ROLE_WORKER})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := control.GetJoinToken(t.Context(), &pb.GetJoinTokenRequest{Role: pb.Role_ROLE_WORKER, Rotate: true})
	if err != nil {
		t.Fatal(err)
	}
	join := func(token string) error {
		_, err := ca.Join(t.Context(), []string{m.Addr().String()}, token, "w", swarmnet.AvailabilityActive)
		return err
	}
	if err := join(fresh.GetToken()); err != nil {
		t.Fatal(err)
	}
	if err := join(old.GetToken()); err == nil || !strings.Contains(err.Error(), "the join token is not valid") {
		t.Fatalf("a rotated token: %v", err)
	}
	other := initCluster(t)
	if err := join(other.token(t, swarmnet.RoleWorker)); err == nil || !strings.Contains(err.Error(), "not the one that the join token names") {
		t.Fatalf("another cluster's token: %v", err)
	}
}

// A node that was removed is a stranger at once, though its certificate is still valid.
func TestRemovedNodeIsRefused(t *testing.T) {
	m := initCluster(t)
	id := m.enrol(t, swarmnet.RoleWorker, "w1")
	agent := startAgent(t, id, m)
	eventually(t, "the session", func() error {
		if set, err := agent.state(); err != nil || set.Self == "" {
			return fmt.Errorf("no set: %v", err)
		}
		return nil
	})
	control := m.admin(t)
	if _, err := control.RemoveNode(t.Context(), &pb.RemoveNodeRequest{Ref: string(id.NodeID())}); status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("a node that is up was removed without force: %v", err)
	}
	if _, err := control.RemoveNode(t.Context(), &pb.RemoveNodeRequest{Ref: string(id.NodeID()), Force: true}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-agent.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the removed node's session goes on")
	}
	if _, err := agent.state(); status.Code(err) != codes.PermissionDenied {
		t.Fatalf("its session ended with %v", err)
	}
	if err := ca.Renew(t.Context(), m.connect(t, id), id); err == nil || !strings.Contains(err.Error(), "was removed") {
		t.Fatalf("it renewed its certificate: %v", err)
	}
}

// A node that falls silent is disconnected, then down.
func TestSilentNodeGoesDown(t *testing.T) {
	m := initCluster(t)
	id := m.enrol(t, swarmnet.RoleWorker, "w1")
	stream, err := pb.NewDispatcherClient(m.connect(t, id)).Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.AgentMessage{Message: &pb.AgentMessage_Hello{Hello: &pb.Hello{}}}); err != nil {
		t.Fatal(err)
	}
	if w, err := stream.Recv(); err != nil || w.GetWelcome().GetEpoch() != 1 {
		t.Fatalf("got %v, %v", w, err)
	}
	state := func(want swarmnet.NodeState) func() error {
		return func() error {
			if n, _ := m.View().Node(id.NodeID()); n.Status.State != want {
				return fmt.Errorf("the node is %s", n.Status.State)
			}
			return nil
		}
	}
	eventually(t, "ready", state(swarmnet.NodeReady))
	eventually(t, "down", state(swarmnet.NodeDown))
}

// Without a majority nothing is written, and the caller is told how many managers are missing.
func TestNoQuorum(t *testing.T) {
	m1 := initCluster(t)
	m2, m3 := m1.addManager(t, "m2"), m1.addManager(t, "m3")
	control := m1.admin(t)
	m2.stop()
	m3.stop()
	_, err := control.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: &pb.NetworkSpec{Name: "app"}})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "2 of 3 managers are missing") {
		t.Fatalf("got %v", err)
	}
}

// A demoted manager leaves the group, the leader too, and its certificate becomes a worker's.
func TestDemotion(t *testing.T) {
	m1 := initCluster(t)
	m2, m3 := m1.addManager(t, "m2"), m1.addManager(t, "m3")
	for _, m := range []*running{m1, m2, m3} {
		startAgent(t, m.cfg.Identity, m)
	}
	leader, others := leaderOf(t, []*running{m1, m2, m3})
	control := others[0].admin(t)
	id := leader.cfg.Identity
	ready := func() error {
		list, err := control.ListNodes(t.Context(), &pb.ListNodesRequest{})
		if err != nil {
			return err
		}
		for _, n := range list.GetNodes() {
			if n.GetStatus().GetState() != pb.NodeState_NODE_STATE_READY {
				return fmt.Errorf("node %s is %s", n.GetId(), n.GetStatus().GetState())
			}
		}
		return nil
	}
	eventually(t, "all nodes are ready", ready)
	n, err := control.GetNode(t.Context(), &pb.ObjectRef{Ref: string(id.NodeID())})
	if err != nil {
		t.Fatal(err)
	}
	n.Spec.Role = pb.Role_ROLE_WORKER
	if _, err := control.UpdateNode(t.Context(), &pb.UpdateNodeRequest{Ref: n.GetId(), Spec: n.GetSpec()}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-leader.Removed():
	case <-time.After(20 * time.Second):
		t.Fatal("the demoted leader is still in the group")
	}
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, others)
	conn := others[1].connect(t, id)
	eventually(t, "it gets a worker's certificate", func() error {
		if err := ca.Renew(t.Context(), conn, id); err != nil {
			return err
		}
		if id.Role() != swarmnet.RoleWorker {
			return fmt.Errorf("its new certificate says %s", id.Role())
		}
		return nil
	})
	// Nothing of the managers' is open to it any more.
	_, err = pb.NewRaftMembershipClient(others[0].connect(t, id)).Join(t.Context(), &pb.JoinGroupRequest{NodeId: string(id.NodeID()), Addr: "127.0.0.1:1"})
	if status.Code(err) != codes.PermissionDenied {
		t.Fatalf("it may still join the group: %v", err)
	}
}

// localConn calls a manager's CA as the daemon's local socket does.
type localConn struct{ r *running }

func (l localConn) call(ctx context.Context, req *pb.RenewRequest) (*pb.Certificate, error) {
	ctx = rpcauth.WithPeer(ctx, ca.Peer{Subject: ca.Subject{Kind: ca.KindAdmin}, Local: true})
	return l.r.CAServer().AdminCert(ctx, req)
}
