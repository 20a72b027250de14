package manager

import (
	"fmt"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// A task stops when every node has said, to whichever manager, that it is out of its balancers. What some have said outlives the leader to
// which it mattered.
func TestDrainIsAcknowledgedAcrossManagers(t *testing.T) {
	m1 := initCluster(t)
	m2, m3 := m1.addManager(t, "m2"), m1.addManager(t, "m3")
	leader, others := leaderOf(t, []*running{m1, m2, m3})
	w1 := startAgent(t, m1.enrol(t, swarmnet.RoleWorker, "w1"), others[0])
	w2 := startAgent(t, m1.enrol(t, swarmnet.RoleWorker, "w2"), others[1])
	up := func(a *fakeAgent) error {
		if n, _ := leader.View().Node(a.id.NodeID()); n.Status.State != swarmnet.NodeReady {
			return fmt.Errorf("%s", n)
		}
		return nil
	}
	eventually(t, "both nodes to be up, so that each has tasks", func() error { return either(up(w1), up(w2)) })
	control := others[0].admin(t)
	network, err := control.CreateNetwork(t.Context(), &pb.CreateNetworkRequest{Spec: &pb.NetworkSpec{Name: "app"}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := control.CreateService(t.Context(), web(network))
	if err != nil {
		t.Fatal(err)
	}
	tasksRunning(t, control, 3)
	v, err := control.GetService(t.Context(), &pb.ObjectRef{Ref: made.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	answered := func(a *fakeAgent) error {
		s := others[0].View()
		n, _ := s.Node(a.id.NodeID())
		if n.Status.State != swarmnet.NodeReady || s.BalancedIn(n.Applied, s.Revision()) {
			return fmt.Errorf("%s has applied %d", n, n.Applied)
		}
		return nil
	}
	eventually(t, "both to have the service in their balancers", func() error { return either(answered(w1), answered(w2)) })

	w2.hush(true)
	s, err := wire.ServiceFromProto(v)
	if err != nil {
		t.Fatal(err)
	}
	s.Spec.Replicas = 0
	if _, err := control.UpdateService(t.Context(), &pb.UpdateServiceRequest{Ref: v.GetId(), Spec: wire.ServiceSpecToProto(s.Spec), Version: v.GetMeta().GetUpdated()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the one to say that it is drained", func() error {
		draining := 0
		for task := range others[0].View().TasksByService(s.ID) {
			if task.Desired == swarmnet.DesireDraining {
				draining++
			}
		}
		if draining != 3 {
			return fmt.Errorf("%d tasks drain", draining)
		}
		return answered(w1)
	})
	leader.stop()
	leaderOf(t, others)
	for task := range others[0].View().TasksByService(s.ID) {
		if task.Desired != swarmnet.DesireDraining && time.Since(task.BalancedAt) < 10*time.Second {
			t.Errorf("%s, and a node has not answered", task)
		}
	}
	w2.hush(false)
	eventually(t, "the tasks to stop", func() error {
		for task := range others[0].View().TasksByService(s.ID) {
			if !task.Status.State.Terminal() {
				return fmt.Errorf("%s", task)
			}
			if task.Note != "" {
				t.Fatal(task.Note)
			}
		}
		return nil
	})
}

func either(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
