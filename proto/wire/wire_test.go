package wire

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// highest is the highest value of each enumeration.
var highest = map[reflect.Type]uint8{
	reflect.TypeFor[swarmnet.Role]():             uint8(swarmnet.RoleManager),
	reflect.TypeFor[swarmnet.Availability]():     uint8(swarmnet.AvailabilityDrain),
	reflect.TypeFor[swarmnet.NodeState]():        uint8(swarmnet.NodeDown),
	reflect.TypeFor[swarmnet.ServiceMode]():      uint8(swarmnet.Global),
	reflect.TypeFor[swarmnet.EndpointMode]():     uint8(swarmnet.EndpointDNSRR),
	reflect.TypeFor[swarmnet.Protocol]():         uint8(swarmnet.SCTP),
	reflect.TypeFor[swarmnet.PublishMode]():      uint8(swarmnet.PublishHost),
	reflect.TypeFor[swarmnet.UpdateOrder]():      uint8(swarmnet.StartFirst),
	reflect.TypeFor[swarmnet.FailureAction]():    uint8(swarmnet.FailureRollback),
	reflect.TypeFor[swarmnet.UpdateState]():      uint8(swarmnet.UpdateRolledBack),
	reflect.TypeFor[swarmnet.TaskState]():        uint8(swarmnet.TaskOrphaned),
	reflect.TypeFor[swarmnet.DesiredState]():     uint8(swarmnet.DesireRemove),
	reflect.TypeFor[swarmnet.RestartCondition](): uint8(swarmnet.RestartNone),
	reflect.TypeFor[swarmnet.NetworkMode]():      uint8(swarmnet.ModeShared),
	reflect.TypeFor[swarmnet.SandboxState]():     uint8(swarmnet.SandboxExited),
}

// fill draws a value for v and everything in it, so that a field that a converter forgets is seen.
func fill(t *rapid.T, v reflect.Value) {
	draw := func(n uint64) uint64 { return rapid.Uint64Max(n).Draw(t, v.Type().String()) }
	switch v.Interface().(type) {
	case time.Time:
		if s := draw(1 << 32); s != 0 {
			v.Set(reflect.ValueOf(time.Unix(int64(s), int64(draw(999_999_999))).UTC()))
		}
		return
	case time.Duration:
		v.SetInt(int64(draw(1 << 62)))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(addr(t)))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(draw(255))}), uint16(draw(65535)))))
		return
	case netip.Prefix:
		if a := addr(t); a.IsValid() {
			v.Set(reflect.ValueOf(netip.PrefixFrom(a, int(draw(uint64(a.BitLen()))))))
		}
		return
	case swarmnet.VNI:
		v.SetUint(draw(uint64(swarmnet.MaxVNI)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		if draw(1) == 1 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		if n := int(draw(2)); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(t, v.Index(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Map:
		for range draw(2) {
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, k)
			fill(t, e)
			v.SetMapIndex(k, e)
		}
	case reflect.String:
		v.SetString(rapid.StringN(0, 4, -1).Draw(t, "string"))
	case reflect.Bool:
		v.SetBool(draw(1) == 1)
	case reflect.Uint8:
		most, ok := highest[v.Type()]
		if !ok {
			most = 255
		}
		v.SetUint(draw(uint64(most)))
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(draw(1<<v.Type().Bits() - 1))
	case reflect.Int:
		v.SetInt(int64(draw(128)))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, "float"))
	default:
		t.Fatalf("no generator for %s", v.Type())
	}
}

func addr(t *rapid.T) netip.Addr {
	b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr")
	switch b[0] % 3 {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom4([4]byte(b[1:5]))
	}
	return netip.AddrFrom16([16]byte(b))
}

// roundTrip checks that a value survives the way over the wire.
func roundTrip[T any, M interface {
	proto.Message
	*P
}, P any](t *testing.T, to func(T) M, from func(M) (T, error)) {
	t.Run(reflect.TypeFor[T]().Name(), rapid.MakeCheck(func(rt *rapid.T) {
		var v T
		fill(rt, reflect.ValueOf(&v).Elem())
		if set, ok := any(&v).(*swarmnet.AssignmentSet); ok {
			identify(set)
		}
		b, err := proto.Marshal(to(v))
		if err != nil {
			rt.Fatal(err)
		}
		m := M(new(P))
		if err := proto.Unmarshal(b, m); err != nil {
			rt.Fatal(err)
		}
		got, err := from(m)
		if err != nil {
			rt.Fatalf("%v\nof %+v", err, v)
		}
		if !reflect.DeepEqual(got, v) {
			rt.Fatalf("got  %+v\nwant %+v", got, v)
		}
	}))
	t.Run(reflect.TypeFor[T]().Name()+"/garbage", rapid.MakeCheck(func(rt *rapid.T) {
		m := M(new(P))
		if proto.Unmarshal(rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes"), m) != nil {
			return
		}
		v, err := from(m)
		if err != nil {
			return
		}
		again, err := from(to(v))
		if err != nil || !reflect.DeepEqual(again, v) {
			rt.Fatalf("what was accepted does not survive: %v\n%+v\n%+v", err, v, again)
		}
	}))
}

// identify gives the objects of a set the ids under which they are listed.
func identify(a *swarmnet.AssignmentSet) {
	out := swarmnet.EmptyAssignmentSet()
	out.Revision, out.Cluster, out.Self = a.Revision, a.Cluster, a.Self
	for k, v := range a.Nodes {
		v.ID = "n" + k
		out.Nodes[v.ID] = v
	}
	for k, v := range a.Networks {
		v.ID = "w" + k
		out.Networks[v.ID] = v
	}
	for k, v := range a.Services {
		v.ID = "s" + k
		out.Services[v.ID] = v
	}
	for k, v := range a.Endpoints {
		v.ID = "e" + k
		out.Endpoints[v.ID] = v
	}
	for k, v := range a.Tasks {
		v.ID = "t" + k
		out.Tasks[v.ID] = v
	}
	*a = out
}

func TestRoundTrip(t *testing.T) {
	roundTrip(t, NodeToProto, NodeFromProto)
	roundTrip(t, NodeSpecToProto, NodeSpecFromProto)
	roundTrip(t, NodeDescriptionToProto, NodeDescriptionFromProto)
	roundTrip(t, NodeStatusToProto, NodeStatusFromProto)
	roundTrip(t, NetworkToProto, NetworkFromProto)
	roundTrip(t, NetworkSpecToProto, NetworkSpecFromProto)
	roundTrip(t, EndpointToProto, EndpointFromProto)
	roundTrip(t, PeerEndpointToProto, PeerEndpointFromProto)
	roundTrip(t, ServiceToProto, ServiceFromProto)
	roundTrip(t, ServiceSpecToProto, ServiceSpecFromProto)
	roundTrip(t, TaskToProto, TaskFromProto)
	roundTrip(t, TaskSpecToProto, TaskSpecFromProto)
	roundTrip(t, TaskStatusToProto, TaskStatusFromProto)
	roundTrip(t, SandboxToProto, SandboxFromProto)
	roundTrip(t, SandboxSpecToProto, SandboxSpecFromProto)
	roundTrip(t, NetworkAttachmentToProto, NetworkAttachmentFromProto)
	roundTrip(t, ClusterToProto, ClusterFromProto)
	roundTrip(t, ClusterSpecToProto, ClusterSpecFromProto)
	roundTrip(t, ClusterViewToProto, ClusterViewFromProto)
	roundTrip(t, AssignmentSetToProto, AssignmentSetFromProto)
}

func TestRefused(t *testing.T) {
	fail := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that says %q", err, want)
		}
	}
	_, err := NodeFromProto(&pb.Node{Role: 7})
	fail(err, "role has the unknown value 7")
	_, err = NodeFromProto(&pb.Node{Role: -1})
	fail(err, "role has the unknown value -1")
	_, err = NodeFromProto(&pb.Node{Index: 1 << 16})
	fail(err, "node.index is 65536")
	_, err = NodeDescriptionFromProto(&pb.NodeDescription{Vtep: []byte{1, 2, 3}})
	fail(err, "description.vtep is an address of 3 octets")
	_, err = NodeDescriptionFromProto(&pb.NodeDescription{GossipAddr: "here"})
	fail(err, `"here" is not ADDRESS:PORT`)
	_, err = NetworkFromProto(&pb.Network{Vni: 1 << 24})
	fail(err, "network.vni")
	_, err = EndpointFromProto(&pb.Endpoint{Mac: []byte{1}})
	fail(err, "endpoint.mac has 1 octets")
	_, err = EndpointFromProto(&pb.Endpoint{Addrs: []*pb.Prefix{{Addr: []byte{10, 0, 0, 1}, Bits: 33}}})
	fail(err, "endpoint.addrs is not a prefix")
	_, err = TaskFromProto(&pb.Task{Spec: &pb.TaskSpec{StopGracePeriod: &durationpb.Duration{Seconds: 300_000_000_000}}})
	fail(err, "stop_grace_period is too long a duration")
	_, err = AssignmentSetFromProto(&pb.Assignments{Tasks: []*pb.Task{{}}})
	fail(err, "a task has no id")
	_, err = AssignmentSetFromProto(&pb.Assignments{Tasks: []*pb.Task{{Id: "a"}, {Id: "a"}}})
	fail(err, "task a is there twice")
}

func TestWorkloadTextIsMadeValid(t *testing.T) {
	m := TaskStatusToProto(swarmnet.TaskStatus{Err: "bad \xff octet"})
	if _, err := proto.Marshal(m); err != nil {
		t.Fatal(err)
	}
}

func TestRedacted(t *testing.T) {
	m := RedactedClusterToProto(swarmnet.Cluster{
		Tokens:     []swarmnet.JoinToken{{Secret: "hidden"}},
		GossipKeys: []swarmnet.GossipKey{{Key: []byte("hidden")}},
		CA:         swarmnet.CA{RootCert: []byte("public"), RootKey: []byte("hidden")},
	})
	if b, _ := proto.Marshal(m); strings.Contains(string(b), "hidden") || !strings.Contains(string(b), "public") {
		t.Fatalf("a secret is left, or the certificate is gone: %s", b)
	}
}
