package manager

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet/manager/raftnode"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// place is a seat with what is only known when it was just taken.
type place struct {
	seat
	Bootstrap bool
	peers     []raftnode.Peer
}

// takeSeat returns this manager's place in the group: the one that it has, the first of a new group, or a new one that the
// group gives it.
func (m *Manager) takeSeat(ctx context.Context) (place, error) {
	s, err := loadSeat(m.cfg.FS, m.cfg.DataDir)
	switch {
	case err == nil && m.cfg.Bootstrap == nil && !m.hasLog() && len(m.cfg.JoinVia) > 0:
		// What this number once acknowledged is gone: its log was lost, or removed after a quarantine. It takes a new one.
		return m.joinGroup(ctx)
	case err == nil:
		// A first start that was cut short may have left no log yet; Bootstrap does nothing where there is one.
		return place{seat: s, Bootstrap: m.cfg.Bootstrap != nil && s.ID == firstRaftID}, nil
	case !errors.Is(err, errNoSeat):
		return place{}, err
	case m.cfg.Bootstrap != nil:
		s = newSeat(firstRaftID)
		return place{seat: s, Bootstrap: true}, s.save(m.cfg.FS, m.cfg.DataDir)
	case len(m.cfg.JoinVia) == 0:
		return place{}, fmt.Errorf("%s holds no place in the group of managers, and no manager is known to join it through", m.cfg.DataDir)
	}
	return m.joinGroup(ctx)
}

func (m *Manager) hasLog() bool {
	names, err := m.cfg.FS.List(path.Join(m.raftDir(), "log"))
	return err != nil || len(names) > 0
}

func (m *Manager) raftDir() string { return path.Join(m.cfg.DataDir, "raft") }

// firstRaftID is the number of the member that makes the group.
const firstRaftID = 1

// joinGroup asks the managers for a seat, until one gives it.
func (m *Manager) joinGroup(ctx context.Context) (place, error) {
	for {
		var last error
		for _, addr := range m.cfg.JoinVia {
			resp, err := m.askForSeat(ctx, addr)
			if err == nil {
				s := newSeat(resp.GetRaftId())
				p := place{seat: s}
				for _, one := range resp.GetMembers() {
					p.peers = append(p.peers, raftnode.Peer{ID: one.GetRaftId(), NodeID: one.GetNodeId(), Addr: one.GetAddr()})
				}
				return p, s.save(m.cfg.FS, m.cfg.DataDir)
			}
			last = fmt.Errorf("cannot join the group of managers through %s: %s", addr, status.Convert(err).Message())
			switch status.Code(err) {
			case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.Unimplemented:
				return place{}, last
			}
		}
		m.log.Warn("not in the group of managers yet", "error", last)
		select {
		case <-ctx.Done():
			return place{}, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (m *Manager) askForSeat(ctx context.Context, addr string) (*pb.JoinGroupResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+addr, m.cfg.Identity.DialOptions()...)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return pb.NewRaftMembershipClient(conn).Join(ctx, &pb.JoinGroupRequest{
		NodeId: string(m.cfg.Identity.NodeID()), Addr: m.cfg.AdvertiseAddr,
	})
}
