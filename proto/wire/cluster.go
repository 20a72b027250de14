package wire

import (
	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func ClusterSpecToProto(s swarmnet.ClusterSpec) *pb.ClusterSpec {
	return &pb.ClusterSpec{
		AddrPools: each(s.AddrPools, func(p swarmnet.AddrPool) *pb.AddrPool {
			return &pb.AddrPool{Base: prefixTo(p.Base), Size: uint32(max(p.Size, 0))}
		}),
		DataPathPort: uint32(s.DataPathPort), CertExpiry: durationTo(s.CertExpiry), HeartbeatPeriod: durationTo(s.HeartbeatPeriod),
		DownAfter: durationTo(s.DownAfter), AddressRest: durationTo(s.AddressRest), TaskHistory: s.TaskHistory,
	}
}

func ClusterSpecFromProto(m *pb.ClusterSpec) (swarmnet.ClusterSpec, error) {
	return decode((*decoder).clusterSpec, m)
}

func (d *decoder) clusterSpec(m *pb.ClusterSpec) swarmnet.ClusterSpec {
	return swarmnet.ClusterSpec{
		AddrPools: each(m.GetAddrPools(), func(p *pb.AddrPool) swarmnet.AddrPool {
			return swarmnet.AddrPool{Base: d.prefix("addr_pool.base", p.GetBase()), Size: int(d.max("addr_pool.size", p.GetSize(), 128))}
		}),
		DataPathPort: d.port("data_path_port", m.GetDataPathPort()), CertExpiry: d.duration("cert_expiry", m.GetCertExpiry()),
		HeartbeatPeriod: d.duration("heartbeat_period", m.GetHeartbeatPeriod()), DownAfter: d.duration("down_after", m.GetDownAfter()),
		AddressRest: d.duration("address_rest", m.GetAddressRest()), TaskHistory: m.GetTaskHistory(),
	}
}

func gossipKeyTo(k swarmnet.GossipKey) *pb.GossipKey {
	return &pb.GossipKey{Id: k.ID, Key: octets(k.Key)}
}

func gossipKeyFrom(m *pb.GossipKey) swarmnet.GossipKey {
	return swarmnet.GossipKey{ID: m.GetId(), Key: octets(m.GetKey())}
}

// ClusterToProto converts a cluster whole, its secrets included: for the log and snapshots. What is told to others goes
// through RedactedClusterToProto or ClusterViewToProto.
func ClusterToProto(c swarmnet.Cluster) *pb.Cluster {
	return &pb.Cluster{
		Id: string(c.ID), Meta: metaTo(c.Meta), Spec: ClusterSpecToProto(c.Spec),
		Tokens: each(c.Tokens, func(t swarmnet.JoinToken) *pb.JoinToken {
			return &pb.JoinToken{Role: RoleToProto(t.Role), SecretHash: octets(t.SecretHash), Secret: t.Secret}
		}),
		GossipKeys: each(c.GossipKeys, gossipKeyTo),
		Ca:         &pb.CertificateAuthority{RootCert: octets(c.CA.RootCert), RootKey: octets(c.CA.RootKey), Digest: c.CA.Digest},
		Epoch:      c.Epoch,
	}
}

// RedactedClusterToProto converts a cluster without its tokens, gossip keys and root key.
func RedactedClusterToProto(c swarmnet.Cluster) *pb.Cluster {
	c.Tokens, c.GossipKeys, c.CA.RootKey = nil, nil, nil
	return ClusterToProto(c)
}

func ClusterFromProto(m *pb.Cluster) (swarmnet.Cluster, error) { return decode((*decoder).cluster, m) }

func (d *decoder) cluster(m *pb.Cluster) swarmnet.Cluster {
	return swarmnet.Cluster{
		ID: swarmnet.ClusterID(m.GetId()), Meta: d.meta(m.GetMeta()), Spec: d.clusterSpec(m.GetSpec()),
		Tokens: each(m.GetTokens(), func(t *pb.JoinToken) swarmnet.JoinToken {
			return swarmnet.JoinToken{Role: d.role(t.GetRole()), SecretHash: octets(t.GetSecretHash()), Secret: t.GetSecret()}
		}),
		GossipKeys: each(m.GetGossipKeys(), gossipKeyFrom),
		CA: swarmnet.CA{
			RootCert: octets(m.GetCa().GetRootCert()), RootKey: octets(m.GetCa().GetRootKey()), Digest: m.GetCa().GetDigest(),
		},
		Epoch: m.GetEpoch(),
	}
}

func ClusterViewToProto(v swarmnet.ClusterView) *pb.ClusterView {
	return &pb.ClusterView{
		Id: string(v.ID), Epoch: v.Epoch, DataPathPort: uint32(v.DataPathPort), GossipKeys: each(v.GossipKeys, gossipKeyTo),
		RootCert: octets(v.RootCert), Managers: words(v.Managers),
	}
}

func ClusterViewFromProto(m *pb.ClusterView) (swarmnet.ClusterView, error) {
	return decode((*decoder).clusterView, m)
}

func (d *decoder) clusterView(m *pb.ClusterView) swarmnet.ClusterView {
	return swarmnet.ClusterView{
		ID: swarmnet.ClusterID(m.GetId()), Epoch: m.GetEpoch(), DataPathPort: d.port("data_path_port", m.GetDataPathPort()),
		GossipKeys: each(m.GetGossipKeys(), gossipKeyFrom), RootCert: octets(m.GetRootCert()), Managers: words(m.GetManagers()),
	}
}
