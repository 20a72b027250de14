package state

import (
	"bytes"
	"slices"

	"github.com/swarmnet/swarmnet"
)

func (c CreateCluster) apply(x *tx) *Rejection {
	if x.s.cluster != nil {
		return reject(AlreadyExists, "the cluster %s exists already", swarmnet.ShortID(x.s.cluster.v.ID))
	}
	if !swarmnet.ValidID(c.Cluster.ID) {
		return reject(InvalidArgument, "%q is not the id of a cluster", c.Cluster.ID)
	}
	if err := c.Cluster.Spec.Validate(); err != nil {
		return invalid(err)
	}
	x.putCluster(c.Cluster)
	x.result.ID = string(c.Cluster.ID)
	return nil
}

func (c UpdateCluster) apply(x *tx) *Rejection {
	if err := c.Spec.Validate(); err != nil {
		return invalid(err)
	}
	v := x.s.cluster.v
	if c.Spec.DataPathPort != v.Spec.DataPathPort {
		return reject(FailedPrecondition, "the data path port is %d for the life of the cluster: it is chosen at init", v.Spec.DataPathPort)
	}
	v.Spec = c.Spec
	x.putCluster(v)
	return nil
}

func (c SetTokens) apply(x *tx) *Rejection {
	for i, t := range c.Tokens {
		if t.Role > swarmnet.RoleManager || slices.ContainsFunc(c.Tokens[:i], func(o swarmnet.JoinToken) bool { return o.Role == t.Role }) {
			return reject(InvalidArgument, "there is one join token for each role")
		}
	}
	v := x.s.cluster.v
	v.Tokens = c.Tokens
	x.putCluster(v)
	return nil
}

func (c SetGossipKeys) apply(x *tx) *Rejection {
	for i, k := range c.Keys {
		if len(k.Key) != 32 {
			return reject(InvalidArgument, "gossip key %d has %d octets: 32 are wanted", k.ID, len(k.Key))
		}
		for _, o := range c.Keys[:i] {
			if o.ID == k.ID || bytes.Equal(o.Key, k.Key) {
				return reject(InvalidArgument, "gossip key %d is named twice", k.ID)
			}
		}
	}
	v := x.s.cluster.v
	v.GossipKeys = c.Keys
	x.putCluster(v)
	return nil
}
