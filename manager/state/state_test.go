package state

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
)

func id[T ~string](name string) T { return T(swarmnet.DeriveID(name)) }

// apply applies commands that must be accepted.
func apply(t testing.TB, s *State, cmds ...Command) *State {
	t.Helper()
	for _, c := range cmds {
		var r Result
		if s, r, _ = Apply(s, c, Meta{At: epoch}); r.Err != nil {
			t.Fatalf("%T: %v", c, r.Err)
		}
	}
	return s
}

// populated is a small cluster with one of everything.
func populated(t testing.TB) *State {
	t.Helper()
	subnet := func(p, gw string) []swarmnet.Subnet {
		return []swarmnet.Subnet{{Prefix: netip.MustParsePrefix(p), Gateway: netip.MustParseAddr(gw)}}
	}
	addr := func(p string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(p)} }
	return apply(t, New(),
		CreateCluster{swarmnet.Cluster{ID: id[swarmnet.ClusterID]("c"), Spec: swarmnet.DefaultClusterSpec()}},
		CreateNode{swarmnet.Node{ID: id[swarmnet.NodeID]("n"), Spec: swarmnet.NodeSpec{Name: "n1", Role: swarmnet.RoleManager}}},
		AssignRaftID{id[swarmnet.NodeID]("n")},
		CreateNode{swarmnet.Node{ID: id[swarmnet.NodeID]("n2")}},
		OpenSession{Node: id[swarmnet.NodeID]("n"), Manager: id[swarmnet.NodeID]("n"), NewEpoch: true},
		OpenSession{Node: id[swarmnet.NodeID]("n2"), Manager: id[swarmnet.NodeID]("n"), NewEpoch: true, Description: swarmnet.NodeDescription{Hostname: "host"}},
		CreateNetwork{swarmnet.Network{ID: id[swarmnet.NetworkID]("ingress"), Spec: swarmnet.NetworkSpec{Name: "ingress", Driver: "overlay", Ingress: true}}},
		CreateNetwork{swarmnet.Network{ID: id[swarmnet.NetworkID]("net"), Spec: swarmnet.NetworkSpec{Name: "app", Driver: "overlay"}}},
		AllocateNetwork{id[swarmnet.NetworkID]("ingress"), 4096, subnet("10.0.0.0/24", "10.0.0.1")},
		AllocateNetwork{id[swarmnet.NetworkID]("net"), 4097, subnet("10.0.1.0/28", "10.0.1.1")},
		AllocateNodeIngress{id[swarmnet.NodeID]("n"), addr("10.0.0.2/24")},
		CreateService{swarmnet.Service{ID: id[swarmnet.ServiceID]("svc"), Spec: swarmnet.ServiceSpec{Name: "web", Replicas: 2,
			Networks: []swarmnet.NetworkAttachment{{Network: id[swarmnet.NetworkID]("net")}},
			Ports:    []swarmnet.PortSpec{{Target: 80, Published: 8080}}, Task: swarmnet.TaskSpec{Command: []string{"x"}}}}},
		AllocateService{id[swarmnet.ServiceID]("svc"), 1, []swarmnet.VIP{{Network: id[swarmnet.NetworkID]("net"), Addr: netip.MustParseAddr("10.0.1.2")}}, []swarmnet.PortSpec{{Target: 80, Published: 8080}}},
		CreateTask{newTask("task", 1)},
		CreateTask{newTask("task2", 2)},
		AllocateTask{id[swarmnet.TaskID]("task"), []swarmnet.Endpoint{newEndpoint("task", "10.0.1.3/28")}},
		AssignTask{id[swarmnet.TaskID]("task"), id[swarmnet.NodeID]("n")},
	)
}

func newTask(name string, slot uint32) swarmnet.Task {
	return swarmnet.Task{ID: id[swarmnet.TaskID](name), Service: id[swarmnet.ServiceID]("svc"), Slot: slot, SpecVersion: 1, Desired: swarmnet.DesireRunning,
		Networks: []swarmnet.NetworkAttachment{{Network: id[swarmnet.NetworkID]("net")}}, Spec: swarmnet.TaskSpec{Command: []string{"x"}}}
}

func newEndpoint(task, addr string) swarmnet.Endpoint {
	p := netip.MustParsePrefix(addr)
	return swarmnet.Endpoint{ID: id[swarmnet.EndpointID]("e" + task), Network: id[swarmnet.NetworkID]("net"), Task: id[swarmnet.TaskID](task),
		MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p}, DefaultRoute: true}
}

// What a planner names is checked again: each of these is refused, and says why.
func TestRefusals(t *testing.T) {
	s := populated(t)
	ep := func(change func(*swarmnet.Endpoint)) Command {
		e := newEndpoint("task2", "10.0.1.4/28")
		change(&e)
		return AllocateTask{id[swarmnet.TaskID]("task2"), []swarmnet.Endpoint{e}}
	}
	at := func(a string) func(*swarmnet.Endpoint) {
		return func(e *swarmnet.Endpoint) { e.Addrs = []netip.Prefix{netip.MustParsePrefix(a)} }
	}
	for _, tc := range []struct {
		c    Command
		code Code
		want string
	}{
		{ep(at("10.0.1.3/28")), FailedPrecondition, "address 10.0.1.3 of network app is held by task web.1."},
		{ep(at("10.0.1.2/28")), FailedPrecondition, "is held by service web (vip)"},
		{ep(at("10.0.1.1/28")), FailedPrecondition, "kept as its gateway address"},
		{ep(at("10.0.1.15/28")), FailedPrecondition, "kept as its broadcast address"},
		{ep(at("10.0.2.1/28")), InvalidArgument, "outside the subnets of network app"},
		{ep(at("10.0.1.4/24")), InvalidArgument, "prefix length"},
		{ep(func(e *swarmnet.Endpoint) { e.MAC = swarmnet.MAC{} }), InvalidArgument, "needs a MAC"},
		{ep(func(e *swarmnet.Endpoint) { e.Network = "x" }), NotFound, "network x does not exist"},
		{AllocateTask{Task: id[swarmnet.TaskID]("task2")}, InvalidArgument, "needs an endpoint"},
		{AssignTask{id[swarmnet.TaskID]("task2"), id[swarmnet.NodeID]("n")}, 0, ""},
		{CreateTask{newTask("other", 1)}, AlreadyExists, "is there already"},
		{AllocateNodeIngress{id[swarmnet.NodeID]("n2"), []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}}, FailedPrecondition, "held by node n1 (ingress)"},
		{RemoveNode{id[swarmnet.NodeID]("n"), true}, FailedPrecondition, "demote it first"},
		{RemoveNode{id[swarmnet.NodeID]("n2"), false}, FailedPrecondition, "is up"},
		{RemoveNetwork{id[swarmnet.NetworkID]("net")}, FailedPrecondition, "in use by service web"},
		{RemoveNetwork{id[swarmnet.NetworkID]("ingress")}, FailedPrecondition, "in use by service web"},
		{RemoveTask{id[swarmnet.TaskID]("task")}, FailedPrecondition, "stop it first"},
		{SetDesired{id[swarmnet.TaskID]("task"), swarmnet.DesireReady, ""}, FailedPrecondition, "already"},
		{ForgetService{id[swarmnet.ServiceID]("svc")}, FailedPrecondition, "not being removed"},
		{MarkNodeDown{id[swarmnet.NodeID]("n"), epoch}, FailedPrecondition, "heard of"},
		{UpdateNode{ID: id[swarmnet.NodeID]("n2"), Spec: swarmnet.NodeSpec{Name: "n1"}}, AlreadyExists, "has the name n1"},
		{UpdateNode{ID: id[swarmnet.NodeID]("n2"), Version: 1}, FailedPrecondition, "changed meanwhile"},
		{nil, InvalidArgument, "empty"},
	} {
		next, r, _ := Apply(s, tc.c, Meta{At: epoch})
		if tc.code == 0 {
			continue
		}
		if r.Err == nil || r.Err.Code != tc.code || !strings.Contains(r.Err.Message, tc.want) {
			t.Errorf("%T: %v, want %s: …%s…", tc.c, r.Err, tc.code, tc.want)
		}
		if next != s {
			t.Errorf("%T: a refusal made a new state", tc.c)
		}
	}
	if _, r, _ := Apply(New(), RemoveTask{"x"}, Meta{}); r.Err == nil || !strings.Contains(r.Err.Message, "init") {
		t.Errorf("without a cluster: %v", r.Err)
	}
}

func TestTaskStatesOnlyRise(t *testing.T) {
	s := populated(t)
	report := func(st swarmnet.TaskState, node string, epoch uint64) bool {
		next, r, _ := Apply(s, UpdateTaskStatus{id[swarmnet.TaskID]("task"), swarmnet.TaskStatus{State: st}, id[swarmnet.NodeID](node), epoch}, Meta{})
		s = next
		return r.Err == nil && r.Changed
	}
	for _, tc := range []struct {
		st    swarmnet.TaskState
		node  string
		epoch uint64
		want  bool
	}{
		{swarmnet.TaskRunning, "n2", 0, false},
		{swarmnet.TaskRunning, "n", 7, false},
		{swarmnet.TaskAssigned, "n", 0, false},
		{swarmnet.TaskOrphaned, "n", 0, false},
		{swarmnet.TaskRunning, "n", 1, true},
		{swarmnet.TaskRunning, "n", 1, false},
		{swarmnet.TaskStarting, "n", 1, false},
		{swarmnet.TaskFailed, "n", 1, true},
		{swarmnet.TaskComplete, "n", 1, false},
		{swarmnet.TaskRejected, "n", 1, false},
	} {
		if got := report(tc.st, tc.node, tc.epoch); got != tc.want {
			t.Errorf("%s by %s: changed %t, want %t", tc.st, tc.node, got, tc.want)
		}
	}
	if _, ok := s.Endpoint(id[swarmnet.EndpointID]("etask")); ok {
		t.Error("a task that failed has its endpoint")
	}
	h, ok := s.AddressHolder(id[swarmnet.NetworkID]("net"), netip.MustParseAddr("10.0.1.3"))
	if !ok || h.Why != "rest" {
		t.Errorf("its address is %v", h)
	}
}

// A node's word counts for the start of the agent that gave it, and never falls; it is nobody's change of the node.
func TestAcknowledge(t *testing.T) {
	s := populated(t)
	n, node := id[swarmnet.NodeID]("n"), func() swarmnet.Node { v, _ := s.Node(id[swarmnet.NodeID]("n")); return v }
	do := func(c Command) Result {
		next, r, changes := Apply(s, c, Meta{})
		if r.Err == nil && r.Changed != (len(changes) > 0) {
			t.Fatalf("%+v: changed %t, %d changes", c, r.Changed, len(changes))
		}
		s = next
		return r
	}
	before := node().Meta
	for _, c := range []struct {
		epoch, revision uint64
		changed         bool
		applied         uint64
	}{{1, 3, true, 3}, {1, 2, false, 3}, {1, 3, false, 3}, {7, 5, false, 3}, {1, 5, true, 5}} {
		if r := do(Acknowledge{n, c.epoch, c.revision}); r.Err != nil || r.Changed != c.changed || node().Applied != c.applied {
			t.Errorf("revision %d in epoch %d: %+v, applied %d", c.revision, c.epoch, r, node().Applied)
		}
	}
	if r := do(Acknowledge{n, 1, s.Revision() + 1}); r.Err == nil {
		t.Error("a revision of the future is acknowledged")
	}
	if node().Meta != before {
		t.Errorf("the node was changed: %+v", node().Meta)
	}
	do(OpenSession{Node: n, Manager: n, NewEpoch: true})
	if node().Applied != 0 {
		t.Error("what an agent had in force counts for the next one")
	}
	do(CloseSession{n, 2, n})
	if r := do(Acknowledge{n, 2, 3}); r.Changed {
		t.Error("a node without a session acknowledges")
	}
}

// What a node says too late of a task that was given up does not change what became of it.
func TestOrphanStaysOne(t *testing.T) {
	s := populated(t)
	n, task := id[swarmnet.NodeID]("n"), id[swarmnet.TaskID]("task")
	for _, c := range []Command{
		UpdateTaskStatus{task, swarmnet.TaskStatus{State: swarmnet.TaskRunning}, n, 1}, CloseSession{n, 1, n}, MarkNodeDown{n, epoch},
		OpenSession{Node: n, Manager: n}, UpdateTaskStatus{task, swarmnet.TaskStatus{State: swarmnet.TaskFailed}, n, 1},
	} {
		next, r, _ := Apply(s, c, Meta{At: epoch})
		if r.Err != nil {
			t.Fatalf("%T: %v", c, r.Err)
		}
		s = next
	}
	if v, _ := s.Task(task); v.Status.State != swarmnet.TaskOrphaned {
		t.Errorf("it is %s", v.Status.State)
	}
}

func TestFind(t *testing.T) {
	s := populated(t)
	full := id[swarmnet.NodeID]("n")
	for _, ref := range []string{string(full), "n1", string(full)[:9]} {
		if n, r := s.FindNode(ref); r != nil || n.ID != full {
			t.Errorf("%s: %v, %v", ref, n, r)
		}
	}
	// A name goes before the beginning of an id.
	other := id[swarmnet.NodeID]("n2")
	s = apply(t, s, UpdateNode{ID: full, Spec: swarmnet.NodeSpec{Name: string(other)[:4], Role: swarmnet.RoleManager}})
	if n, r := s.FindNode(string(other)[:4]); r != nil || n.ID != full {
		t.Errorf("%v, %v", n, r)
	}
	for i := range 40 {
		s = apply(t, s, CreateNode{swarmnet.Node{ID: id[swarmnet.NodeID](fmt.Sprint("more", i)), Description: swarmnet.NodeDescription{Hostname: "twin"}}})
	}
	if _, r := s.FindNode("twin"); r == nil || r.Code != InvalidArgument || !strings.Contains(r.Message, "(twin)") || !strings.Contains(r.Message, "and 35 more") {
		t.Errorf("an ambiguous name: %v", r)
	}
	if _, r := s.FindService("nope"); r == nil || r.Code != NotFound {
		t.Errorf("%v", r)
	}
	if v, r := s.FindTask("web.1"); r != nil || v.ID != id[swarmnet.TaskID]("task") {
		t.Errorf("%v, %v", v, r)
	}
	if _, r := s.FindNetwork(""); r == nil {
		t.Error("nothing names a network")
	}
}

func TestEntryWindow(t *testing.T) {
	s := populated(t)
	b := Batch{At: epoch, Commands: []Command{AssignRaftID{id[swarmnet.NodeID]("n2")}, RemoveTask{"none"}}}
	entryID := func(i int) [16]byte { return [16]byte{byte(i), byte(i >> 8), byte(i >> 16), 1} }
	s, first, _, err := ApplyBatch(s, b, entryID(0))
	if err != nil || first[0].RaftID != 2 || first[1].Err == nil {
		t.Fatal(first, err)
	}
	for i := 1; i < window; i++ {
		s, _, _, _ = ApplyBatch(s, Batch{At: epoch}, entryID(i))
	}
	if _, again, changes, _ := ApplyBatch(s, b, entryID(0)); len(changes) > 0 || again[0] != first[0] || again[1].Err.Message != first[1].Err.Message {
		t.Errorf("the entry again: %v, was %v", again, first)
	}
	s, _, _, _ = ApplyBatch(s, Batch{At: epoch}, entryID(window))
	if s.entries.len() != window || s.Check() != nil {
		t.Errorf("%d entries are kept: %v", s.entries.len(), s.Check())
	}
}

// A damaged or shortened image is refused, never half read.
func TestSnapshotDamage(t *testing.T) {
	s := populated(t)
	s, _, _, err := ApplyBatch(s, Batch{At: epoch, Commands: []Command{RemoveService{id[swarmnet.ServiceID]("svc")}}}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := s.Snapshot().WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatal(n, err)
	}
	data := b.Bytes()
	again, err := Restore(bytes.NewReader(data))
	if err != nil || again.Hash() != s.Hash() || again.Check() != nil {
		t.Fatal(err, again.Check())
	}
	for i := range data {
		if got, err := Restore(bytes.NewReader(data[:i])); err == nil {
			t.Fatalf("an image cut at %d of %d is accepted: %v", i, len(data), got.Revision())
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(data)-1).Draw(t, "octet")
		bit := rapid.IntRange(0, 7).Draw(t, "bit")
		bad := bytes.Clone(data)
		bad[i] ^= 1 << bit
		if got, err := Restore(bytes.NewReader(bad)); err == nil && got.Hash() != s.Hash() {
			t.Fatalf("an image with another bit %d of octet %d is accepted", bit, i)
		}
	})
}

// Readers of one view and several who apply to it do not disturb each other.
func TestConcurrentUse(t *testing.T) {
	s := populated(t)
	hash := s.Hash()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			mine := s
			for j := range 200 {
				mine, _, _ = Apply(mine, CreateNode{swarmnet.Node{ID: id[swarmnet.NodeID](fmt.Sprint(i, j))}}, Meta{At: epoch})
			}
			if got := mine.NodeCount(); got != 202 {
				t.Errorf("%d nodes", got)
			}
			d := NewDraft(s, epoch)
			d.Do(RemoveService{id[swarmnet.ServiceID]("svc")})
		})
		wg.Go(func() {
			for range 200 {
				n := 0
				for range s.Nodes() {
					n++
				}
				if n != 2 {
					t.Errorf("%d nodes", n)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Check(); err != nil || s.Hash() != hash {
		t.Errorf("the state has changed: %v", err)
	}
}

// A pool remembers so many freed addresses and forgets the longest free.
func TestFreedBound(t *testing.T) {
	s := New()
	s = apply(t, s,
		CreateCluster{swarmnet.Cluster{ID: id[swarmnet.ClusterID]("c"), Spec: swarmnet.DefaultClusterSpec()}},
		CreateNode{swarmnet.Node{ID: id[swarmnet.NodeID]("n")}},
		CreateNetwork{swarmnet.Network{ID: id[swarmnet.NetworkID]("net"), Spec: swarmnet.NetworkSpec{Name: "i", Driver: "overlay", Ingress: true}}},
		AllocateNetwork{id[swarmnet.NetworkID]("net"), 5000, []swarmnet.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/16"), Gateway: netip.MustParseAddr("10.0.0.1")}}})
	now := epoch
	for range maxFreed + 10 {
		a, _ := s.FreeAddr(id[swarmnet.NetworkID]("net"), false, now)
		var r Result
		s, r, _ = Apply(s, AllocateNodeIngress{id[swarmnet.NodeID]("n"), []netip.Prefix{netip.PrefixFrom(a, 16)}}, Meta{At: now})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		now = now.Add(time.Second)
	}
	if n := s.freed.len(); n != maxFreed {
		t.Errorf("%d freed addresses are remembered, %d are wanted", n, maxFreed)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}
