package session

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// manager is a dispatcher that a test plays.
type manager struct {
	pb.UnimplementedDispatcherServer
	addr    string
	streams chan *talk
}

// talk is one stream, seen from the manager.
type talk struct {
	hello *pb.Hello
	in    chan *pb.AgentMessage
	out   pb.Dispatcher_SessionServer
	hang  chan error // ends the stream
}

func (m *manager) Session(st pb.Dispatcher_SessionServer) error {
	first, err := st.Recv()
	if err != nil {
		return err
	}
	tk := &talk{hello: first.GetHello(), in: make(chan *pb.AgentMessage, 100), out: st, hang: make(chan error, 1)}
	go func() {
		for {
			in, err := st.Recv()
			if err != nil {
				return
			}
			if in.GetHeartbeat() == nil {
				tk.in <- in
			}
		}
	}()
	m.streams <- tk
	select {
	case err := <-tk.hang:
		return err
	case <-st.Context().Done():
		return nil
	}
}

func newManager(t *testing.T) *manager {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{addr: l.Addr().String(), streams: make(chan *talk, 10)}
	srv := grpc.NewServer()
	pb.RegisterDispatcherServer(srv, m)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	return m
}

func (tk *talk) say(t *testing.T, m *pb.ManagerMessage) {
	t.Helper()
	if err := tk.out.Send(m); err != nil {
		t.Fatal(err)
	}
}

func (tk *talk) welcome(t *testing.T, epoch uint64) {
	t.Helper()
	tk.say(t, &pb.ManagerMessage{Message: &pb.ManagerMessage_Welcome{Welcome: &pb.Welcome{Epoch: epoch, HeartbeatPeriod: durationpb.New(time.Second)}}})
}

func (tk *talk) complete(t *testing.T, set swarmnet.AssignmentSet) {
	t.Helper()
	tk.say(t, &pb.ManagerMessage{Message: &pb.ManagerMessage_Complete{Complete: wire.AssignmentSetToProto(set)}})
}

func (tk *talk) delta(t *testing.T, from, to swarmnet.AssignmentSet) {
	t.Helper()
	tk.say(t, &pb.ManagerMessage{Message: &pb.ManagerMessage_Delta{Delta: wire.DeltaToProto(delta(from, to))}})
}

func within[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("waited in vain for ", what)
		panic("unreachable")
	}
}

func startSession(t *testing.T, path string, managers ...string) *Session {
	t.Helper()
	s := New(Config{
		Dial: func(_ context.Context, addr string) (*grpc.ClientConn, error) {
			return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		},
		Managers: managers,
		Describe: func() swarmnet.NodeDescription { return swarmnet.NodeDescription{Hostname: "n1"} },
		Path:     path,
		Logger:   slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := within(t, "the end", ended); err != nil {
			t.Error(err)
		}
	})
	return s
}

func waitRevision(t *testing.T, s *Session, revision uint64) Reading {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if r := s.Read(); r.Have && r.Set.Revision == revision {
			return r
		}
		select {
		case <-s.Changed():
		case <-deadline:
			t.Fatalf("revision %d did not come, have %+v", revision, s.Read())
		}
	}
}

func set(revision uint64, tasks ...swarmnet.TaskID) swarmnet.AssignmentSet {
	a := swarmnet.EmptyAssignmentSet()
	a.Revision, a.Self, a.Cluster.ID = revision, "n1", "c1"
	for _, id := range tasks {
		a.Tasks[id] = swarmnet.Task{ID: id}
	}
	return a
}

func TestSessionFoldsAndAsksAfterAGap(t *testing.T) {
	m := newManager(t)
	s := startSession(t, "", m.addr)
	tk := within(t, "a stream", m.streams)
	if tk.hello.GetEpoch() != 0 || tk.hello.GetDescription().GetHostname() != "n1" {
		t.Errorf("hello %v", tk.hello)
	}
	tk.welcome(t, 7)
	one, two, four := set(1, "a"), set(2, "a", "b"), set(4, "b")
	tk.complete(t, one)
	tk.delta(t, one, two)
	if r := waitRevision(t, s, 2); len(r.Set.Tasks) != 2 || r.Epoch != 7 || !r.Live || r.Manager != m.addr {
		t.Errorf("read %+v", r)
	}
	tk.delta(t, set(3), four)
	if in := within(t, "a resync", tk.in); in.GetResync() == nil {
		t.Fatalf("got %v, want a resync", in)
	}
	tk.complete(t, four)
	waitRevision(t, s, 4)
	s.Applied(4)
	if in := within(t, "applied", tk.in); in.GetApplied().GetRevision() != 4 {
		t.Errorf("got %v", in)
	}
}

func TestSessionRepeatsReportsUntilCommitted(t *testing.T) {
	m1, m2 := newManager(t), newManager(t)
	s := startSession(t, "", m1.addr, m2.addr)
	next := func() *talk {
		t.Helper()
		select {
		case tk := <-m1.streams:
			return tk
		case tk := <-m2.streams:
			return tk
		case <-time.After(10 * time.Second):
			t.Fatal("no stream")
			return nil
		}
	}
	report := func(tk *talk) *pb.TaskStatuses {
		t.Helper()
		return within(t, "a report", tk.in).GetTaskStatuses()
	}
	tk := next()
	tk.welcome(t, 7)
	s.Report("a", swarmnet.TaskStatus{State: swarmnet.TaskRunning})
	if r := report(tk); len(r.GetUpdates()) != 1 || r.GetUpdates()[0].GetTask() != "a" {
		t.Fatalf("report %v", r)
	}
	tk.hang <- errors.New("the manager dies before it commits")

	tk = next()
	if tk.hello.GetEpoch() != 7 {
		t.Errorf("the second hello has epoch %d", tk.hello.GetEpoch())
	}
	tk.welcome(t, 7)
	if r := report(tk); r.GetUpdates()[0].GetTask() != "a" {
		t.Fatalf("report %v", r)
	}
	tk.say(t, &pb.ManagerMessage{Message: &pb.ManagerMessage_StatusesCommitted{StatusesCommitted: &pb.StatusesCommitted{Count: 1}}})
	tk.complete(t, set(1, "a", "b"))
	waitRevision(t, s, 1) // so the commit was read, too
	tk.hang <- errors.New("another leader")

	tk = next()
	tk.welcome(t, 7)
	s.Report("b", swarmnet.TaskStatus{State: swarmnet.TaskRunning})
	if r := report(tk); len(r.GetUpdates()) != 1 || r.GetUpdates()[0].GetTask() != "b" {
		t.Fatalf("what was committed came again: %v", r)
	}
}

func TestSessionStartsFromDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "assignments")
	m := newManager(t)
	s := startSession(t, path, m.addr)
	tk := within(t, "a stream", m.streams)
	tk.welcome(t, 1)
	tk.complete(t, set(5, "a"))
	waitRevision(t, s, 5)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if stored, err := Load(path); err == nil && stored.Revision == 5 {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}

	alone := startSession(t, path) // no manager answers
	if r := waitRevision(t, alone, 5); r.Live || len(r.Set.Tasks) != 1 {
		t.Errorf("read %+v", r)
	}

	// A manager that lags behind does not take us back; once it has caught up it is followed.
	late := startSession(t, path, m.addr)
	tk = within(t, "a stream", m.streams)
	tk.welcome(t, 2)
	three, six := set(3), set(6, "a", "b")
	tk.complete(t, three)
	tk.delta(t, three, six)
	if r := waitRevision(t, late, 6); !r.Live || len(r.Set.Tasks) != 2 {
		t.Errorf("read %+v", r)
	}
}

func TestDamagedFileIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "assignments")
	if err := save(path, set(5, "a")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil {
			t.Fatalf("the first %d octets were taken for a set", n)
		}
	}
	whole[len(whole)-1] ^= 1
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := startSession(t, path).Read(); r.Have {
		t.Errorf("read %+v", r)
	}
}

// A node that has become another says so by a new stream; once, however often it was asked to before the stream began.
func TestSessionDescribesAnew(t *testing.T) {
	m := newManager(t)
	s := startSession(t, "", m.addr)
	tk := within(t, "a stream", m.streams)
	tk.welcome(t, 7)
	waitManager := func() {
		t.Helper()
		for s.Read().Manager == "" {
			within(t, "the session", s.Changed())
		}
	}
	waitManager()
	s.Describe()
	tk = within(t, "another stream", m.streams)
	if tk.hello.GetDescription().GetHostname() != "n1" || tk.hello.GetEpoch() != 7 {
		t.Errorf("hello %v", tk.hello)
	}
	tk.welcome(t, 7)
	tk.complete(t, set(1))
	waitRevision(t, s, 1)
}

// The ports that cannot be published are told at once, and again on each stream, until there are none any more.
func TestS15DegradedPortsAreTold(t *testing.T) {
	m := newManager(t)
	s := startSession(t, "", m.addr)
	tk := within(t, "a stream", m.streams)
	tk.welcome(t, 7)
	bad := []swarmnet.DegradedPort{{Published: 80, Why: "nginx has it"}}
	told := func() []*pb.DegradedPort {
		t.Helper()
		got := within(t, "the ports", tk.in).GetDegradedPorts()
		if got == nil {
			t.Fatal("something else was said")
		}
		return got.GetPorts()
	}
	s.Degraded(nil)
	s.Degraded(bad)
	s.Degraded(bad)
	if got := told(); len(got) != 1 || got[0].GetPublished() != 80 {
		t.Errorf("told %v", got)
	}
	tk.hang <- errors.New("another leader")
	tk = within(t, "another stream", m.streams)
	tk.welcome(t, 7)
	if got := told(); len(got) != 1 {
		t.Errorf("on a new stream %v", got)
	}
	s.Degraded(nil)
	if got := told(); len(got) != 0 {
		t.Errorf("free again: %v", got)
	}
}
