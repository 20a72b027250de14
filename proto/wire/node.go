package wire

import (
	"net/netip"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func RoleToProto(r swarmnet.Role) pb.Role { return enumTo[pb.Role](r) }

// RoleFromProto reads a role; unspecified is a worker.
func RoleFromProto(r pb.Role) (swarmnet.Role, error) {
	return decode((*decoder).role, r)
}

func (d *decoder) role(r pb.Role) swarmnet.Role { return enumFrom(d, "role", r, swarmnet.RoleManager) }

func AvailabilityToProto(a swarmnet.Availability) pb.Availability {
	return enumTo[pb.Availability](a)
}

// AvailabilityFromProto reads an availability; unspecified is active.
func AvailabilityFromProto(a pb.Availability) (swarmnet.Availability, error) {
	return decode((*decoder).availability, a)
}

func (d *decoder) availability(a pb.Availability) swarmnet.Availability {
	return enumFrom(d, "availability", a, swarmnet.AvailabilityDrain)
}

func NodeSpecToProto(s swarmnet.NodeSpec) *pb.NodeSpec {
	return &pb.NodeSpec{
		Name: s.Name, Labels: labels(s.Labels), Role: RoleToProto(s.Role), Availability: AvailabilityToProto(s.Availability),
	}
}

func NodeSpecFromProto(m *pb.NodeSpec) (swarmnet.NodeSpec, error) {
	return decode((*decoder).nodeSpec, m)
}

func (d *decoder) nodeSpec(m *pb.NodeSpec) swarmnet.NodeSpec {
	return swarmnet.NodeSpec{
		Name: m.GetName(), Labels: labels(m.GetLabels()), Role: d.role(m.GetRole()), Availability: d.availability(m.GetAvailability()),
	}
}

func NodeDescriptionToProto(n swarmnet.NodeDescription) *pb.NodeDescription {
	m := &pb.NodeDescription{
		Hostname: text(n.Hostname), Version: text(n.Version), Os: text(n.OS), Arch: text(n.Arch), Kernel: text(n.Kernel),
		Vtep: addrTo(n.VTEP), ApiAddr: n.APIAddr, UnderlayMtu: uint32(max(n.UnderlayMTU, 0)),
		Features: words(n.Features), GossipPubKey: octets(n.GossipPubKey),
		Balancer: text(n.Balancer), BalancerWhy: text(n.BalancerWhy),
	}
	if n.GossipAddr.IsValid() {
		m.GossipAddr = n.GossipAddr.String()
	}
	return m
}

func NodeDescriptionFromProto(m *pb.NodeDescription) (swarmnet.NodeDescription, error) {
	return decode((*decoder).nodeDescription, m)
}

func (d *decoder) nodeDescription(m *pb.NodeDescription) swarmnet.NodeDescription {
	n := swarmnet.NodeDescription{
		Hostname: m.GetHostname(), Version: m.GetVersion(), OS: m.GetOs(), Arch: m.GetArch(), Kernel: m.GetKernel(),
		VTEP: d.addr("description.vtep", m.GetVtep()), APIAddr: m.GetApiAddr(),
		UnderlayMTU: int(d.max("description.underlay_mtu", m.GetUnderlayMtu(), 1<<20)),
		Features:    words(m.GetFeatures()), GossipPubKey: octets(m.GetGossipPubKey()),
		Balancer: m.GetBalancer(), BalancerWhy: m.GetBalancerWhy(),
	}
	if s := m.GetGossipAddr(); s != "" {
		a, err := netip.ParseAddrPort(s)
		if err != nil {
			d.fail("description.gossip_addr: %q is not ADDRESS:PORT", s)
		}
		n.GossipAddr = a
	}
	return n
}

func NodeStatusToProto(s swarmnet.NodeStatus) *pb.NodeStatus {
	return &pb.NodeStatus{
		State: enumTo[pb.NodeState](s.State), Message: text(s.Message), Since: timeTo(s.Since), Manager: string(s.Manager),
	}
}

func NodeStatusFromProto(m *pb.NodeStatus) (swarmnet.NodeStatus, error) {
	return decode((*decoder).nodeStatus, m)
}

func (d *decoder) nodeStatus(m *pb.NodeStatus) swarmnet.NodeStatus {
	return swarmnet.NodeStatus{
		State: enumFrom(d, "node state", m.GetState(), swarmnet.NodeDown), Message: m.GetMessage(),
		Since: d.time("status.since", m.GetSince()), Manager: swarmnet.NodeID(m.GetManager()),
	}
}

func NodeToProto(n swarmnet.Node) *pb.Node {
	return &pb.Node{
		Id: string(n.ID), Meta: metaTo(n.Meta), Spec: NodeSpecToProto(n.Spec),
		Description: NodeDescriptionToProto(n.Description), Status: NodeStatusToProto(n.Status),
		Index: uint32(n.Index), Epoch: n.Epoch, RaftId: n.RaftID, Role: RoleToProto(n.Role),
		Ingress: each(n.Ingress, prefixTo), CertSerial: n.CertSerial, Applied: n.Applied, Degraded: DegradedPortsToProto(n.Degraded),
	}
}

func NodeFromProto(m *pb.Node) (swarmnet.Node, error) { return decode((*decoder).node, m) }

func (d *decoder) node(m *pb.Node) swarmnet.Node {
	return swarmnet.Node{
		ID: swarmnet.NodeID(m.GetId()), Meta: d.meta(m.GetMeta()), Spec: d.nodeSpec(m.GetSpec()),
		Description: d.nodeDescription(m.GetDescription()), Status: d.nodeStatus(m.GetStatus()),
		Index: d.port("node.index", m.GetIndex()), Epoch: m.GetEpoch(), RaftID: m.GetRaftId(), Role: d.role(m.GetRole()),
		Ingress:    each(m.GetIngress(), func(p *pb.Prefix) netip.Prefix { return d.prefix("node.ingress", p) }),
		CertSerial: m.GetCertSerial(), Applied: m.GetApplied(), Degraded: decodeEach(d, m.GetDegraded(), (*decoder).degradedPort),
	}
}

func DegradedPortsToProto(ports []swarmnet.DegradedPort) []*pb.DegradedPort {
	return each(ports, func(p swarmnet.DegradedPort) *pb.DegradedPort {
		return &pb.DegradedPort{Protocol: enumTo[pb.Protocol](p.Protocol), Published: uint32(p.Published), HostIp: addrTo(p.HostIP), Why: text(p.Why)}
	})
}

func DegradedPortsFromProto(m []*pb.DegradedPort) ([]swarmnet.DegradedPort, error) {
	return decode(func(d *decoder, m []*pb.DegradedPort) []swarmnet.DegradedPort {
		return decodeEach(d, m, (*decoder).degradedPort)
	}, m)
}

func (d *decoder) degradedPort(m *pb.DegradedPort) swarmnet.DegradedPort {
	return swarmnet.DegradedPort{
		Protocol: enumFrom(d, "protocol", m.GetProtocol(), swarmnet.SCTP), Published: d.port("port.published", m.GetPublished()),
		HostIP: d.addr("port.host_ip", m.GetHostIp()), Why: m.GetWhy(),
	}
}
