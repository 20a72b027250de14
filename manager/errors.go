package manager

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet/manager/raftnode"
)

var errStarting = status.Error(codes.Unavailable, "this manager is still starting: try again in a moment")

// rpcError makes of an error of the group one for a caller of this manager.
func (m *Manager) rpcError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raftnode.ErrNoQuorum):
		return status.Error(codes.Unavailable, noQuorum(m.Raft()))
	case errors.Is(err, raftnode.ErrOverloaded):
		return status.Error(codes.ResourceExhausted, raftnode.ErrOverloaded.Error())
	case errors.Is(err, raftnode.ErrDiskFull):
		return status.Error(codes.ResourceExhausted, raftnode.ErrDiskFull.Error())
	case errors.Is(err, raftnode.ErrStopped):
		return status.Error(codes.Unavailable, "this manager is stopping: ask another one")
	case errors.Is(err, raftnode.ErrRemoved), errors.Is(err, raftnode.ErrQuarantined):
		return status.Errorf(codes.Unavailable, "%v: ask another one", err)
	case errors.Is(err, raftnode.ErrChange):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.Unavailable, "the managers did not answer in time: it is not known whether the change was made")
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the call was cancelled")
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}

// noQuorum says how many managers are missing.
func noQuorum(st raftnode.Status) string {
	var voters, missing int
	for _, p := range st.Members {
		if p.Voter {
			voters++
			if !p.Active {
				missing++
			}
		}
	}
	if missing == 0 {
		return fmt.Sprintf("the %d managers have no leader at the moment: try again", voters)
	}
	return fmt.Sprintf("no quorum: %d of %d managers are missing, %d must be up and reach each other: what runs goes on, nothing can be changed", missing, voters, voters/2+1)
}
