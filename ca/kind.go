package ca

import (
	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Kind is what a certificate's holder is.
type Kind uint8

const (
	KindNone Kind = iota
	KindWorker
	KindManager
	KindAdmin
)

var units = [...]string{KindNone: "", KindWorker: "swarmnet-worker", KindManager: "swarmnet-manager", KindAdmin: "swarmnet-admin"}

func (k Kind) unit() string { return units[k] }

func (k Kind) String() string {
	return [...]string{"a stranger", "a worker", "a manager", "an admin"}[k]
}

// Caller is the kind in the words of the proto files' method options.
func (k Kind) Caller() pb.Caller {
	return [...]pb.Caller{pb.Caller_CALLER_ANYONE, pb.Caller_CALLER_WORKER, pb.Caller_CALLER_MANAGER, pb.Caller_CALLER_ADMIN}[k]
}

// KindOf is the kind of a node with a role.
func KindOf(r swarmnet.Role) Kind {
	if r == swarmnet.RoleManager {
		return KindManager
	}
	return KindWorker
}

func kindOfUnit(unit string) Kind {
	for k, u := range units {
		if u == unit {
			return Kind(k)
		}
	}
	return KindNone
}
