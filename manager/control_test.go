package manager

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// TestControlErrors is what a person sees who asks for what cannot be: one line, with the right code.
func TestControlErrors(t *testing.T) {
	m := initCluster(t)
	c := m.admin(t)
	ctx := t.Context()
	network := func(spec *pb.NetworkSpec) error {
		_, err := c.CreateNetwork(ctx, &pb.CreateNetworkRequest{Spec: spec})
		return err
	}
	service := func(name, net string, port uint16) error {
		_, err := c.CreateService(ctx, &pb.CreateServiceRequest{Spec: wire.ServiceSpecToProto(swarmnet.ServiceSpec{
			Name: name, Replicas: 1, Task: swarmnet.TaskSpec{Command: []string{"sleep", "1"}},
			Networks: []swarmnet.NetworkAttachment{{Network: swarmnet.NetworkID(net)}},
			Ports:    []swarmnet.PortSpec{{Target: 80, Published: port}},
		})})
		return err
	}
	subnet := func(addr ...byte) []*pb.IPAMConfig {
		return []*pb.IPAMConfig{{Subnet: &pb.Prefix{Addr: addr, Bits: 24}}}
	}
	if err := network(&pb.NetworkSpec{Name: "app", Ipam: subnet(10, 9, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	if err := service("web", "app", 8080); err != nil {
		t.Fatal(err)
	}
	ref := func(s string) *pb.ObjectRef { return &pb.ObjectRef{Ref: s} }
	gateway := &pb.NetworkSpec{Name: "g", Ipam: subnet(10, 8, 0, 0)}
	gateway.Ipam[0].Gateway = []byte{10, 7, 0, 1}
	for _, tc := range []struct {
		name string
		err  error
		code codes.Code
		says string
	}{
		{"a name taken", network(&pb.NetworkSpec{Name: "app"}), codes.AlreadyExists, "app"},
		{"an overlapping subnet", network(&pb.NetworkSpec{Name: "b", Ipam: subnet(10, 9, 0, 0)}), codes.FailedPrecondition, "app"},
		{"a gateway outside its subnet", network(gateway), codes.InvalidArgument, "10.7.0.1"},
		{"a malformed subnet", network(&pb.NetworkSpec{Name: "b", Ipam: subnet(10, 9)}), codes.InvalidArgument, "2 octets"},
		{"no spec", network(nil), codes.InvalidArgument, "name"},
		{"an unknown network", service("db", "nothing", 0), codes.NotFound, "nothing"},
		{"a port in use", service("db", "app", 8080), codes.FailedPrecondition, "web"},
		{"a spec too large", service(strings.Repeat("x", 200<<10), "app", 0), codes.InvalidArgument, "131072"},
		{"a service's name taken", service("web", "app", 0), codes.AlreadyExists, "web"},
		{"a network in use", second(c.RemoveNetwork(ctx, ref("app"))), codes.FailedPrecondition, "web"},
		{"an unknown service", second(c.GetService(ctx, ref("nothing"))), codes.NotFound, "nothing"},
		{"an unknown node", second(c.GetNode(ctx, ref("nothing"))), codes.NotFound, "nothing"},
		{"an unknown service's tasks", second(c.ListTasks(ctx, &pb.ListTasksRequest{Service: "nothing"})), codes.NotFound, "nothing"},
		{"a rollback to nothing", second(c.RollbackService(ctx, ref("web"))), codes.FailedPrecondition, "web"},
		{"no role", second(c.GetJoinToken(ctx, &pb.GetJoinTokenRequest{})), codes.InvalidArgument, "worker or manager"},
		{"the last manager", second(c.UpdateNode(ctx, &pb.UpdateNodeRequest{Ref: "m1", Spec: &pb.NodeSpec{}})), codes.FailedPrecondition, "last manager"},
		{"a manager", second(c.RemoveNode(ctx, &pb.RemoveNodeRequest{Ref: "m1", Force: true})), codes.FailedPrecondition, "demote it first"},
		{"a stale version", second(c.UpdateNode(ctx, &pb.UpdateNodeRequest{Ref: "m1", Spec: &pb.NodeSpec{Role: pb.Role_ROLE_MANAGER}, Version: 999})), codes.FailedPrecondition, "changed meanwhile"},
	} {
		msg := status.Convert(tc.err).Message()
		if status.Code(tc.err) != tc.code || !strings.Contains(msg, tc.says) || strings.Contains(msg, "\n") {
			t.Errorf("%s: got %v; want %s that says %q", tc.name, tc.err, tc.code, tc.says)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestControlReferences(t *testing.T) {
	m := initCluster(t)
	c := m.admin(t)
	n, err := c.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: &pb.NetworkSpec{Name: "app"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{n.GetId(), "app", n.GetId()[:12]} {
		got, err := c.GetNetwork(t.Context(), &pb.ObjectRef{Ref: ref})
		if err != nil || got.GetId() != n.GetId() {
			t.Errorf("%s: got %v, %v", ref, got.GetId(), err)
		}
	}
	cluster, err := c.GetCluster(t.Context(), &pb.GetClusterRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(cluster.GetTokens())+len(cluster.GetGossipKeys())+len(cluster.GetCa().GetRootKey()) != 0 {
		t.Errorf("the cluster's secrets are handed out: %v", cluster)
	}
	nodes, err := c.ListNodes(t.Context(), &pb.ListNodesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if ms := nodes.GetManagers(); len(ms) != 1 || !ms[0].GetLeader() || !ms[0].GetReachable() || ms[0].GetLearner() {
		t.Errorf("managers: %v", ms)
	}
}

// Events go on where a watcher left off, on any manager, each exactly once.
func TestEvents(t *testing.T) {
	m1 := initCluster(t)
	m2 := m1.addManager(t, "m2")
	c := m1.admin(t)
	since := m1.View().Revision()
	make := func(name string) {
		t.Helper()
		if _, err := c.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: &pb.NetworkSpec{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	watch := func(m *running, since uint64) (next func(action, name string) *pb.Event, stop func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := m.admin(t).Events(ctx, &pb.EventsRequest{Since: since})
		if err != nil {
			t.Fatal(err)
		}
		last := since
		return func(action, name string) *pb.Event {
			t.Helper()
			for {
				e, err := stream.Recv()
				if err != nil {
					t.Fatal(err)
				}
				if e.GetRevision() < last {
					t.Fatalf("revision %d came after %d", e.GetRevision(), last)
				}
				last = e.GetRevision()
				if e.GetAction() == action && e.GetName() == name {
					return e
				}
			}
		}, cancel
	}
	make("one")
	next, stop := watch(m1, since)
	first := next("create", "one")
	if first.GetKind() != "network" || first.GetActor() != "admin:admin" || first.GetDetail() == "" || first.GetId() == "" {
		t.Errorf("got %v", first)
	}
	make("two")
	next("create", "two")
	stop()
	next, stop = watch(m2, first.GetRevision())
	defer stop()
	next("create", "two")
	make("three")
	next("create", "three")
}

// Nodes may not speak to the admin API, and strangers to nothing but CA.Join.
func TestCallersAreHeldToTheirKind(t *testing.T) {
	m := initCluster(t)
	node := pb.NewControlClient(m.connect(t, m.enrol(t, swarmnet.RoleManager, "x")))
	if _, err := node.GetCluster(t.Context(), &pb.GetClusterRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a manager's certificate: %v", err)
	}
	worker := pb.NewControlClient(m.connect(t, m.enrol(t, swarmnet.RoleWorker, "w")))
	if _, err := worker.ListNodes(t.Context(), &pb.ListNodesRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a worker's certificate: %v", err)
	}
}

// A manager whose disk was lost comes back as another member of the group.
func TestLostDisk(t *testing.T) {
	m1 := initCluster(t)
	m2, m3 := m1.addManager(t, "m2"), m1.addManager(t, "m3")
	_ = m2
	if err := m3.stop(); err != nil {
		t.Fatal(err)
	}
	before, _ := m1.View().Node(m3.cfg.Identity.NodeID())
	for _, name := range []string{"raft", seatFile} {
		if err := os.RemoveAll(filepath.Join(m3.cfg.DataDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	back := m3.restart(t)
	back.waitReady(t)
	after, _ := back.View().Node(m3.cfg.Identity.NodeID())
	if after.RaftID == 0 || after.RaftID == before.RaftID {
		t.Errorf("it is member %d, and was %d", after.RaftID, before.RaftID)
	}
	eventually(t, "three members", func() error { // raft takes a snapshot over after the state, which says that it is ready
		if st := back.Raft(); len(st.Members) != 3 {
			return fmt.Errorf("%+v", st.Members)
		}
		return nil
	})
}

// A certificate request with another node's key gives no certificate for this one's name.
func TestRenewNeedsTheNodesKey(t *testing.T) {
	m := initCluster(t)
	a, b := m.enrol(t, swarmnet.RoleWorker, "a"), m.enrol(t, swarmnet.RoleWorker, "b")
	before := proto.Clone(wire.NodeToProto(nodeOf(m, b)))
	if err := ca.Renew(t.Context(), m.connect(t, a), b); err == nil || !strings.Contains(err.Error(), "own key") {
		t.Fatalf("got %v", err)
	}
	if after := wire.NodeToProto(nodeOf(m, b)); !proto.Equal(before, after) {
		t.Fatal("the other node was changed")
	}
}

func nodeOf(m *running, id *ca.Identity) swarmnet.Node {
	n, _ := m.View().Node(id.NodeID())
	return n
}
