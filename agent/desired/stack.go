package desired

import (
	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
)

// Stack says where a task's network stack is from. The zero value is one of its own.
type Stack struct {
	Mode swarmnet.NetworkMode
	// Owner is the sandbox whose stack is used with swarmnet.ModeShared; OwnerUp says that it is there, OwnerDown that there is nothing to
	// wait for.
	Owner              swarmnet.TaskID
	OwnerUp, OwnerDown bool
	// Interfaces are the names of the interfaces by network: those of a sandbox stay while others come and go.
	Interfaces map[swarmnet.NetworkID]string
	// Wishes are for the interfaces that drivers make themselves, by network; Awaits says that one of them has not been made yet, so that
	// its addresses are unknown.
	Wishes map[swarmnet.NetworkID]driver.Wish
	Awaits bool
	// Lent says that the task has ended, and others still use its stack: it stays as it is.
	Lent bool
}

// Own reports whether the task has a namespace to itself.
func (s Stack) Own() bool { return s.Mode == swarmnet.ModeNetworks || s.Mode == swarmnet.ModeNone }
