package wire

import (
	"net/netip"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func NetworkSpecToProto(s swarmnet.NetworkSpec) *pb.NetworkSpec {
	return &pb.NetworkSpec{
		Name: s.Name, Labels: labels(s.Labels), Driver: s.Driver, Options: labels(s.Options),
		Internal: s.Internal, Attachable: s.Attachable, Ingress: s.Ingress, Ipv6: s.IPv6,
		Ipam: each(s.IPAM, func(c swarmnet.IPAMConfig) *pb.IPAMConfig {
			return &pb.IPAMConfig{Subnet: prefixTo(c.Subnet), Gateway: addrTo(c.Gateway), Range: prefixTo(c.Range), Aux: addrsTo(c.Aux)}
		}),
	}
}

func NetworkSpecFromProto(m *pb.NetworkSpec) (swarmnet.NetworkSpec, error) {
	return decode((*decoder).networkSpec, m)
}

func (d *decoder) networkSpec(m *pb.NetworkSpec) swarmnet.NetworkSpec {
	return swarmnet.NetworkSpec{
		Name: m.GetName(), Labels: labels(m.GetLabels()), Driver: m.GetDriver(), Options: labels(m.GetOptions()),
		Internal: m.GetInternal(), Attachable: m.GetAttachable(), Ingress: m.GetIngress(), IPv6: m.GetIpv6(),
		IPAM: each(m.GetIpam(), func(c *pb.IPAMConfig) swarmnet.IPAMConfig {
			return swarmnet.IPAMConfig{
				Subnet: d.prefix("ipam.subnet", c.GetSubnet()), Gateway: d.addr("ipam.gateway", c.GetGateway()),
				Range: d.prefix("ipam.range", c.GetRange()), Aux: d.addrs("ipam.aux", c.GetAux()),
			}
		}),
	}
}

func NetworkToProto(n swarmnet.Network) *pb.Network {
	return &pb.Network{
		Id: string(n.ID), Meta: metaTo(n.Meta), Spec: NetworkSpecToProto(n.Spec), Vni: uint32(n.VNI),
		Subnets: each(n.Subnets, func(s swarmnet.Subnet) *pb.Subnet {
			return &pb.Subnet{Prefix: prefixTo(s.Prefix), Gateway: addrTo(s.Gateway), Range: prefixTo(s.Range), Aux: addrsTo(s.Aux)}
		}),
		Conf: n.Conf,
	}
}

func NetworkFromProto(m *pb.Network) (swarmnet.Network, error) { return decode((*decoder).network, m) }

func (d *decoder) network(m *pb.Network) swarmnet.Network {
	return swarmnet.Network{
		ID: swarmnet.NetworkID(m.GetId()), Meta: d.meta(m.GetMeta()), Spec: d.networkSpec(m.GetSpec()),
		VNI: swarmnet.VNI(d.max("network.vni", m.GetVni(), uint32(swarmnet.MaxVNI))),
		Subnets: each(m.GetSubnets(), func(s *pb.Subnet) swarmnet.Subnet {
			return swarmnet.Subnet{
				Prefix: d.prefix("subnet.prefix", s.GetPrefix()), Gateway: d.addr("subnet.gateway", s.GetGateway()),
				Range: d.prefix("subnet.range", s.GetRange()), Aux: d.addrs("subnet.aux", s.GetAux()),
			}
		}),
		Conf: m.GetConf(),
	}
}

func EndpointToProto(e swarmnet.Endpoint) *pb.Endpoint {
	return &pb.Endpoint{
		Id: string(e.ID), Meta: metaTo(e.Meta), Network: string(e.Network), Task: string(e.Task), Service: string(e.Service),
		Node: string(e.Node), Mac: macTo(e.MAC), Addrs: each(e.Addrs, prefixTo), Aliases: words(e.Aliases), DefaultRoute: e.DefaultRoute,
		Gateways: each(e.Gateways, addrTo), Dns: dnsTo(e.DNS),
	}
}

// dnsTo is nil for what says nothing.
func dnsTo(c swarmnet.DNSConfig) *pb.DNSConfig {
	if len(c.Servers)+len(c.Search)+len(c.Options) == 0 {
		return nil
	}
	return &pb.DNSConfig{Servers: each(c.Servers, addrTo), Search: words(c.Search), Options: words(c.Options)}
}

func EndpointFromProto(m *pb.Endpoint) (swarmnet.Endpoint, error) {
	return decode((*decoder).endpoint, m)
}

func (d *decoder) endpoint(m *pb.Endpoint) swarmnet.Endpoint {
	return swarmnet.Endpoint{
		ID: swarmnet.EndpointID(m.GetId()), Meta: d.meta(m.GetMeta()), Network: swarmnet.NetworkID(m.GetNetwork()),
		Task: swarmnet.TaskID(m.GetTask()), Service: swarmnet.ServiceID(m.GetService()), Node: swarmnet.NodeID(m.GetNode()),
		MAC:     d.mac("endpoint.mac", m.GetMac()),
		Addrs:   each(m.GetAddrs(), func(p *pb.Prefix) netip.Prefix { return d.prefix("endpoint.addrs", p) }),
		Aliases: words(m.GetAliases()), DefaultRoute: m.GetDefaultRoute(),
		Gateways: each(m.GetGateways(), func(b []byte) netip.Addr { return d.addr("endpoint.gateways", b) }), DNS: d.dns(m.GetDns()),
	}
}

func PeerEndpointToProto(e swarmnet.PeerEndpoint) *pb.PeerEndpoint {
	return &pb.PeerEndpoint{
		Endpoint: EndpointToProto(e.Endpoint), TaskName: e.TaskName, Slot: e.Slot,
		Desired: enumTo[pb.DesiredState](e.Desired), State: TaskStateToProto(e.State),
	}
}

func PeerEndpointFromProto(m *pb.PeerEndpoint) (swarmnet.PeerEndpoint, error) {
	return decode((*decoder).peerEndpoint, m)
}

func (d *decoder) peerEndpoint(m *pb.PeerEndpoint) swarmnet.PeerEndpoint {
	return swarmnet.PeerEndpoint{
		Endpoint: d.endpoint(m.GetEndpoint()), TaskName: m.GetTaskName(), Slot: m.GetSlot(),
		Desired: d.desired(m.GetDesired()), State: d.taskState(m.GetState()),
	}
}
