package swarmnet

import (
	"net/netip"
	"time"
)

// AddrPool is a pool from which subnets of networks are taken.
type AddrPool struct {
	Base netip.Prefix
	Size int // prefix length of the subnets taken from it
}

// ClusterSpec is what can be set for a whole cluster.
type ClusterSpec struct {
	AddrPools       []AddrPool // used in order
	DataPathPort    uint16
	CertExpiry      time.Duration // of worker certificates; managers get half of it
	HeartbeatPeriod time.Duration
	// DownAfter is how long a node may be without a session before its tasks are replaced.
	DownAfter time.Duration
	// AddressRest is how long a freed address rests before it is given out again.
	AddressRest time.Duration
	// TaskHistory is how many ended tasks of a slot are kept.
	TaskHistory uint32
}

// DefaultClusterSpec is what `cluster init` starts from.
func DefaultClusterSpec() ClusterSpec {
	return ClusterSpec{
		AddrPools:       []AddrPool{{Base: netip.MustParsePrefix("10.0.0.0/8"), Size: 24}},
		DataPathPort:    DefaultDataPathPort,
		CertExpiry:      24 * time.Hour,
		HeartbeatPeriod: time.Second,
		DownAfter:       4 * time.Second,
		AddressRest:     30 * time.Second,
		TaskHistory:     5,
	}
}

// JoinToken is what the managers remember of a join token: never the token itself.
type JoinToken struct {
	Role Role
	// SecretHash is the SHA-256 of the token's secret part.
	SecretHash []byte
	// Secret is the sealed secret part, shown by `cluster join-token`.
	Secret string
}

// GossipKey is one key of the gossip's key ring.
type GossipKey struct {
	ID  uint32
	Key []byte // 32 octets, AES-256
}

// CA is the certificate authority of a cluster.
type CA struct {
	RootCert []byte // PEM
	RootKey  []byte // PEM; only managers have it
	Digest   string // of RootCert, as join tokens carry it
}

// Cluster is the one object that describes the cluster itself.
type Cluster struct {
	ID     ClusterID
	Meta   Meta
	Spec   ClusterSpec
	Tokens []JoinToken // one a role
	// GossipKeys are the keys in force, the first one in use for sending.
	GossipKeys []GossipKey
	CA         CA
	// Epoch is raised by a restore or --force-new-cluster: messages of an older one are refused.
	Epoch uint64
}

// Token returns the join token of a role.
func (c Cluster) Token(r Role) (JoinToken, bool) {
	for _, t := range c.Tokens {
		if t.Role == r {
			return t, true
		}
	}
	return JoinToken{}, false
}
