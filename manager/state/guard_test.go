package state

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
)

// refused applies a command that must be refused for a reason.
func refused(t *testing.T, s *State, at time.Time, c Command, code Code, want string) {
	t.Helper()
	next, r, _ := Apply(s, c, Meta{At: at})
	if r.Err == nil || r.Err.Code != code || !strings.Contains(r.Err.Message, want) || next != s {
		t.Errorf("%T: %v, want %s: …%s…", c, r.Err, code, want)
	}
}

// An address that was freed is given to another only when it has rested.
func TestAddressRests(t *testing.T) {
	s := populated(t)
	s = apply(t, s, UpdateTaskStatus{id[swarmnet.TaskID]("task"), swarmnet.TaskStatus{State: swarmnet.TaskFailed}, id[swarmnet.NodeID]("n"), 0})
	again := AllocateTask{id[swarmnet.TaskID]("task2"), []swarmnet.Endpoint{newEndpoint("task2", "10.0.1.3/28")}}
	rest := swarmnet.DefaultClusterSpec().AddressRest
	refused(t, s, epoch.Add(rest-time.Nanosecond), again, FailedPrecondition, "rests until")
	if _, r, _ := Apply(s, again, Meta{At: epoch.Add(rest)}); r.Err != nil {
		t.Error(r.Err)
	}
}

// A pool whose fresh addresses are used up says when the next one has rested, and gives it then.
func TestPoolWaitsForARest(t *testing.T) {
	net := id[swarmnet.NetworkID]("net")
	s := apply(t, New(),
		CreateCluster{swarmnet.Cluster{ID: id[swarmnet.ClusterID]("c"), Spec: swarmnet.DefaultClusterSpec()}},
		CreateNode{swarmnet.Node{ID: id[swarmnet.NodeID]("n")}},
		CreateNetwork{swarmnet.Network{ID: net, Spec: swarmnet.NetworkSpec{Name: "i", Driver: "overlay", Ingress: true}}},
		AllocateNetwork{net, 5000, []swarmnet.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/29"), Gateway: netip.MustParseAddr("10.0.0.1")}}})
	for a := netip.MustParseAddr("10.0.0.2"); a.Compare(netip.MustParseAddr("10.0.0.6")) <= 0; a = a.Next() {
		s = apply(t, s, AllocateNodeIngress{id[swarmnet.NodeID]("n"), []netip.Prefix{netip.PrefixFrom(a, 29)}})
	}
	due := epoch.Add(swarmnet.DefaultClusterSpec().AddressRest)
	if a, at := s.FreeAddr(net, false, due.Add(-time.Second)); a.IsValid() || !at.Equal(due) {
		t.Errorf("before: %s, due %s", a, at)
	}
	if a, _ := s.FreeAddr(net, false, due); a.String() != "10.0.0.2" {
		t.Errorf("then: %s", a)
	}
	// Its rest is forgotten with everything that followed from it.
	s, _, _ = Apply(s, AllocateNodeIngress{id[swarmnet.NodeID]("n"), []netip.Prefix{netip.MustParsePrefix("10.0.0.2/29")}}, Meta{At: due})
	var image bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&image); err != nil {
		t.Fatal(err)
	}
	if again, err := Restore(&image); err != nil || again.Hash() != s.Hash() || s.Check() != nil {
		t.Errorf("its snapshot: %v, %v", err, s.Check())
	}
}

func TestServiceGuards(t *testing.T) {
	s := populated(t)
	web, _ := s.Service(id[swarmnet.ServiceID]("svc"))
	other := web.Spec
	other.Name = "other"
	refused(t, s, epoch, CreateService{swarmnet.Service{ID: id[swarmnet.ServiceID]("other"), Spec: other}}, FailedPrecondition, "port 8080/tcp is in use by service web")

	spec := web.Spec
	spec.Replicas = 5
	s = apply(t, s, UpdateService{web.ID, spec, web.Meta.Updated})
	refused(t, s, epoch, UpdateService{web.ID, web.Spec, web.Meta.Updated}, FailedPrecondition, "changed meanwhile")

	vip := swarmnet.VIP{Network: id[swarmnet.NetworkID]("net"), Addr: netip.MustParseAddr("10.0.1.5")}
	web, _ = s.Service(web.ID)
	refused(t, s, epoch, AllocateService{web.ID, web.SpecVersion, []swarmnet.VIP{vip, vip}, web.Ports}, InvalidArgument, "twice")
	taken := swarmnet.VIP{Network: vip.Network, Addr: netip.MustParseAddr("10.0.1.3")}
	refused(t, s, epoch, AllocateService{web.ID, web.SpecVersion, []swarmnet.VIP{taken}, web.Ports}, FailedPrecondition, "held by task web.1")
}

func TestManagerGuards(t *testing.T) {
	s := populated(t)
	n, n2 := id[swarmnet.NodeID]("n"), id[swarmnet.NodeID]("n2")
	refused(t, s, epoch, UpdateNode{ID: n}, FailedPrecondition, "is the last manager")
	s = apply(t, s, UpdateNode{ID: n2, Spec: swarmnet.NodeSpec{Role: swarmnet.RoleManager}}, AssignRaftID{n2})
	a, _ := s.Node(n)
	b, _ := s.Node(n2)
	if a.RaftID == b.RaftID || b.RaftID == 0 {
		t.Errorf("raft ids %d and %d", a.RaftID, b.RaftID)
	}
	// A number that was given back is not given again.
	s = apply(t, s, ClearRaftID{n2}, AssignRaftID{n2})
	if again, _ := s.Node(n2); again.RaftID <= b.RaftID {
		t.Errorf("raft id %d after %d", again.RaftID, b.RaftID)
	}
	s = apply(t, s, CloseSession{Node: n2, Epoch: b.Epoch, Manager: n})
	refused(t, s, epoch, UpdateNode{ID: n}, FailedPrecondition, "only 0 of 1 managers would be up")
}
