package raftnode

import (
	"errors"
	"fmt"

	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
	"github.com/swarmnet/swarmnet/manager/raftnode/wal"
)

var (
	// ErrStopped: the node does not run any more. Retry elsewhere.
	ErrStopped = errors.New("the raft node has stopped")
	// ErrNoQuorum: no leader was known while one waited. Whether a proposal was committed is unknown. Retry later.
	ErrNoQuorum = errors.New("the group of managers has no leader: more than half of them must be up and reach each other")
	// ErrOverloaded: too many bytes of proposals wait for an answer; nothing was proposed. Retry a little later.
	ErrOverloaded = errors.New("too many proposals are waiting: try again in a second")
	// ErrTooLarge: nothing was proposed, and never will be.
	ErrTooLarge = errors.New("the proposal is too large")
	// ErrDiskFull: nothing was proposed.
	ErrDiskFull = errors.New("the manager's disk is full: make room, or use another manager")
	// ErrQuarantined: the node must not take part in the group any more, and can't be healed.
	ErrQuarantined = errors.New("this manager must not vote any more")
	// ErrRemoved: the node is no member of the group any more.
	ErrRemoved = errors.New("this manager was removed from the group")
	// ErrChange: the change of members is not possible; nothing was changed.
	ErrChange = errors.New("the change of members was refused")
)

// wayOut makes of an error of the disk one that says what to do.
func wayOut(dir string, err error) error {
	switch {
	case errors.Is(err, wal.ErrDamaged), errors.Is(err, ErrQuarantined):
		return fmt.Errorf("raftnode: %w; remove %s on this node and start it again: it joins anew, the other managers have the data", quarantine(err), dir)
	case errors.Is(err, wal.ErrKey):
		return fmt.Errorf("raftnode: open %s: %w; start the node with the key and the identity that it was made with", dir, err)
	case errors.Is(err, vfs.ErrNoSpace):
		return fmt.Errorf("raftnode: %w: %w", ErrDiskFull, err)
	}
	return fmt.Errorf("raftnode: %w", err)
}

// quarantine makes of damage what it means.
func quarantine(err error) error {
	if errors.Is(err, ErrQuarantined) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrQuarantined, err)
}
