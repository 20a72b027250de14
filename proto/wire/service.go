package wire

import (
	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func portTo(p swarmnet.PortSpec) *pb.PortSpec {
	return &pb.PortSpec{
		Name: p.Name, Protocol: enumTo[pb.Protocol](p.Protocol), Target: uint32(p.Target), Published: uint32(p.Published),
		Mode: enumTo[pb.PublishMode](p.Mode), HostIp: addrTo(p.HostIP), PublishedTo: uint32(p.PublishedTo),
	}
}

func (d *decoder) portSpec(m *pb.PortSpec) swarmnet.PortSpec {
	return swarmnet.PortSpec{
		Name: m.GetName(), Protocol: enumFrom(d, "port protocol", m.GetProtocol(), swarmnet.SCTP),
		Target: d.port("port.target", m.GetTarget()), Published: d.port("port.published", m.GetPublished()),
		Mode: enumFrom(d, "port mode", m.GetMode(), swarmnet.PublishHost), HostIP: d.addr("port.host_ip", m.GetHostIp()),
		PublishedTo: d.port("port.published_to", m.GetPublishedTo()),
	}
}

func updateConfigTo(c swarmnet.UpdateConfig) *pb.UpdateConfig {
	return &pb.UpdateConfig{
		Parallelism: c.Parallelism, Delay: durationTo(c.Delay), Order: enumTo[pb.UpdateOrder](c.Order),
		FailureAction: enumTo[pb.FailureAction](c.FailureAction), Monitor: durationTo(c.Monitor), MaxFailureRatio: c.MaxFailureRatio,
	}
}

func (d *decoder) updateConfig(m *pb.UpdateConfig) swarmnet.UpdateConfig {
	return swarmnet.UpdateConfig{
		Parallelism: m.GetParallelism(), Delay: d.duration("update.delay", m.GetDelay()),
		Order:         enumFrom(d, "update order", m.GetOrder(), swarmnet.StartFirst),
		FailureAction: enumFrom(d, "failure action", m.GetFailureAction(), swarmnet.FailureRollback),
		Monitor:       d.duration("update.monitor", m.GetMonitor()), MaxFailureRatio: m.GetMaxFailureRatio(),
	}
}

func ServiceSpecToProto(s swarmnet.ServiceSpec) *pb.ServiceSpec {
	return &pb.ServiceSpec{
		Name: s.Name, Labels: labels(s.Labels), Mode: enumTo[pb.ServiceMode](s.Mode), Replicas: s.Replicas,
		Task: TaskSpecToProto(s.Task), Networks: each(s.Networks, attachmentTo),
		EndpointMode: enumTo[pb.EndpointMode](s.EndpointMode), Ports: each(s.Ports, portTo),
		Update: updateConfigTo(s.Update), Rollback: updateConfigTo(s.Rollback),
	}
}

func ServiceSpecFromProto(m *pb.ServiceSpec) (swarmnet.ServiceSpec, error) {
	return decode((*decoder).serviceSpec, m)
}

func (d *decoder) serviceSpec(m *pb.ServiceSpec) swarmnet.ServiceSpec {
	return swarmnet.ServiceSpec{
		Name: m.GetName(), Labels: labels(m.GetLabels()), Mode: enumFrom(d, "service mode", m.GetMode(), swarmnet.External),
		Replicas: m.GetReplicas(), Task: d.taskSpec(m.GetTask()),
		Networks:     decodeEach(d, m.GetNetworks(), (*decoder).attachment),
		EndpointMode: enumFrom(d, "endpoint mode", m.GetEndpointMode(), swarmnet.EndpointDNSRR),
		Ports:        decodeEach(d, m.GetPorts(), (*decoder).portSpec),
		Update:       d.updateConfig(m.GetUpdate()), Rollback: d.updateConfig(m.GetRollback()),
	}
}

func ServiceToProto(s swarmnet.Service) *pb.Service {
	m := &pb.Service{
		Id: string(s.ID), Meta: metaTo(s.Meta), Spec: ServiceSpecToProto(s.Spec), SpecVersion: s.SpecVersion,
		Vips: each(s.VIPs, func(v swarmnet.VIP) *pb.VIP {
			return &pb.VIP{Network: string(v.Network), Addr: addrTo(v.Addr)}
		}),
		Ports: each(s.Ports, portTo), Allocated: s.Allocated, Removing: s.Removing,
		Update: &pb.UpdateStatus{
			State: enumTo[pb.UpdateState](s.Update.State), Started: timeTo(s.Update.Started),
			Completed: timeTo(s.Update.Completed), Message: text(s.Update.Message),
		},
	}
	if s.Previous != nil {
		m.Previous = ServiceSpecToProto(*s.Previous)
	}
	return m
}

func ServiceFromProto(m *pb.Service) (swarmnet.Service, error) { return decode((*decoder).service, m) }

func (d *decoder) service(m *pb.Service) swarmnet.Service {
	s := swarmnet.Service{
		ID: swarmnet.ServiceID(m.GetId()), Meta: d.meta(m.GetMeta()), Spec: d.serviceSpec(m.GetSpec()), SpecVersion: m.GetSpecVersion(),
		VIPs: each(m.GetVips(), func(v *pb.VIP) swarmnet.VIP {
			return swarmnet.VIP{Network: swarmnet.NetworkID(v.GetNetwork()), Addr: d.addr("vip.addr", v.GetAddr())}
		}),
		Ports: decodeEach(d, m.GetPorts(), (*decoder).portSpec), Allocated: m.GetAllocated(), Removing: m.GetRemoving(),
		Update: swarmnet.UpdateStatus{
			State:     enumFrom(d, "update state", m.GetUpdate().GetState(), swarmnet.UpdateRolledBack),
			Started:   d.time("update.started", m.GetUpdate().GetStarted()),
			Completed: d.time("update.completed", m.GetUpdate().GetCompleted()), Message: m.GetUpdate().GetMessage(),
		},
	}
	if m.GetPrevious() != nil {
		p := d.serviceSpec(m.GetPrevious())
		s.Previous = &p
	}
	return s
}
