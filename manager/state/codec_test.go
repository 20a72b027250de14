package state

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// everyCommand has one of each, with every field set.
func everyCommand() []Command {
	spec := swarmnet.DefaultClusterSpec()
	node := swarmnet.NodeID(swarmnet.DeriveID("n"))
	network := swarmnet.NetworkID(swarmnet.DeriveID("net"))
	service := swarmnet.ServiceID(swarmnet.DeriveID("svc"))
	task := swarmnet.TaskID(swarmnet.DeriveID("task"))
	subnet := swarmnet.Subnet{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1"),
		Range: netip.MustParsePrefix("10.0.0.128/25"), Aux: map[string]netip.Addr{"a": netip.MustParseAddr("10.0.0.7")}}
	port := swarmnet.PortSpec{Name: "http", Protocol: swarmnet.UDP, Target: 80, Published: 8080, Mode: swarmnet.PublishHost, HostIP: netip.MustParseAddr("fd00::1")}
	svcSpec := swarmnet.ServiceSpec{Name: "web", Replicas: 3, Ports: []swarmnet.PortSpec{port},
		Networks: []swarmnet.NetworkAttachment{{Network: network, Aliases: []string{"www"}}},
		Task:     swarmnet.TaskSpec{Command: []string{"sleep", "1"}, StopGracePeriod: time.Second}}
	return []Command{
		CreateCluster{swarmnet.Cluster{ID: "c", Spec: spec, Epoch: 2}},
		UpdateCluster{spec},
		SetTokens{[]swarmnet.JoinToken{{Role: swarmnet.RoleManager, SecretHash: []byte{1}, Secret: "s"}}},
		SetGossipKeys{[]swarmnet.GossipKey{{ID: 1, Key: bytes.Repeat([]byte{7}, 32)}}},
		CreateNode{swarmnet.Node{ID: node, Spec: swarmnet.NodeSpec{Name: "n", Role: swarmnet.RoleManager}}},
		UpdateNode{node, swarmnet.NodeSpec{Labels: map[string]string{"a": "b"}, Availability: swarmnet.AvailabilityDrain}, 7},
		SetNodeRole{node, swarmnet.RoleManager},
		SetNodeCert{node, swarmnet.RoleManager, "abc"},
		AssignRaftID{node},
		SetRaftID{node, 4},
		ClearRaftID{node},
		RemoveNode{node, true},
		OpenSession{node, swarmnet.NodeDescription{Hostname: "h", VTEP: netip.MustParseAddr("192.0.2.1")}, node, true},
		ReportPorts{node, 3, []swarmnet.DegradedPort{{Protocol: swarmnet.UDP, Published: 53, HostIP: netip.MustParseAddr("192.0.2.1"), Why: "named (pid 7) has it"}}},
		CloseSession{node, 3, node},
		MarkNodeDown{node, epoch},
		AllocateNodeIngress{node, []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}},
		Acknowledge{node, 2, 7},
		CreateNetwork{swarmnet.Network{ID: network, Spec: swarmnet.NetworkSpec{Name: "app", Driver: "overlay"}}},
		AllocateNetwork{network, 4096, []swarmnet.Subnet{subnet}},
		RemoveNetwork{network},
		CreateService{swarmnet.Service{ID: service, Spec: svcSpec}},
		UpdateService{service, svcSpec, 9},
		RollbackService{service, "why"},
		RemoveService{service},
		AllocateService{service, 2, []swarmnet.VIP{{Network: network, Addr: netip.MustParseAddr("10.0.0.3")}}, []swarmnet.PortSpec{port}},
		ForgetService{service},
		SetUpdateStatus{service, 2, swarmnet.UpdateStatus{State: swarmnet.UpdatePaused, Started: epoch, Message: "m"}},
		CreateTask{swarmnet.Task{ID: task, Service: service, Slot: 1, SpecVersion: 1, Spec: svcSpec.Task, NotBefore: epoch}},
		AllocateTask{task, []swarmnet.Endpoint{{ID: "e", Network: network, Task: task, MAC: swarmnet.MAC{2}, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.4/24")}, DefaultRoute: true}}},
		AssignTask{task, node},
		SetDesired{task, swarmnet.DesireShutdown, "why"},
		UpdateTaskStatus{task, swarmnet.TaskStatus{State: swarmnet.TaskFailed, At: epoch, ExitCode: 1, PID: 5}, node, 2},
		SetTaskMessage{task, "why"},
		RemoveTask{task},
		CreateAttachment{Sandbox: task, Name: "box", Node: node, Service: "ext", Attachment: swarmnet.NetworkAttachment{Network: network, Aliases: []string{"db"}, EndpointSettings: swarmnet.EndpointSettings{
			Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")}, MAC: swarmnet.MAC{2, 0, 0, 0, 0, 9}, GatewayPriority: -1}}},
		RemoveAttachment{task, node, network},
	}
}

func TestBatchRoundTrip(t *testing.T) {
	in := Batch{At: epoch, Actor: "admin", Commands: everyCommand()}
	seen := map[reflect.Type]bool{}
	for _, c := range in.Commands {
		seen[reflect.TypeOf(c)] = true
	}
	if len(seen) != len(in.Commands) || len(seen) != 37 {
		t.Fatalf("%d kinds of commands in %d commands: list every kind once", len(seen), len(in.Commands))
	}
	data, err := EncodeBatch(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range in.Commands {
		if !reflect.DeepEqual(in.Commands[i], out.Commands[i]) {
			t.Errorf("%T became\n%+v, was\n%+v", in.Commands[i], out.Commands[i], in.Commands[i])
		}
	}
	if !out.At.Equal(in.At) || out.Actor != in.Actor {
		t.Errorf("the envelope became %v %v", out.At, out.Actor)
	}
}

func TestUnknownCommandIsRefused(t *testing.T) {
	// A command of field 500: what a newer version might write.
	data := []byte{0x1a, 0x05, 0xa2, 0x1f, 0x02, 0x08, 0x01}
	if b, err := DecodeBatch(data); err == nil {
		t.Fatalf("decoded %+v", b)
	}
}

func TestResultsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Uint64Range(0, 1<<40).Draw(t, "base")
		rev := base
		var in []Result
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			r := Result{Changed: rapid.Bool().Draw(t, "changed")}
			if r.Changed {
				rev++
			}
			r.Revision = rev
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				r.Err = reject(NotFound, "%s", rapid.String().Draw(t, "message"))
			case 1:
				r.RaftID, r.Epoch, r.ID = 3, 4, "id"
			}
			in = append(in, r)
		}
		out, err := encodeResults(base, in).decode()
		if err != nil || len(out) != len(in) {
			t.Fatal(err, out)
		}
		for i := range in {
			if !reflect.DeepEqual(in[i], out[i]) {
				t.Fatalf("%+v became %+v", in[i], out[i])
			}
		}
	})
}

// No octets make the decoder or Apply panic, and what decodes applies the same way twice.
func FuzzDecodeBatch(f *testing.F) {
	for _, c := range everyCommand() {
		data, err := EncodeBatch(Batch{At: epoch, Commands: []Command{c}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	start := populated(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBatch(data)
		if err != nil {
			return
		}
		for _, s := range []*State{New(), start} {
			one, _, _, err := ApplyBatch(s, b, [16]byte{1})
			if err != nil {
				t.Fatal(err)
			}
			two, _, _, err := ApplyBatch(s, b, [16]byte{1})
			if err != nil || one.Hash() != two.Hash() {
				t.Fatal("not deterministic", err)
			}
			if err := one.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	var b bytes.Buffer
	if _, err := populated(f).Snapshot().WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Restore(bytes.NewReader(data))
		if err != nil {
			return
		}
		if _, err := s.Snapshot().WriteTo(&bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
	})
}
