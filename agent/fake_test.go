package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/gossip/member"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/changes"
	"github.com/swarmnet/swarmnet/overlay"
	"github.com/swarmnet/swarmnet/pathmtu"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// host is everything that an agent drives, in memory: it outlives the agent, as a kernel does.
type host struct {
	mu        sync.Mutex
	log       []string // what was done, in order
	fabric    overlay.Desired
	mesh      ingress.Mesh
	sandboxes map[string]desired.Sandbox
	rows      map[swarmnet.EndpointID]gossip.EndpointState
	workloads map[swarmnet.TaskID]executor.Status
	attached  map[swarmnet.TaskID]bool
	broken    error // of making sandboxes
	paths     paths
	changed   func(swarmnet.TaskID)
	gossiped  chan struct{}
}

func newHost() *host {
	return &host{
		sandboxes: map[string]desired.Sandbox{}, rows: map[swarmnet.EndpointID]gossip.EndpointState{},
		workloads: map[swarmnet.TaskID]executor.Status{}, attached: map[swarmnet.TaskID]bool{}, gossiped: make(chan struct{}, 1),
		paths: wide{},
	}
}

func (h *host) do(what string, f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if what != "" {
		h.log = append(h.log, what)
	}
	f()
}

func (h *host) did() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.log, "\n")
}

type fakeFabric struct{ *host }

func (f fakeFabric) UnderlayMTU() (int, error) { return 1500, nil }
func (f fakeFabric) Reconcile(_ context.Context, d overlay.Desired) (bool, error) {
	f.do("", func() { f.fabric = d })
	return false, nil
}
func (f fakeFabric) Looked() time.Time            { return time.Time{} }
func (f fakeFabric) Remove(context.Context) error { f.do("remove fabric", func() {}); return nil }

type fakeBalancer struct{ *host }

func (f fakeBalancer) Mesh(_ context.Context, m ingress.Mesh) error {
	f.do("", func() { f.mesh = m })
	return nil
}
func (f fakeBalancer) VIPs(context.Context, string, ingress.VIPs) error { return nil }
func (f fakeBalancer) Told() bool                                       { return true }
func (f fakeBalancer) Held() []swarmnet.PortSpec                        { return nil }
func (f fakeBalancer) Degraded() []swarmnet.DegradedPort                { return nil }
func (f fakeBalancer) Remove(context.Context) error                     { f.do("remove mesh", func() {}); return nil }

func (f fakeBalancer) Close() error { return nil }

type fakeSandboxes struct{ *host }

func (f fakeSandboxes) Ensure(_ context.Context, s desired.Sandbox) (_ map[swarmnet.NetworkID]driver.Given, err error) {
	f.do("", func() {
		if err = f.broken; err != nil {
			return
		}
		for _, i := range s.Interfaces {
			if !slices.ContainsFunc(f.fabric.Networks, func(n overlay.Network) bool { return n.VNI == i.VNI }) {
				err = errors.New("made before its network")
				f.log = append(f.log, err.Error())
				return
			}
		}
		if _, ok := f.sandboxes[s.Name]; !ok {
			f.log = append(f.log, "make "+s.Name)
		}
		f.sandboxes[s.Name] = s
	})
	return nil, err
}
func (f fakeSandboxes) Delete(_ context.Context, name string) error {
	f.do("delete "+name, func() { delete(f.sandboxes, name) })
	return nil
}
func (f fakeSandboxes) List() (names []string, _ error) {
	f.do("", func() { names = slices.Sorted(maps.Keys(f.sandboxes)) })
	return names, nil
}
func (f fakeSandboxes) There(name string) (there, intact bool) {
	f.do("", func() { _, there = f.sandboxes[name] })
	return there, there
}
func (f fakeSandboxes) Restore(context.Context, string, *executor.Sockets) error { return nil }
func (f fakeSandboxes) Path(name string) string                                  { return "/ns/" + name }
func (f fakeSandboxes) Resolver(string) (*executor.Sockets, error)               { return nil, nil }
func (f fakeSandboxes) PruneParents(context.Context, []string) error             { return nil }

func (f fakeSandboxes) PruneAttachments(context.Context, func(string) bool) {}

type deaf struct{}

func (deaf) Watch(ctx context.Context, _ func(news)) error { <-ctx.Done(); return nil }

func (deaf) Hears() bool { return false }

type fakeGossip struct{ *host }

func (f fakeGossip) Run(ctx context.Context) error   { <-ctx.Done(); return nil }
func (f fakeGossip) Configure(member.Settings) error { return nil }
func (f fakeGossip) SetEndpoint(_ swarmnet.NetworkID, ep swarmnet.EndpointID, s gossip.EndpointState) {
	f.do(fmt.Sprintf("gossip %s %d", ep, s), func() { f.rows[ep] = s })
}
func (f fakeGossip) DeleteEndpoint(_ swarmnet.NetworkID, ep swarmnet.EndpointID) {
	f.do(fmt.Sprintf("gossip %s gone", ep), func() { delete(f.rows, ep) })
}
func (f fakeGossip) View() gossip.View        { return gossip.View{} }
func (f fakeGossip) Changed() <-chan struct{} { return f.gossiped }

// wide are ways that carry all.
type wide struct{}

func (wide) Search(context.Context, pathNet, pathmtu.Peer, int) (int, error) { return 1500, nil }

type fakeResolver struct{ *host }

func (f fakeResolver) Run(ctx context.Context) error       { <-ctx.Done(); return nil }
func (f fakeResolver) Update(*changes.Step)                {}
func (f fakeResolver) Files(desired.Task) (string, string) { return "", "" }
func (f fakeResolver) Refused() map[swarmnet.TaskID]uint64 { return nil }
func (f fakeResolver) Reconfigure(desired.Task)            {}
func (f fakeResolver) Detach(id swarmnet.TaskID)           { f.do("", func() { delete(f.attached, id) }) }
func (f fakeResolver) Attach(t desired.Task, _ *executor.Sockets) error {
	f.do("", func() { f.attached[t.ID] = true })
	return nil
}

type fakeExecutor struct{ *host }

func (f fakeExecutor) set(id swarmnet.TaskID, what string, change func(*executor.Status)) {
	f.do(what, func() {
		st := f.workloads[id]
		st.ID = id
		change(&st)
		f.workloads[id] = st
	})
	f.changed(id)
}
func (f fakeExecutor) Start(_ context.Context, s executor.Spec) error {
	f.set(s.ID, "start "+string(s.ID), func(st *executor.Status) { st.Phase, st.StartedAt, st.Run = executor.Running, time.Now(), s.Run })
	return nil
}
func (f fakeExecutor) Stop(id swarmnet.TaskID, _ string, _ time.Duration) error {
	f.set(id, "stop "+string(id), func(st *executor.Status) { st.Phase, st.Stopping, st.ExitCode = executor.Ended, true, 143 })
	return nil
}
func (f fakeExecutor) Signal(swarmnet.TaskID, string) error { return nil }
func (f fakeExecutor) Attach(swarmnet.TaskID, *os.File, *os.File) (executor.Attachment, error) {
	return executor.Attachment{}, errors.New("not here")
}
func (f fakeExecutor) Processes(swarmnet.TaskID) ([]executor.Proc, error) { return nil, nil }
func (f fakeExecutor) Exec(swarmnet.TaskID, executor.Exec) (executor.Process, error) {
	return nil, executor.ErrUnknownTask
}
func (f fakeExecutor) Probe(context.Context, swarmnet.TaskID, executor.Probe) error { return nil }
func (f fakeExecutor) Sockets(swarmnet.TaskID) (*executor.Sockets, error)           { return nil, nil }
func (f fakeExecutor) Status(id swarmnet.TaskID) (st executor.Status) {
	f.do("", func() { st = f.workloads[id] })
	return st
}
func (f fakeExecutor) List() (ids []swarmnet.TaskID) {
	f.do("", func() { ids = slices.Sorted(maps.Keys(f.workloads)) })
	return ids
}
func (f fakeExecutor) Remove(_ context.Context, id swarmnet.TaskID) error {
	f.do("forget "+string(id), func() { delete(f.workloads, id) })
	return nil
}
func (f fakeExecutor) Logs(context.Context, swarmnet.TaskID, executor.LogQuery, func(executor.Line) error) error {
	return nil
}

// boss plays the managers: it sends sets and remembers what it was told.
type boss struct {
	pb.UnimplementedDispatcherServer
	addr string
	sets chan swarmnet.AssignmentSet

	mu      sync.Mutex
	told    map[swarmnet.TaskID][]swarmnet.TaskStatus
	applied uint64
	// described is what the node last said of itself.
	described swarmnet.NodeDescription
}

func newBoss(t *testing.T) *boss {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &boss{addr: l.Addr().String(), sets: make(chan swarmnet.AssignmentSet, 10), told: map[swarmnet.TaskID][]swarmnet.TaskStatus{}}
	srv := grpc.NewServer()
	pb.RegisterDispatcherServer(srv, b)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	return b
}

func (b *boss) Session(st pb.Dispatcher_SessionServer) error {
	first, err := st.Recv()
	if err != nil {
		return err
	}
	d, err := wire.NodeDescriptionFromProto(first.GetHello().GetDescription())
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.described = d
	b.mu.Unlock()
	welcome := &pb.Welcome{Epoch: 1, HeartbeatPeriod: durationpb.New(time.Second)}
	if err := st.Send(&pb.ManagerMessage{Message: &pb.ManagerMessage_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	go func() {
		for {
			m, err := st.Recv()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.applied = max(b.applied, m.GetApplied().GetRevision())
			for _, u := range m.GetTaskStatuses().GetUpdates() {
				if s, err := wire.TaskStatusFromProto(u.GetStatus()); err == nil {
					b.told[swarmnet.TaskID(u.GetTask())] = append(b.told[swarmnet.TaskID(u.GetTask())], s)
				}
			}
			b.mu.Unlock()
		}
	}()
	for {
		select {
		case <-st.Context().Done():
			return nil
		case set := <-b.sets:
			if err := st.Send(&pb.ManagerMessage{Message: &pb.ManagerMessage_Complete{Complete: wire.AssignmentSetToProto(set)}}); err != nil {
				return err
			}
		}
	}
}

// last is the last status that was told of a task.
func (b *boss) last(id swarmnet.TaskID) swarmnet.TaskStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	if all := b.told[id]; len(all) > 0 {
		return all[len(all)-1]
	}
	return swarmnet.TaskStatus{}
}

// startAgent runs an agent on the host; stop ends it as a daemon's end would.
func startAgent(t *testing.T, h *host, dir string, managers ...string) (a *Agent, stop func()) {
	t.Helper()
	return startAgentWith(t, h, fakeBalancer{h}, dir, managers...)
}

func startAgentWith(t *testing.T, h *host, lb balancer, dir string, managers ...string) (a *Agent, stop func()) {
	t.Helper()
	cfg := Config{
		NodeID: "n1", ClusterID: "c1", DataDir: dir, RunDir: dir, Managers: managers, VTEP: netip.MustParseAddr("192.0.2.1"),
		Dial: func(_ context.Context, addr string) (*grpc.ClientConn, error) {
			return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		},
	}.withDefaults()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	a = newAgent(cfg, parts{fakeFabric{h}, lb, fakeSandboxes{h}, fakeGossip{h}, fakeResolver{h}, fakeExecutor{h}, deaf{}, nil, h.paths}, key)
	h.changed = a.workloadChanged
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the agent does not end")
		}
	})
	t.Cleanup(stop)
	return a, stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain until ", what)
		}
	}
}
