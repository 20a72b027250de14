package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// noon is when the commands of the tests run.
var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// fake is a daemon that answers from a fixed set and notes what it was asked to change.
type fake struct {
	pb.UnimplementedLocalServer
	mu        sync.Mutex
	asked     bytes.Buffer
	sandboxes []*pb.Sandbox
	nets      []*pb.Network
	output    []*pb.LogChunk
	cluster   *fakeCluster // nil: in no cluster
	// hold, if there is one, holds the command "hold" until a signal comes for it; holding says that it does.
	hold    chan struct{}
	holding bool
	diffs   []*pb.NodeDiff
	ended   bool // what runs has ended before anybody can attach
}

// await holds a command until it gets a signal.
func (f *fake) await(ctx context.Context) {
	f.mu.Lock()
	f.holding = true
	f.mu.Unlock()
	select {
	case <-f.hold:
	case <-ctx.Done():
	}
}

// fakeCluster is what the cluster's half answers from.
type fakeCluster struct {
	pb.UnimplementedControlServer
	nets      []*pb.Network
	services  []*pb.Service
	tasks     []*pb.Task
	endpoints []*pb.Endpoint
	err       error
	note      func(name string, m proto.Message)
}

func (f *fake) note(name string, m proto.Message) {
	raw, err := protojson.Marshal(m)
	if err != nil {
		panic(err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil { // protojson's spaces are random on purpose
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(&f.asked, "> %s %s\n", name, b.String())
}

// session runs command lines against a fake daemon on a unix socket.
type session struct {
	t    *testing.T
	fake *fake
	host string
}

func newSession(t *testing.T, f *fake) session {
	t.Helper()
	t.Setenv("SWARMNET_HOST", "unix:///run/swarmnet/swarmnet.sock") // help shows it
	t.Setenv("SWARMNET_CERT_PATH", "")
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterLocalServer(s, f)
	if f.cluster != nil {
		f.cluster.note = f.note
		pb.RegisterControlServer(s, f.cluster)
	} else {
		pb.RegisterControlServer(s, &fakeCluster{err: status.Error(codes.FailedPrecondition, "this node is in no cluster: make one with `swarmnet cluster init`, or join one with `swarmnet cluster join`"), note: f.note})
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return session{t, f, "unix://" + path}
}

// run runs one command line and returns everything that it gave: output, what the daemon was asked to change, errors, status.
func (s session) run(args []string, stdin string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, now: func() time.Time { return noon }, atOnce: 1}
	root := a.root()
	root.SetArgs(append([]string{"--host", s.host}, args...))
	root.SetOut(&out)
	root.SetErr(&errs)
	code := report(&errs, root.ExecuteContext(context.Background()))
	if a.conn != nil {
		a.conn.Close()
	}
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	text := s.fake.asked.String() + out.String() + errs.String()
	s.fake.asked.Reset()
	if code != 0 {
		text += fmt.Sprintf("status %d\n", code)
	}
	return text
}

func (f *fake) Info(context.Context, *pb.InfoRequest) (*pb.InfoResponse, error) {
	if f.cluster == nil {
		return &pb.InfoResponse{State: "inactive"}, nil
	}
	return &pb.InfoResponse{
		State: "active", NodeId: "node1", ClusterId: "cluster1", Hostname: "n1", Role: pb.Role_ROLE_MANAGER, Quorum: true, Managers: []string{"192.0.2.1:4747"}, ManagerCount: 1, NodeCount: 1,
		AdvertiseAddr: "192.0.2.1:4747", Vtep: "192.0.2.1", DataPathPort: 4789, RunningTasks: 3, Kernel: "6.1.0", Version: "1.0", Uptime: durationpb.New(time.Hour), Repaired: 2,
		Balancer: "nft", BalancerWhy: "this kernel has no IPVS (CONFIG_IP_VS, module ip_vs)",
	}, nil
}

func (f *fake) ListNetworks(context.Context, *pb.ListNetworksRequest) (*pb.ListNetworksResponse, error) {
	return &pb.ListNetworksResponse{Networks: f.nets}, nil
}

func (f *fake) CreateNetwork(_ context.Context, r *pb.CreateNetworkRequest) (*pb.Network, error) {
	f.note("local CreateNetwork", r)
	return &pb.Network{Id: "newnetwork"}, nil
}

func (f *fake) RemoveNetwork(_ context.Context, r *pb.ObjectRef) (*pb.RemoveNetworkResponse, error) {
	f.note("local RemoveNetwork", r)
	return &pb.RemoveNetworkResponse{}, nil
}

func (f *fake) ListSandboxes(context.Context, *pb.ListSandboxesRequest) (*pb.ListSandboxesResponse, error) {
	return &pb.ListSandboxesResponse{Sandboxes: f.sandboxes}, nil
}

func (f *fake) GetSandbox(_ context.Context, r *pb.ObjectRef) (*pb.Sandbox, error) {
	for _, s := range f.sandboxes {
		if s.GetSpec().GetName() == r.GetRef() || s.GetId() == r.GetRef() {
			return s, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "no sandbox %q on this node: `swarmnet ps -a` lists them", r.GetRef())
}

func (f *fake) CreateSandbox(_ context.Context, r *pb.CreateSandboxRequest) (*pb.Sandbox, error) {
	f.note("CreateSandbox", r)
	if c := r.GetSpec().GetTask().GetCommand()[0]; c == "nosuch" {
		return nil, status.Error(codes.FailedPrecondition, "command not found: nosuch is nowhere in PATH")
	}
	return &pb.Sandbox{Id: "newsandbox", Spec: r.GetSpec()}, nil
}

func (f *fake) StartSandbox(_ context.Context, r *pb.ObjectRef) (*pb.Sandbox, error) {
	f.note("StartSandbox", r)
	return &pb.Sandbox{Id: r.GetRef()}, nil
}

func (f *fake) StopSandbox(_ context.Context, r *pb.StopSandboxRequest) (*pb.Sandbox, error) {
	f.note("StopSandbox", r)
	if f.hold != nil {
		close(f.hold)
	}
	return &pb.Sandbox{}, nil
}

func (f *fake) RemoveSandbox(_ context.Context, r *pb.RemoveSandboxRequest) (*pb.RemoveSandboxResponse, error) {
	f.note("RemoveSandbox", r)
	return &pb.RemoveSandboxResponse{}, nil
}

func (f *fake) RestartSandbox(_ context.Context, r *pb.StopSandboxRequest) (*pb.Sandbox, error) {
	f.note("RestartSandbox", r)
	return &pb.Sandbox{}, nil
}

func (f *fake) SignalSandbox(_ context.Context, r *pb.SignalSandboxRequest) (*pb.Sandbox, error) {
	f.note("SignalSandbox", r)
	if f.hold != nil {
		close(f.hold)
	}
	return &pb.Sandbox{}, nil
}

func (f *fake) RenameSandbox(_ context.Context, r *pb.RenameSandboxRequest) (*pb.Sandbox, error) {
	f.note("RenameSandbox", r)
	return &pb.Sandbox{}, nil
}

func (f *fake) Top(context.Context, *pb.ObjectRef) (*pb.TopResponse, error) {
	return &pb.TopResponse{Processes: []*pb.Process{
		{Pid: 100, Parent: 90, User: "root", Started: timestamppb.New(noon.Add(-time.Hour)), Cpu: durationpb.New(65 * time.Second), Memory: 3 << 20, Command: "sleep 100000"},
		{Pid: 101, Parent: 100, User: "nobody", Started: timestamppb.New(noon.Add(-72 * time.Hour)), Cpu: durationpb.New(0), Memory: 1 << 20, Command: strings.Repeat("x", 100)},
	}}, nil
}

// Attach is an Exec of cat, in a sandbox that ends with status 3; in one called ended it has.
func (f *fake) Attach(s grpc.BidiStreamingServer[pb.ExecRequest, pb.ExecResponse]) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	f.note("Attach", first)
	if f.ended {
		return status.Error(codes.FailedPrecondition, "the task has ended")
	}
	if err := s.Send(&pb.ExecResponse{Message: &pb.ExecResponse_Stdout{Stdout: []byte("prompt\n")}}); err != nil {
		return err
	}
	if err := echo(s, first.GetStart().GetInteractive()); err != nil {
		return err
	}
	return s.Send(&pb.ExecResponse{Message: &pb.ExecResponse_Exit{Exit: &pb.ExecExit{Code: 3}}})
}

// echo sends back what it gets, until the end of the input or the key for that.
func echo(s grpc.BidiStreamingServer[pb.ExecRequest, pb.ExecResponse], interactive bool) error {
	for interactive {
		m, err := s.Recv()
		if err == io.EOF || m.GetCloseStdin() {
			break
		}
		if err != nil {
			return err
		}
		if err := s.Send(&pb.ExecResponse{Message: &pb.ExecResponse_Stdout{Stdout: m.GetStdin()}}); err != nil {
			return err
		}
		if bytes.HasSuffix(m.GetStdin(), []byte("\x04")) {
			break
		}
	}
	return nil
}

// WaitSandbox: what is made here ends with status 3.
func (f *fake) WaitSandbox(context.Context, *pb.ObjectRef) (*pb.Sandbox, error) {
	return &pb.Sandbox{Id: "newsandbox", State: pb.SandboxState_SANDBOX_STATE_EXITED, Status: &pb.TaskStatus{ExitCode: 3}}, nil
}

func (f *fake) ConnectNetwork(_ context.Context, r *pb.ConnectNetworkRequest) (*pb.Sandbox, error) {
	f.note("ConnectNetwork", r)
	return &pb.Sandbox{}, nil
}

func (f *fake) DisconnectNetwork(_ context.Context, r *pb.DisconnectNetworkRequest) (*pb.Sandbox, error) {
	f.note("DisconnectNetwork", r)
	return &pb.Sandbox{}, nil
}

func (f *fake) Logs(r *pb.LogsRequest, s grpc.ServerStreamingServer[pb.LogChunk]) error {
	f.note("Logs", r)
	if f.hold != nil {
		f.await(s.Context())
	}
	output := f.output
	if r.GetFollow() && r.GetTask() == "cccccccccccc0000000000000" { // it was started again, and its output goes on
		output = append(output, &pb.LogChunk{Data: []byte("again\n")})
	}
	for _, c := range output {
		if err := s.Send(c); err != nil {
			return err
		}
	}
	return nil
}

// Exec echoes standard input; the command `nosuch` does not exist, `fail` ends with status 4, `hold` with a signal, `hangup` with the
// key that ends the input.
func (f *fake) Exec(s grpc.BidiStreamingServer[pb.ExecRequest, pb.ExecResponse]) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	f.note("Exec", first)
	exit := &pb.ExecExit{}
	switch first.GetStart().GetCommand()[0] {
	case "nosuch":
		exit = &pb.ExecExit{Code: 127, Err: "nosuch is nowhere in PATH"}
	case "fail":
		exit.Code = 4
	case "hold":
		f.mu.Lock()
		f.holding = true
		f.mu.Unlock()
		m, err := s.Recv()
		if err != nil {
			return err
		}
		f.note("Signal", m)
	}
	if err := echo(s, first.GetStart().GetInteractive()); err != nil {
		return err
	}
	return s.Send(&pb.ExecResponse{Message: &pb.ExecResponse_Exit{Exit: exit}})
}

func (f *fakeCluster) ListNetworks(context.Context, *pb.ListNetworksRequest) (*pb.ListNetworksResponse, error) {
	return &pb.ListNetworksResponse{Networks: f.nets}, f.err
}

func (f *fakeCluster) CreateNetwork(_ context.Context, r *pb.CreateNetworkRequest) (*pb.Network, error) {
	f.note("cluster CreateNetwork", r)
	return &pb.Network{Id: "newoverlay"}, f.err
}

func (f *fakeCluster) RemoveNetwork(_ context.Context, r *pb.ObjectRef) (*pb.RemoveNetworkResponse, error) {
	f.note("cluster RemoveNetwork", r)
	return &pb.RemoveNetworkResponse{}, f.err
}

func (f *fakeCluster) ListServices(context.Context, *pb.ListServicesRequest) (*pb.ListServicesResponse, error) {
	return &pb.ListServicesResponse{Services: f.services}, f.err
}

func (f *fakeCluster) ListTasks(context.Context, *pb.ListTasksRequest) (*pb.ListTasksResponse, error) {
	return &pb.ListTasksResponse{Tasks: f.tasks}, f.err
}

func (f *fakeCluster) ListNodes(context.Context, *pb.ListNodesRequest) (*pb.ListNodesResponse, error) {
	return &pb.ListNodesResponse{Nodes: []*pb.Node{someNodeOfCluster()}}, f.err
}

func (f *fakeCluster) GetNode(context.Context, *pb.ObjectRef) (*pb.Node, error) {
	return someNodeOfCluster(), f.err
}

func someNodeOfCluster() *pb.Node {
	return wire.NodeToProto(swarmnet.Node{ID: "node1", Spec: swarmnet.NodeSpec{Name: "n1"}, Description: swarmnet.NodeDescription{
		Hostname: "n1", Version: "1.0", OS: "linux", Arch: "amd64", Kernel: "6.1.0", Balancer: "ipvs rr", BalancerWhy: "this kernel has IPVS",
	}})
}

func (f *fakeCluster) ListEndpoints(_ context.Context, r *pb.ListEndpointsRequest) (*pb.ListEndpointsResponse, error) {
	var out []*pb.Endpoint
	for _, e := range f.endpoints {
		if r.GetNetwork() == "" || e.GetNetwork() == r.GetNetwork() {
			out = append(out, e)
		}
	}
	return &pb.ListEndpointsResponse{Endpoints: out}, f.err
}

func netOf(id, name, driver, subnet string) *pb.Network {
	n := swarmnet.Network{ID: swarmnet.NetworkID(id), Spec: swarmnet.NetworkSpec{Name: name, Driver: driver}, Meta: swarmnet.Meta{CreatedAt: noon.Add(-24 * time.Hour)}}
	if subnet != "" {
		p := netip.MustParsePrefix(subnet)
		n.Subnets = []swarmnet.Subnet{{Prefix: p, Gateway: p.Addr().Next()}}
	}
	return wire.NetworkToProto(n)
}

func endpointOf(network, task, addr string) swarmnet.Endpoint {
	p := netip.MustParsePrefix(addr)
	return swarmnet.Endpoint{Node: "node1", ID: swarmnet.EndpointID("e-" + task), Network: swarmnet.NetworkID(network), Task: swarmnet.TaskID(task), MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p}, DefaultRoute: true}
}

// someNode is a node with a bit of everything.
func someNode() *fake {
	box := func(id, name string, state swarmnet.SandboxState, age time.Duration, change func(*swarmnet.Sandbox)) *pb.Sandbox {
		s := swarmnet.Sandbox{
			ID: swarmnet.TaskID(id), Meta: swarmnet.Meta{CreatedAt: noon.Add(-age)}, State: state, Started: noon.Add(-age + time.Second),
			Spec: swarmnet.SandboxSpec{Name: name, Task: swarmnet.TaskSpec{Command: []string{"sleep", "100000"}, Restart: swarmnet.RestartPolicy{Condition: swarmnet.RestartNone}}},
		}
		change(&s)
		return wire.SandboxToProto(s)
	}
	task := box("tttttttttttt0000000000000", "web.1.tttttttttttt0000000000000", swarmnet.SandboxRunning, 3*time.Hour, func(s *swarmnet.Sandbox) {
		s.Endpoints = []swarmnet.Endpoint{endpointOf("oooooooooooo0000000000000", "tttttttttttt0000000000000", "10.0.1.3/24")}
	})
	task.Service = "web"
	return &fake{
		nets: []*pb.Network{
			netOf("bbbbbbbbbbbb0000000000000", "bridge", "bridge", "172.29.0.0/16"), netOf("hhhhhhhhhhhh0000000000000", "host", "host", ""),
			netOf("mmmmmmmmmmmm0000000000000", "mynet", "bridge", "172.30.0.0/24"), netOf("nnnnnnnnnnnn0000000000000", "none", "none", ""),
			netOf("uuuuuuuuuuuu0000000000000", "unused", "bridge", "172.31.0.0/24"),
		},
		sandboxes: []*pb.Sandbox{
			box("aaaaaaaaaaaa0000000000000", "db", swarmnet.SandboxRunning, 5*time.Minute, func(s *swarmnet.Sandbox) {
				s.Spec.Task.Labels = map[string]string{"tier": "data"}
				s.Endpoints = []swarmnet.Endpoint{endpointOf("mmmmmmmmmmmm0000000000000", "aaaaaaaaaaaa0000000000000", "172.30.0.2/24")}
				s.Ports = []swarmnet.PortSpec{
					{Target: 5432, Published: 5432, Mode: swarmnet.PublishHost}, {Target: 80, Published: 8080, Mode: swarmnet.PublishHost, HostIP: netip.MustParseAddr("127.0.0.1")},
					{Target: 7000, Published: 7000, Protocol: swarmnet.UDP, Mode: swarmnet.PublishHost}, {Target: 7001, Published: 7001, Protocol: swarmnet.UDP, Mode: swarmnet.PublishHost},
				}
			}),
			box("cccccccccccc0000000000000", "old", swarmnet.SandboxExited, 2*time.Hour, func(s *swarmnet.Sandbox) {
				s.Status.ExitCode, s.Finished = 137, noon.Add(-time.Hour)
				s.Spec.Networks = []swarmnet.NetworkAttachment{{Network: "bbbbbbbbbbbb0000000000000"}}
				s.Endpoints = []swarmnet.Endpoint{endpointOf("bbbbbbbbbbbb0000000000000", "cccccccccccc0000000000000", "172.29.0.2/16")}
			}),
			box("dddddddddddd0000000000000", "sharer", swarmnet.SandboxRunning, time.Minute, func(s *swarmnet.Sandbox) {
				s.Spec.Mode, s.Spec.SharedWith = swarmnet.ModeShared, "cccccccccccc0000000000000"
			}),
			box("ffffffffffff0000000000000", "fresh", swarmnet.SandboxCreated, time.Second, func(s *swarmnet.Sandbox) { s.Spec.Mode = swarmnet.ModeNone }),
			task,
		},
		output: []*pb.LogChunk{{Data: []byte("out\n"), At: timestamppb.New(noon)}, {Data: []byte("err\n"), Stderr: true, At: timestamppb.New(noon.Add(time.Millisecond))}},
	}
}

// someMember is the same node in a cluster.
func someMember() *fake {
	f := someNode()
	web := swarmnet.Service{ID: "wwwwwwwwwwww0000000000000", Spec: swarmnet.ServiceSpec{Name: "web", Networks: []swarmnet.NetworkAttachment{{Network: "oooooooooooo0000000000000"}}},
		VIPs: []swarmnet.VIP{{Network: "oooooooooooo0000000000000", Addr: netip.MustParseAddr("10.0.1.2")}}}
	task := swarmnet.Task{ID: "tttttttttttt0000000000000", Service: web.ID, ServiceName: "web", Slot: 1, Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}}
	f.cluster = &fakeCluster{
		nets:      []*pb.Network{netOf("iiiiiiiiiiii0000000000000", "ingress", "overlay", "10.0.0.0/24"), netOf("oooooooooooo0000000000000", "app", "overlay", "10.0.1.0/24"), netOf("pppppppppppp0000000000000", "idle", "overlay", "10.0.2.0/24")},
		services:  []*pb.Service{wire.ServiceToProto(web)},
		tasks:     []*pb.Task{wire.TaskToProto(task)},
		endpoints: []*pb.Endpoint{wire.EndpointToProto(endpointOf("oooooooooooo0000000000000", "tttttttttttt0000000000000", "10.0.1.3/24"))},
	}
	return f
}
