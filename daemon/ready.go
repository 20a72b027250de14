package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// awaitReady waits until the node has got its first assignments: from then on it is a working member.
func (m *member) awaitReady(ctx context.Context) error {
	select {
	case <-m.firstSet:
		return nil
	case <-m.ended:
		m.d.mu.Lock()
		defer m.d.mu.Unlock()
		if m.d.lastErr != nil {
			return m.d.lastErr
		}
		return errors.New("the node stopped before it had become a member: see the daemon's log")
	case <-ctx.Done():
		return fmt.Errorf("no manager gave this node its assignments within %s: check that managers answer on the addresses that they advertise, and the daemon's log", formTimeout)
	}
}

// giveBack has the managers take back what they gave this node's own sandboxes on the cluster's networks. When none answers they do so once
// they have declared the node down.
func (m *member) giveBack(ctx context.Context) {
	m.mu.Lock()
	a := m.agent
	m.mu.Unlock()
	foreign := func(att swarmnet.NetworkAttachment) bool {
		_, own := m.d.local.Read().Networks[att.Network]
		return !own
	}
	if a == nil || !slices.ContainsFunc(a.Sandboxes(), func(sb local.Sandbox) bool { return slices.ContainsFunc(sb.Spec.Networks, foreign) }) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := a.Detach(ctx, "", ""); err != nil {
		m.log.Warn("the managers still hold addresses of this node's sandboxes", "err", err)
	}
}

// resign asks the other managers to take this node out of their group before it goes. A node that leaves by force goes in any case.
func (m *member) resign(ctx context.Context) {
	mgr := m.manager.Load()
	if mgr == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := mgr.Demote(ctx, "node "+string(m.id.NodeID()), m.id.NodeID()); err != nil {
		m.log.Warn("leaving without the other managers' consent", "err", err)
	}
}

func (m *member) managerError() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.managerErr
}

// describe adds what the node knows of its cluster.
func (m *member) describe(info *pb.InfoResponse) {
	rec := m.record()
	info.State = "pending"
	info.NodeId, info.ClusterId = string(m.id.NodeID()), string(m.id.ClusterID())
	info.Role = pb.Role(m.id.Role()) + 1
	info.AdvertiseAddr, info.Vtep = rec.Addresses.Advertise, rec.Addresses.VTEP.String()
	info.Managers = rec.Managers
	m.mu.Lock()
	set, ok, managerErr := m.set, m.hasSet, m.managerErr
	m.mu.Unlock()
	if managerErr != nil {
		info.Error = managerErr.Error()
	}
	if ok {
		info.State = "active"
		info.DataPathPort = uint32(set.Cluster.DataPathPort)
		for _, t := range set.Tasks {
			if t.Status.State == swarmnet.TaskRunning && t.Desired <= swarmnet.DesireDraining {
				info.RunningTasks++
			}
		}
	}
	if mgr := m.manager.Load(); mgr != nil {
		for range mgr.View().Nodes() {
			info.NodeCount++
		}
		raft := mgr.Raft()
		for _, member := range raft.Members {
			if member.Voter {
				info.ManagerCount++
			}
		}
		info.Quorum = raft.Leader != 0
	}
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
