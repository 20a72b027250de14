package ca

import (
	"crypto/rand"
	"time"

	"github.com/swarmnet/swarmnet"
)

// NewCluster makes the cluster object of a new cluster: its id, authority, join tokens and first gossip key.
func NewCluster(spec swarmnet.ClusterSpec, now time.Time) (swarmnet.Cluster, error) {
	id := swarmnet.ClusterID(swarmnet.NewID())
	root, err := NewRoot(id, now)
	if err != nil {
		return swarmnet.Cluster{}, err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	return swarmnet.Cluster{
		ID: id, Spec: spec, CA: root, Epoch: 1,
		Meta:       swarmnet.Meta{CreatedAt: now, UpdatedAt: now},
		Tokens:     []swarmnet.JoinToken{NewJoinToken(swarmnet.RoleWorker), NewJoinToken(swarmnet.RoleManager)},
		GossipKeys: []swarmnet.GossipKey{{ID: 1, Key: key}},
	}, nil
}

// FirstManager makes the identity and the node object of the first manager of a new cluster.
func FirstManager(c swarmnet.Cluster, hostname string, a swarmnet.Availability, now time.Time) (*Identity, swarmnet.Node, error) {
	root, err := OpenRoot(c.CA)
	if err != nil {
		return nil, swarmnet.Node{}, err
	}
	key, err := newKey()
	if err != nil {
		return nil, swarmnet.Node{}, err
	}
	csr, err := request(key)
	if err != nil {
		return nil, swarmnet.Node{}, err
	}
	node, err := NodeIDOf(csr)
	if err != nil {
		return nil, swarmnet.Node{}, err
	}
	cert, serial, err := root.Sign(csr, Subject{Cluster: c.ID, Node: node, Kind: KindManager}, Lifetime(c.Spec, swarmnet.RoleManager), now)
	if err != nil {
		return nil, swarmnet.Node{}, err
	}
	id, err := newIdentity(key, cert, c.CA.RootCert)
	if err != nil {
		return nil, swarmnet.Node{}, err
	}
	return id, swarmnet.Node{
		ID: node, Meta: swarmnet.Meta{CreatedAt: now, UpdatedAt: now},
		Spec:        swarmnet.NodeSpec{Role: swarmnet.RoleManager, Availability: a},
		Description: swarmnet.NodeDescription{Hostname: hostname},
		Role:        swarmnet.RoleManager, CertSerial: serial,
	}, nil
}
