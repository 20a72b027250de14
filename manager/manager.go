package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/internal/version"
	"github.com/swarmnet/swarmnet/manager/controlapi"
	"github.com/swarmnet/swarmnet/manager/dispatcher"
	"github.com/swarmnet/swarmnet/manager/raftnode"
	"github.com/swarmnet/swarmnet/manager/raftnode/transport"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/rpcauth"
)

// Config configures a Manager.
type Config struct {
	Identity *ca.Identity
	// DataDir holds the log, the snapshots and the manager's place in the group.
	DataDir       string
	ListenAddr    string // HOST:PORT of the mTLS listener
	AdvertiseAddr string // HOST:PORT at which others reach it; empty: the listener's
	// Bootstrap makes a new cluster, if DataDir holds none.
	Bootstrap *Bootstrap
	// JoinVia are managers (HOST:PORT) through which to join the group, if DataDir holds no place in it.
	JoinVia []string
	Logger  *slog.Logger
	FS      vfs.FS // default: the host's

	auditEvery uint64 // see raftnode.Config
}

// Bootstrap is what a new cluster begins with: see ca.NewCluster and ca.FirstManager.
type Bootstrap struct {
	Cluster swarmnet.Cluster
	Node    swarmnet.Node
}

// Manager is one manager. Its methods are safe for concurrent use.
type Manager struct {
	cfg        Config
	log        *slog.Logger
	listener   net.Listener
	replica    *replica
	dispatcher *dispatcher.Server
	control    *controlapi.Server
	ca         *caServer
	node       atomic.Pointer[raftnode.Node] // nil until Run has opened it
	removed    chan struct{}
	ready      chan struct{}
}

// New takes the listener's address, so that one that is taken is known at once, and does nothing else yet.
func New(cfg Config) (*Manager, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.FS == nil {
		cfg.FS = vfs.OS{}
	}
	l, err := listen(cfg.ListenAddr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", cfg.ListenAddr, err)
	}
	if cfg.AdvertiseAddr == "" {
		cfg.AdvertiseAddr = l.Addr().String()
	}
	m := &Manager{
		cfg: cfg, log: cfg.Logger, listener: l, replica: newReplica(),
		removed: make(chan struct{}), ready: make(chan struct{}),
	}
	m.ca = &caServer{m: m}
	m.dispatcher = dispatcher.New(dispatcher.Config{Self: cfg.Identity.NodeID(), Backend: m, Logger: cfg.Logger})
	m.control = controlapi.New(m)
	return m, nil
}

// ControlServer is the admin API, to be served on the local socket too. Its callers are told from the context of the call:
// see rpcauth.
func (m *Manager) ControlServer() pb.ControlServer { return m.control }

// CAServer is the certificate authority's API, to be served on the local socket too.
func (m *Manager) CAServer() pb.CAServer { return m.ca }

// Guard authorises calls by the methods' options and the nodes in the state.
func (m *Manager) Guard() rpcauth.Guard {
	return rpcauth.Guard{Rules: rpcauth.FromProto("swarmnet.v1"), Members: members{m}}
}

// View is the newest state of this manager.
func (m *Manager) View() *state.State { return m.replica.view() }

// Changed returns a channel that is closed when View becomes newer than it is now.
func (m *Manager) Changed() <-chan struct{} { return m.replica.changed() }

// Removed is closed when the manager was removed from the group: its node is a worker now, or gone.
func (m *Manager) Removed() <-chan struct{} { return m.removed }

// Ready is closed when the manager is part of the group and holds the cluster's state.
func (m *Manager) Ready() <-chan struct{} { return m.ready }

// Addr is the address of the listener.
func (m *Manager) Addr() net.Addr { return m.listener.Addr() }

// Raft is this manager's view of the group; zero until it is part of it.
func (m *Manager) Raft() raftnode.Status {
	if n := m.node.Load(); n != nil {
		return n.Status()
	}
	return raftnode.Status{}
}

// Run takes part in the group and serves until ctx ends (then it returns nil), the manager is removed (nil too: see
// Removed), or something fails that a manager must not survive.
func (m *Manager) Run(ctx context.Context) error {
	defer m.listener.Close()
	s, err := m.takeSeat(ctx)
	if err != nil {
		return err
	}
	self := raftnode.Peer{ID: s.ID, NodeID: string(m.cfg.Identity.NodeID()), Addr: m.cfg.AdvertiseAddr}
	cluster := string(m.cfg.Identity.ClusterID())
	carrier := transport.New(transport.Config{ClusterID: cluster, Self: self, Dial: m.dial, Logger: m.log})
	node, err := raftnode.Open(raftnode.Config{
		ID: self.ID, NodeID: self.NodeID, Addr: self.Addr, ClusterID: cluster,
		FS: m.cfg.FS, Dir: m.raftDir(), Key: s.Key,
		StateMachine: m.replica, Transport: carrier, Logger: m.log, Bootstrap: s.Bootstrap, Peers: s.peers,
		HeartbeatTicks: 3, // each wakes every manager: a third of what idle ones take
		AuditEvery:     m.cfg.auditEvery, Build: version.Version + " " + version.Commit,
	})
	if err != nil {
		return err
	}
	m.node.Store(node)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.runRaft(gctx, node) })
	g.Go(func() error { return m.serve(gctx, transport.NewServer(cluster, s.ID, node)) })
	g.Go(func() error { return m.dispatcher.Run(gctx) })
	g.Go(func() error { return m.followLeadership(gctx, node) })
	g.Go(func() error { return m.start(gctx) })
	err = g.Wait()
	if errors.Is(err, raftnode.ErrRemoved) {
		close(m.removed)
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// runRaft ends everything else when the raft node ends.
func (m *Manager) runRaft(ctx context.Context, node *raftnode.Node) error {
	if err := node.Run(ctx); err != nil {
		return err
	}
	return context.Canceled
}

// start makes the cluster's first objects, and says when the state is there.
func (m *Manager) start(ctx context.Context) error {
	if b := m.cfg.Bootstrap; b != nil {
		if err := m.bootstrap(ctx, *b); err != nil {
			return fmt.Errorf("cannot make the cluster: %w", err)
		}
	}
	for {
		changed := m.Changed()
		if _, ok := m.View().Cluster(); ok {
			close(m.ready)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// serve answers on the listener until ctx ends.
func (m *Manager) serve(ctx context.Context, raft pb.RaftServer) error {
	opts := append(append(m.Guard().Options(), m.cfg.Identity.ServerOptions()...),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(maxMessage))
	s := grpc.NewServer(opts...)
	pb.RegisterCAServer(s, m.ca)
	pb.RegisterControlServer(s, m.control)
	pb.RegisterDispatcherServer(s, m.dispatcher)
	pb.RegisterRaftMembershipServer(s, membershipServer{m: m})
	pb.RegisterRaftServer(s, raft)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.Serve(m.listener); !errors.Is(err, grpc.ErrServerStopped) { // that it is when it was stopped before it began
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		// Sessions and watches never end by themselves: their clients go to another manager.
		s.Stop()
		return nil
	})
	return g.Wait()
}

// maxMessage bounds what is received, from strangers too: members of the group send the largest.
const maxMessage = 16 << 20 // octets

// dial makes a connection to another manager.
func (m *Manager) dial(_ context.Context, addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr, m.cfg.Identity.DialOptions()...)
}
