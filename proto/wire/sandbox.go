package wire

import (
	"net/netip"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func SandboxSpecToProto(s swarmnet.SandboxSpec) *pb.SandboxSpec {
	return &pb.SandboxSpec{
		Name: s.Name, Task: TaskSpecToProto(s.Task), Mode: enumTo[pb.NetworkMode](s.Mode), SharedWith: string(s.SharedWith),
		Networks: each(s.Networks, attachmentTo), Ports: each(s.Ports, portTo),
		AutoRemove: s.AutoRemove, StartWithDaemon: s.StartWithDaemon,
	}
}

func SandboxSpecFromProto(m *pb.SandboxSpec) (swarmnet.SandboxSpec, error) {
	return decode((*decoder).sandboxSpec, m)
}

func (d *decoder) sandboxSpec(m *pb.SandboxSpec) swarmnet.SandboxSpec {
	return swarmnet.SandboxSpec{
		Name: m.GetName(), Task: d.taskSpec(m.GetTask()), Mode: enumFrom(d, "network mode", m.GetMode(), swarmnet.ModeShared),
		SharedWith: swarmnet.TaskID(m.GetSharedWith()),
		Networks:   decodeEach(d, m.GetNetworks(), (*decoder).attachment), Ports: decodeEach(d, m.GetPorts(), (*decoder).portSpec),
		AutoRemove: m.GetAutoRemove(), StartWithDaemon: m.GetStartWithDaemon(),
	}
}

// SandboxToProto leaves out the service, which the vocabulary does not have.
func SandboxToProto(s swarmnet.Sandbox) *pb.Sandbox {
	return &pb.Sandbox{
		Id: string(s.ID), Meta: metaTo(s.Meta), Spec: SandboxSpecToProto(s.Spec), Wanted: s.Wanted,
		Endpoints: each(s.Endpoints, EndpointToProto), Ports: each(s.Ports, portTo),
		State: enumTo[pb.SandboxState](s.State), Restarts: s.Restarts, Status: TaskStatusToProto(s.Status),
		Started: timeTo(s.Started), Finished: timeTo(s.Finished),
	}
}

func SandboxFromProto(m *pb.Sandbox) (swarmnet.Sandbox, error) {
	return decode((*decoder).sandbox, m)
}

func (d *decoder) sandbox(m *pb.Sandbox) swarmnet.Sandbox {
	return swarmnet.Sandbox{
		ID: swarmnet.TaskID(m.GetId()), Meta: d.meta(m.GetMeta()), Spec: d.sandboxSpec(m.GetSpec()), Wanted: m.GetWanted(),
		Endpoints: decodeEach(d, m.GetEndpoints(), (*decoder).endpoint), Ports: decodeEach(d, m.GetPorts(), (*decoder).portSpec),
		State:    enumFrom(d, "sandbox state", m.GetState(), swarmnet.SandboxExited),
		Restarts: m.GetRestarts(), Status: d.taskStatus(m.GetStatus()),
		Started: d.time("sandbox.started", m.GetStarted()), Finished: d.time("sandbox.finished", m.GetFinished()),
	}
}

func NetworkAttachmentToProto(a swarmnet.NetworkAttachment) *pb.NetworkAttachment {
	return attachmentTo(a)
}

func NetworkAttachmentFromProto(m *pb.NetworkAttachment) (swarmnet.NetworkAttachment, error) {
	return decode((*decoder).attachment, m)
}

func attachmentTo(a swarmnet.NetworkAttachment) *pb.NetworkAttachment {
	return &pb.NetworkAttachment{
		Network: string(a.Network), Aliases: words(a.Aliases),
		Addrs: each(a.Addrs, addrTo), Mac: macTo(a.MAC), GatewayPriority: int32(a.GatewayPriority),
	}
}

func (d *decoder) attachment(m *pb.NetworkAttachment) swarmnet.NetworkAttachment {
	return swarmnet.NetworkAttachment{
		Network: swarmnet.NetworkID(m.GetNetwork()), Aliases: words(m.GetAliases()),
		EndpointSettings: swarmnet.EndpointSettings{
			Addrs: each(m.GetAddrs(), func(b []byte) netip.Addr { return d.addr("attachment.addrs", b) }),
			MAC:   d.mac("attachment.mac", m.GetMac()), GatewayPriority: int(m.GetGatewayPriority()),
		},
	}
}
