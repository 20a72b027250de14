package manager

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// running is a manager that runs in the test's process.
type running struct {
	*Manager
	cfg  Config
	stop func() error // ends it and waits
	// ended is closed when it has.
	ended   chan struct{}
	mayFail bool
}

func logger() *slog.Logger {
	if os.Getenv("SWARMNET_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func start(t *testing.T, cfg Config) *running {
	t.Helper()
	if cfg.ListenAddr == "" {
		cfg.ListenAddr = "127.0.0.1:0"
	}
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	cfg.auditEvery = 20
	cfg.Logger = logger().With("manager", swarmnet.ShortID(cfg.Identity.NodeID()))
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ListenAddr = m.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	r := &running{Manager: m, cfg: cfg, ended: make(chan struct{})}
	go func() { done <- m.Run(ctx); close(r.ended) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil && !r.mayFail {
			t.Errorf("manager %s: %v", m.Addr(), err)
		}
	})
	return r
}

// restart starts a manager again on what it left on the disk.
func (r *running) restart(t *testing.T) *running {
	t.Helper()
	r.stop()
	return start(t, r.cfg)
}

func initCluster(t *testing.T) *running {
	t.Helper()
	spec := swarmnet.DefaultClusterSpec()
	spec.HeartbeatPeriod = 300 * time.Millisecond
	spec.DownAfter = time.Second
	c, err := ca.NewCluster(spec, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, node, err := ca.FirstManager(c, "m1", swarmnet.AvailabilityActive, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m := start(t, Config{Identity: id, Bootstrap: &Bootstrap{Cluster: c, Node: node}})
	m.waitReady(t)
	return m
}

func (r *running) waitReady(t *testing.T) {
	t.Helper()
	select {
	case <-r.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("the manager did not become ready")
	}
}

func (r *running) token(t *testing.T, role swarmnet.Role) string {
	t.Helper()
	c, _ := r.View().Cluster()
	s, ok := ca.TokenFor(c, role)
	if !ok {
		t.Fatal("no token")
	}
	return s
}

func (r *running) enrol(t *testing.T, role swarmnet.Role, hostname string) *ca.Identity {
	t.Helper()
	j, err := ca.Join(t.Context(), []string{r.Addr().String()}, r.token(t, role), hostname, swarmnet.AvailabilityActive)
	if err != nil {
		t.Fatal(err)
	}
	return j.Identity
}

// addManager joins another manager and waits until it has a vote.
func (r *running) addManager(t *testing.T, hostname string) *running {
	t.Helper()
	id := r.enrol(t, swarmnet.RoleManager, hostname)
	m := start(t, Config{Identity: id, JoinVia: []string{r.Addr().String()}})
	m.waitReady(t)
	eventually(t, hostname+" has a vote", func() error {
		for _, p := range m.Raft().Members {
			if p.NodeID == string(id.NodeID()) && p.Voter {
				return nil
			}
		}
		return fmt.Errorf("members: %+v", m.Raft().Members)
	})
	return m
}

// admin connects to a manager with an admin certificate.
func (r *running) admin(t *testing.T) pb.ControlClient {
	t.Helper()
	return pb.NewControlClient(r.connect(t, adminIdentity(t, r)))
}

func (r *running) connect(t *testing.T, id *ca.Identity) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.Addr().String(), id.DialOption())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// fakeAgent runs every task that it is given, in words only.
type fakeAgent struct {
	id   *ca.Identity
	mu   sync.Mutex
	set  swarmnet.AssignmentSet
	acks uint64
	err  error
	done chan struct{}
	mute bool // it does not say what it has in force
}

func startAgent(t *testing.T, id *ca.Identity, via *running) *fakeAgent {
	t.Helper()
	a := &fakeAgent{id: id, set: swarmnet.EmptyAssignmentSet(), done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	conn := via.connect(t, id)
	go func() {
		defer close(a.done)
		err := a.run(ctx, conn)
		a.mu.Lock()
		a.err = err
		a.mu.Unlock()
	}()
	t.Cleanup(func() { cancel(); <-a.done })
	return a
}

func (a *fakeAgent) run(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewDispatcherClient(conn).Session(ctx)
	if err != nil {
		return err
	}
	desc := swarmnet.NodeDescription{Hostname: "agent", APIAddr: "127.0.0.1:1", UnderlayMTU: 1500}
	if err := stream.Send(&pb.AgentMessage{Message: &pb.AgentMessage_Hello{Hello: &pb.Hello{Description: wire.NodeDescriptionToProto(desc)}}}); err != nil {
		return err
	}
	msgs, errs := make(chan *pb.ManagerMessage), make(chan error, 1)
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				errs <- err
				return
			}
			select {
			case msgs <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	beat := time.NewTicker(100 * time.Millisecond)
	defer beat.Stop()
	for {
		var out *pb.AgentMessage
		select {
		case err := <-errs:
			return err
		case <-beat.C:
			out = &pb.AgentMessage{Message: &pb.AgentMessage_Heartbeat{Heartbeat: &pb.Heartbeat{}}}
		case m := <-msgs:
			if out, err = a.receive(m); err != nil {
				return err
			}
		}
		for _, m := range []*pb.AgentMessage{out, a.applied()} {
			if m == nil {
				continue
			}
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
}

func (a *fakeAgent) receive(m *pb.ManagerMessage) (*pb.AgentMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case m.GetComplete() != nil:
		set, err := wire.AssignmentSetFromProto(m.GetComplete())
		if err != nil {
			return nil, err
		}
		a.set = set
	case m.GetDelta() != nil:
		d, err := wire.DeltaFromProto(m.GetDelta())
		if err != nil {
			return nil, err
		}
		if d.From != a.set.Revision {
			return nil, fmt.Errorf("a gap: the delta is from %d, the set is of %d", d.From, a.set.Revision)
		}
		a.set = fold(a.set, d)
	case m.GetStatusesCommitted() != nil:
		a.acks = m.GetStatusesCommitted().GetCount()
		return nil, nil
	}
	var updates []*pb.TaskStatusUpdate
	for _, t := range a.set.Tasks {
		want := swarmnet.TaskRunning
		if t.Desired >= swarmnet.DesireShutdown {
			want = swarmnet.TaskShutdown
		}
		if t.Desired >= swarmnet.DesireRunning && t.Status.State < want {
			st := wire.TaskStatusToProto(swarmnet.TaskStatus{State: want, At: time.Now()})
			updates = append(updates, &pb.TaskStatusUpdate{Task: string(t.ID), Status: st})
		}
	}
	if len(updates) == 0 {
		return nil, nil
	}
	return &pb.AgentMessage{Message: &pb.AgentMessage_TaskStatuses{TaskStatuses: &pb.TaskStatuses{Updates: updates}}}, nil
}

// applied says that everything is in force at once; again and again, which does no harm.
func (a *fakeAgent) applied() *pb.AgentMessage {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mute || a.set.Revision == 0 {
		return nil
	}
	return &pb.AgentMessage{Message: &pb.AgentMessage_Applied{Applied: &pb.Applied{Revision: a.set.Revision}}}
}

func (a *fakeAgent) hush(mute bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mute = mute
}

func (a *fakeAgent) state() (swarmnet.AssignmentSet, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.set, a.err
}
