package state

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// DecodeBatch reads what EncodeBatch made. An entry that it cannot read was written by a newer version, or is damaged:
// a manager that meets one in its log must stop.
func DecodeBatch(data []byte) (Batch, error) {
	var m pb.Batch
	if err := proto.Unmarshal(data, &m); err != nil {
		return Batch{}, fmt.Errorf("decode a batch of commands: %w", err)
	}
	var d decoding
	b := Batch{At: d.time(m.GetAt()), Actor: m.GetActor()}
	for i, c := range m.GetCommands() {
		b.Commands = append(b.Commands, d.command(c))
		if d.err != nil {
			return Batch{}, fmt.Errorf("decode command %d of a batch: %w", i, d.err)
		}
	}
	return b, nil
}

// decoding keeps the first error.
type decoding struct{ err error }

func got[T any](d *decoding) func(T, error) T {
	return func(v T, err error) T {
		if err != nil && d.err == nil {
			d.err = err
		}
		return v
	}
}

func (d *decoding) time(m *timestamppb.Timestamp) time.Time {
	if m == nil {
		return time.Time{}
	}
	if err := m.CheckValid(); err != nil && d.err == nil {
		d.err = err
	}
	return m.AsTime()
}

func (d *decoding) subnets(m []*pb.Subnet) []swarmnet.Subnet {
	return got[swarmnet.Network](d)(wire.NetworkFromProto(&pb.Network{Subnets: m})).Subnets
}

func (d *decoding) prefixes(m []*pb.Prefix) []netip.Prefix {
	return got[swarmnet.Endpoint](d)(wire.EndpointFromProto(&pb.Endpoint{Addrs: m})).Addrs
}

func (d *decoding) cluster(m *pb.Cluster) swarmnet.Cluster {
	return got[swarmnet.Cluster](d)(wire.ClusterFromProto(m))
}

func (d *decoding) service(m *pb.Service) swarmnet.Service {
	return got[swarmnet.Service](d)(wire.ServiceFromProto(m))
}

func (d *decoding) role(m pb.Role) swarmnet.Role { return got[swarmnet.Role](d)(wire.RoleFromProto(m)) }

func (d *decoding) command(m *pb.Command) Command {
	switch c := m.GetCommand().(type) {
	case *pb.Command_CreateCluster:
		return CreateCluster{d.cluster(c.CreateCluster)}
	case *pb.Command_UpdateCluster:
		return UpdateCluster{got[swarmnet.ClusterSpec](d)(wire.ClusterSpecFromProto(c.UpdateCluster))}
	case *pb.Command_SetTokens:
		return SetTokens{d.cluster(&pb.Cluster{Tokens: c.SetTokens.GetTokens()}).Tokens}
	case *pb.Command_SetGossipKeys:
		return SetGossipKeys{d.cluster(&pb.Cluster{GossipKeys: c.SetGossipKeys.GetKeys()}).GossipKeys}
	case *pb.Command_CreateNode:
		return CreateNode{got[swarmnet.Node](d)(wire.NodeFromProto(c.CreateNode))}
	case *pb.Command_UpdateNode:
		u := c.UpdateNode
		return UpdateNode{swarmnet.NodeID(u.GetId()), got[swarmnet.NodeSpec](d)(wire.NodeSpecFromProto(u.GetSpec())), u.GetVersion()}
	case *pb.Command_SetNodeRole:
		return SetNodeRole{swarmnet.NodeID(c.SetNodeRole.GetId()), d.role(c.SetNodeRole.GetRole())}
	case *pb.Command_SetNodeCert:
		u := c.SetNodeCert
		return SetNodeCert{swarmnet.NodeID(u.GetId()), d.role(u.GetRole()), u.GetSerial()}
	case *pb.Command_AssignRaftId:
		return AssignRaftID{swarmnet.NodeID(c.AssignRaftId)}
	case *pb.Command_SetRaftId:
		return SetRaftID{swarmnet.NodeID(c.SetRaftId.GetNode()), c.SetRaftId.GetRaftId()}
	case *pb.Command_ClearRaftId:
		return ClearRaftID{swarmnet.NodeID(c.ClearRaftId)}
	case *pb.Command_RemoveNode:
		return RemoveNode{swarmnet.NodeID(c.RemoveNode.GetId()), c.RemoveNode.GetForce()}
	case *pb.Command_OpenSession:
		u := c.OpenSession
		return OpenSession{swarmnet.NodeID(u.GetNode()), got[swarmnet.NodeDescription](d)(wire.NodeDescriptionFromProto(u.GetDescription())),
			swarmnet.NodeID(u.GetManager()), u.GetNewEpoch()}
	case *pb.Command_ReportPorts:
		u := c.ReportPorts
		return ReportPorts{swarmnet.NodeID(u.GetNode()), u.GetEpoch(), got[[]swarmnet.DegradedPort](d)(wire.DegradedPortsFromProto(u.GetPorts()))}
	case *pb.Command_CloseSession:
		u := c.CloseSession
		return CloseSession{swarmnet.NodeID(u.GetNode()), u.GetEpoch(), swarmnet.NodeID(u.GetManager())}
	case *pb.Command_MarkNodeDown:
		return MarkNodeDown{swarmnet.NodeID(c.MarkNodeDown.GetNode()), d.time(c.MarkNodeDown.GetSince())}
	case *pb.Command_AllocateNodeIngress:
		return AllocateNodeIngress{swarmnet.NodeID(c.AllocateNodeIngress.GetNode()), d.prefixes(c.AllocateNodeIngress.GetAddrs())}
	case *pb.Command_Acknowledge:
		return Acknowledge{swarmnet.NodeID(c.Acknowledge.GetNode()), c.Acknowledge.GetEpoch(), c.Acknowledge.GetRevision()}
	case *pb.Command_CreateNetwork:
		return CreateNetwork{got[swarmnet.Network](d)(wire.NetworkFromProto(c.CreateNetwork))}
	case *pb.Command_AllocateNetwork:
		u := c.AllocateNetwork
		return AllocateNetwork{swarmnet.NetworkID(u.GetId()), swarmnet.VNI(u.GetVni()), d.subnets(u.GetSubnets())}
	case *pb.Command_RemoveNetwork:
		return RemoveNetwork{swarmnet.NetworkID(c.RemoveNetwork)}
	}
	return d.serviceCommand(m)
}

func (d *decoding) serviceCommand(m *pb.Command) Command {
	switch c := m.GetCommand().(type) {
	case *pb.Command_CreateService:
		return CreateService{d.service(c.CreateService)}
	case *pb.Command_UpdateService:
		u := c.UpdateService
		return UpdateService{swarmnet.ServiceID(u.GetId()), got[swarmnet.ServiceSpec](d)(wire.ServiceSpecFromProto(u.GetSpec())), u.GetVersion()}
	case *pb.Command_RollbackService:
		return RollbackService{swarmnet.ServiceID(c.RollbackService.GetId()), c.RollbackService.GetMessage()}
	case *pb.Command_RemoveService:
		return RemoveService{swarmnet.ServiceID(c.RemoveService)}
	case *pb.Command_AllocateService:
		u := c.AllocateService
		v := d.service(&pb.Service{Vips: u.GetVips(), Ports: u.GetPorts()})
		return AllocateService{swarmnet.ServiceID(u.GetId()), u.GetVersion(), v.VIPs, v.Ports}
	case *pb.Command_ForgetService:
		return ForgetService{swarmnet.ServiceID(c.ForgetService)}
	case *pb.Command_SetUpdateStatus:
		u := c.SetUpdateStatus
		return SetUpdateStatus{swarmnet.ServiceID(u.GetId()), u.GetVersion(), d.service(&pb.Service{Update: u.GetStatus()}).Update}
	case *pb.Command_CreateTask:
		return CreateTask{got[swarmnet.Task](d)(wire.TaskFromProto(c.CreateTask))}
	case *pb.Command_AllocateTask:
		out := AllocateTask{Task: swarmnet.TaskID(c.AllocateTask.GetTask())}
		for _, e := range c.AllocateTask.GetEndpoints() {
			out.Endpoints = append(out.Endpoints, got[swarmnet.Endpoint](d)(wire.EndpointFromProto(e)))
		}
		return out
	case *pb.Command_AssignTask:
		return AssignTask{swarmnet.TaskID(c.AssignTask.GetTask()), swarmnet.NodeID(c.AssignTask.GetNode())}
	case *pb.Command_SetDesired:
		t := got[swarmnet.Task](d)(wire.TaskFromProto(&pb.Task{Desired: c.SetDesired.GetDesired()}))
		return SetDesired{swarmnet.TaskID(c.SetDesired.GetTask()), t.Desired, c.SetDesired.GetNote()}
	case *pb.Command_UpdateTaskStatus:
		u := c.UpdateTaskStatus
		return UpdateTaskStatus{swarmnet.TaskID(u.GetTask()), got[swarmnet.TaskStatus](d)(wire.TaskStatusFromProto(u.GetStatus())),
			swarmnet.NodeID(u.GetNode()), u.GetEpoch()}
	case *pb.Command_SetTaskMessage:
		return SetTaskMessage{swarmnet.TaskID(c.SetTaskMessage.GetTask()), c.SetTaskMessage.GetMessage()}
	case *pb.Command_RemoveTask:
		return RemoveTask{swarmnet.TaskID(c.RemoveTask)}
	case *pb.Command_CreateAttachment:
		u := c.CreateAttachment
		return CreateAttachment{swarmnet.TaskID(u.GetSandbox()), u.GetName(), swarmnet.NodeID(u.GetNode()),
			got[swarmnet.NetworkAttachment](d)(wire.NetworkAttachmentFromProto(u.GetAttachment())), u.GetService()}
	case *pb.Command_DrainAttachment:
		u := c.DrainAttachment
		return DrainAttachment{swarmnet.TaskID(u.GetSandbox()), swarmnet.NodeID(u.GetNode())}
	case *pb.Command_RemoveAttachment:
		u := c.RemoveAttachment
		return RemoveAttachment{swarmnet.TaskID(u.GetSandbox()), swarmnet.NodeID(u.GetNode()), swarmnet.NetworkID(u.GetNetwork())}
	}
	if d.err == nil {
		d.err = errors.New("an unknown command: it takes a newer version to read it")
	}
	return nil
}
