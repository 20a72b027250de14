package state

import (
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// EncodeBatch returns the bytes of an entry of the log.
func EncodeBatch(b Batch) ([]byte, error) {
	m := &pb.Batch{At: timestamp(b.At), Actor: b.Actor, Commands: make([]*pb.Command, len(b.Commands))}
	for i, c := range b.Commands {
		var err error
		if m.Commands[i], err = encodeCommand(c); err != nil {
			return nil, err
		}
	}
	out, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode a batch of commands: %w", err)
	}
	return out, nil
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// Parts of objects travel through the converters of the whole object.

func subnetsToProto(subnets []swarmnet.Subnet) []*pb.Subnet {
	return wire.NetworkToProto(swarmnet.Network{Subnets: subnets}).GetSubnets()
}

func prefixesToProto(p []netip.Prefix) []*pb.Prefix {
	return wire.EndpointToProto(swarmnet.Endpoint{Addrs: p}).GetAddrs()
}

func encodeCommand(c Command) (*pb.Command, error) {
	m := &pb.Command{}
	switch c := c.(type) {
	case CreateCluster:
		m.Command = &pb.Command_CreateCluster{CreateCluster: wire.ClusterToProto(c.Cluster)}
	case UpdateCluster:
		m.Command = &pb.Command_UpdateCluster{UpdateCluster: wire.ClusterSpecToProto(c.Spec)}
	case SetTokens:
		m.Command = &pb.Command_SetTokens{SetTokens: &pb.SetTokens{Tokens: wire.ClusterToProto(swarmnet.Cluster{Tokens: c.Tokens}).GetTokens()}}
	case SetGossipKeys:
		m.Command = &pb.Command_SetGossipKeys{SetGossipKeys: &pb.SetGossipKeys{Keys: wire.ClusterToProto(swarmnet.Cluster{GossipKeys: c.Keys}).GetGossipKeys()}}
	case CreateNode:
		m.Command = &pb.Command_CreateNode{CreateNode: wire.NodeToProto(c.Node)}
	case UpdateNode:
		m.Command = &pb.Command_UpdateNode{UpdateNode: &pb.UpdateNode{Id: string(c.ID), Spec: wire.NodeSpecToProto(c.Spec), Version: c.Version}}
	case SetNodeRole:
		m.Command = &pb.Command_SetNodeRole{SetNodeRole: &pb.SetNodeRole{Id: string(c.ID), Role: wire.RoleToProto(c.Role)}}
	case SetNodeCert:
		m.Command = &pb.Command_SetNodeCert{SetNodeCert: &pb.SetNodeCert{Id: string(c.ID), Role: wire.RoleToProto(c.Role), Serial: c.Serial}}
	case AssignRaftID:
		m.Command = &pb.Command_AssignRaftId{AssignRaftId: string(c.Node)}
	case SetRaftID:
		m.Command = &pb.Command_SetRaftId{SetRaftId: &pb.SetRaftID{Node: string(c.Node), RaftId: c.RaftID}}
	case ClearRaftID:
		m.Command = &pb.Command_ClearRaftId{ClearRaftId: string(c.Node)}
	case RemoveNode:
		m.Command = &pb.Command_RemoveNode{RemoveNode: &pb.RemoveNode{Id: string(c.ID), Force: c.Force}}
	case OpenSession:
		m.Command = &pb.Command_OpenSession{OpenSession: &pb.OpenSession{
			Node: string(c.Node), Description: wire.NodeDescriptionToProto(c.Description), Manager: string(c.Manager), NewEpoch: c.NewEpoch}}
	case ReportPorts:
		m.Command = &pb.Command_ReportPorts{ReportPorts: &pb.ReportPorts{Node: string(c.Node), Epoch: c.Epoch, Ports: wire.DegradedPortsToProto(c.Ports)}}
	case CloseSession:
		m.Command = &pb.Command_CloseSession{CloseSession: &pb.CloseSession{Node: string(c.Node), Epoch: c.Epoch, Manager: string(c.Manager)}}
	case MarkNodeDown:
		m.Command = &pb.Command_MarkNodeDown{MarkNodeDown: &pb.MarkNodeDown{Node: string(c.Node), Since: timestamp(c.Since)}}
	case AllocateNodeIngress:
		m.Command = &pb.Command_AllocateNodeIngress{AllocateNodeIngress: &pb.AllocateNodeIngress{Node: string(c.Node), Addrs: prefixesToProto(c.Addrs)}}
	case Acknowledge:
		m.Command = &pb.Command_Acknowledge{Acknowledge: &pb.Acknowledge{Node: string(c.Node), Epoch: c.Epoch, Revision: c.Revision}}
	case CreateNetwork:
		m.Command = &pb.Command_CreateNetwork{CreateNetwork: wire.NetworkToProto(c.Network)}
	case AllocateNetwork:
		m.Command = &pb.Command_AllocateNetwork{AllocateNetwork: &pb.AllocateNetwork{Id: string(c.ID), Vni: uint32(c.VNI), Subnets: subnetsToProto(c.Subnets)}}
	case RemoveNetwork:
		m.Command = &pb.Command_RemoveNetwork{RemoveNetwork: string(c.ID)}
	default:
		return encodeServiceCommand(c)
	}
	return m, nil
}

func encodeServiceCommand(c Command) (*pb.Command, error) {
	m := &pb.Command{}
	switch c := c.(type) {
	case CreateService:
		m.Command = &pb.Command_CreateService{CreateService: wire.ServiceToProto(c.Service)}
	case UpdateService:
		m.Command = &pb.Command_UpdateService{UpdateService: &pb.UpdateService{Id: string(c.ID), Spec: wire.ServiceSpecToProto(c.Spec), Version: c.Version}}
	case RollbackService:
		m.Command = &pb.Command_RollbackService{RollbackService: &pb.RollbackService{Id: string(c.ID), Message: c.Message}}
	case RemoveService:
		m.Command = &pb.Command_RemoveService{RemoveService: string(c.ID)}
	case AllocateService:
		v := wire.ServiceToProto(swarmnet.Service{VIPs: c.VIPs, Ports: c.Ports})
		m.Command = &pb.Command_AllocateService{AllocateService: &pb.AllocateService{Id: string(c.ID), Version: c.Version, Vips: v.GetVips(), Ports: v.GetPorts()}}
	case ForgetService:
		m.Command = &pb.Command_ForgetService{ForgetService: string(c.ID)}
	case SetUpdateStatus:
		m.Command = &pb.Command_SetUpdateStatus{SetUpdateStatus: &pb.SetUpdateStatus{
			Id: string(c.ID), Version: c.Version, Status: wire.ServiceToProto(swarmnet.Service{Update: c.Status}).GetUpdate()}}
	case CreateTask:
		m.Command = &pb.Command_CreateTask{CreateTask: wire.TaskToProto(c.Task)}
	case AllocateTask:
		a := &pb.AllocateTask{Task: string(c.Task)}
		for _, e := range c.Endpoints {
			a.Endpoints = append(a.Endpoints, wire.EndpointToProto(e))
		}
		m.Command = &pb.Command_AllocateTask{AllocateTask: a}
	case AssignTask:
		m.Command = &pb.Command_AssignTask{AssignTask: &pb.AssignTask{Task: string(c.Task), Node: string(c.Node)}}
	case SetDesired:
		m.Command = &pb.Command_SetDesired{SetDesired: &pb.SetDesired{Task: string(c.Task), Desired: wire.TaskToProto(swarmnet.Task{Desired: c.Desired}).GetDesired(), Note: c.Note}}
	case UpdateTaskStatus:
		m.Command = &pb.Command_UpdateTaskStatus{UpdateTaskStatus: &pb.UpdateTaskStatus{
			Task: string(c.Task), Status: wire.TaskStatusToProto(c.Status), Node: string(c.Node), Epoch: c.Epoch}}
	case SetTaskMessage:
		m.Command = &pb.Command_SetTaskMessage{SetTaskMessage: &pb.SetTaskMessage{Task: string(c.Task), Message: c.Message}}
	case RemoveTask:
		m.Command = &pb.Command_RemoveTask{RemoveTask: string(c.ID)}
	case CreateAttachment:
		m.Command = &pb.Command_CreateAttachment{CreateAttachment: &pb.CreateAttachment{
			Sandbox: string(c.Sandbox), Name: c.Name, Node: string(c.Node), Attachment: wire.NetworkAttachmentToProto(c.Attachment),
			Service: c.Service}}
	case DrainAttachment:
		m.Command = &pb.Command_DrainAttachment{DrainAttachment: &pb.DrainAttachment{Sandbox: string(c.Sandbox), Node: string(c.Node)}}
	case RemoveAttachment:
		m.Command = &pb.Command_RemoveAttachment{RemoveAttachment: &pb.RemoveAttachment{
			Sandbox: string(c.Sandbox), Node: string(c.Node), Network: string(c.Network)}}
	default:
		return nil, fmt.Errorf("%T is not a command that can be encoded", c)
	}
	return m, nil
}
