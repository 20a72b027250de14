package state

import (
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// digest is one summand of the state's hash.
func digest(kind string, parts ...string) uint64 {
	var buf [256]byte
	b := append(buf[:0], kind...)
	for _, p := range parts {
		b = append(b, 0)
		b = append(b, p...)
	}
	return digestBytes(b)
}

func digestBytes(b []byte) uint64 {
	h := sha256.Sum256(b)
	return binary.BigEndian.Uint64(h[:8])
}

// digestObject hashes the encoding of an object. The encoding is only deterministic within one build of the program:
// compare hashes of managers of the same version.
func digestObject(o Object) uint64 {
	var m proto.Message
	switch o := o.(type) {
	case swarmnet.Cluster:
		m = wire.ClusterToProto(o)
	case swarmnet.Node:
		m = wire.NodeToProto(o)
	case swarmnet.Network:
		m = wire.NetworkToProto(o)
	case swarmnet.Service:
		m = wire.ServiceToProto(o)
	case swarmnet.Task:
		m = wire.TaskToProto(o)
	case swarmnet.Endpoint:
		m = wire.EndpointToProto(o)
	default:
		return 0
	}
	k, _, _ := describe(o)
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte(k), m)
	if err != nil {
		return 0 // text is made valid by the converters: nothing else can fail
	}
	return digestBytes(b)
}
