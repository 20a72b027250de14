package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent"
	"github.com/swarmnet/swarmnet/agent/local/store"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/manager"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/rpcauth"
)

// Run is the daemon: it serves the local socket and, on a node that is in a cluster, its part of the cluster, until ctx ends.
// Workloads and data path stand when it returns.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	balancing, err := agent.ChooseBalancing(cfg.Balancer, cfg.IPVSScheduler, cfg.Logger)
	if err != nil {
		return err
	}
	for _, dir := range []string{cfg.DataDir, cfg.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("cannot make %s: %w", dir, err)
		}
	}
	unlock, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	l, err := listenLocal(cfg.SocketPath)
	if err != nil {
		return err
	}
	d := &daemon{cfg: cfg, balancing: balancing, features: kernelFeatures(cfg.Logger), log: cfg.Logger, started: time.Now(), changed: make(chan struct{}, 1), agentSet: make(chan struct{})}
	if err := d.openLocal(); err != nil {
		l.Close()
		return err
	}
	rec, ok, err := loadRecord(cfg.DataDir)
	if err != nil {
		l.Close()
		return err
	}
	if ok {
		id, err := ca.Load(d.identityDir())
		if err != nil {
			l.Close()
			return fmt.Errorf("this node is in a cluster but its identity cannot be read (%w): restore %s, or leave with `swarmnet cluster leave --force` and join again", err, d.identityDir())
		}
		d.install(newMember(d, id, rec, nil))
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.runMembers(ctx) })
	g.Go(func() error { return serve(ctx, d.localServer(), l) })
	return g.Wait()
}

// daemon holds the node's membership, none or one at a time, and what is the node's own.
type daemon struct {
	cfg       Config
	balancing agent.Balancing
	features  []string // of the kernel, that were tried out at the start
	log       *slog.Logger
	started   time.Time

	// commands serialises Init, Join and Leave.
	commands sync.Mutex

	mu      sync.Mutex
	member  *member
	lastErr error         // why the last member ended by itself
	changed chan struct{} // member was installed

	cleanup  sync.Mutex    // held while a member that leaves takes everything off the host
	local    *store.Store  // the node's own networks and sandboxes
	agent    *agent.Agent  // that runs, the member's or the node's alone; nil in between
	agentSet chan struct{} // closed when agent is set
}

func (d *daemon) identityDir() string { return filepath.Join(d.cfg.DataDir, "identity") }

func (d *daemon) current() *member {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.member
}

func (d *daemon) install(m *member) {
	d.mu.Lock()
	d.member, d.lastErr = m, nil
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *daemon) uninstall(m *member, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastErr = err
	if d.member == m {
		d.member = nil
	}
}

// runMembers runs whatever member is installed, and while there is none, what is the node's own. A member that fails takes the daemon with it: an init system starts it again, and
// the data path does not notice.
func (d *daemon) runMembers(ctx context.Context) error {
	for {
		if m := d.current(); m != nil {
			err := m.run(ctx)
			if ctx.Err() != nil {
				return nil
			}
			d.uninstall(m, err)
			if err != nil && !errors.Is(err, errLeft) {
				return err
			}
		}
		if d.current() != nil {
			continue
		}
		if err := d.runAlone(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// localServer serves this node's own API and, while it is a manager, the cluster's.
func (d *daemon) localServer() *grpc.Server {
	s := grpc.NewServer(rpcauth.Guard{Rules: rpcauth.FromProto("swarmnet.v1")}.Options()...)
	pb.RegisterLocalServer(s, &localServer{d: d})
	s.RegisterService(dynamicDesc(pb.Control_ServiceDesc, func() (any, error) {
		m, err := d.manager()
		if err != nil {
			return nil, err
		}
		return m.ControlServer(), nil
	}), nil)
	s.RegisterService(dynamicDesc(pb.CA_ServiceDesc, func() (any, error) {
		m, err := d.manager()
		if err != nil {
			return nil, err
		}
		return m.CAServer(), nil
	}), nil)
	return s
}

// manager returns the running manager, or says why there is none.
func (d *daemon) manager() (*manager.Manager, error) {
	m := d.current()
	if m == nil {
		return nil, status.Error(codes.FailedPrecondition, "this node is in no cluster: make one with `swarmnet cluster init`, or join one with `swarmnet cluster join`")
	}
	if mgr := m.manager.Load(); mgr != nil {
		select {
		case <-mgr.Ready():
			return mgr, nil
		default:
		}
	}
	if err := m.managerError(); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	if m.id.Role() == swarmnet.RoleManager {
		return nil, status.Error(codes.Unavailable, "the manager on this node is still starting: try again in a moment")
	}
	return nil, status.Error(codes.FailedPrecondition, "this node is a worker: run cluster commands on a manager, or promote this node there with `swarmnet node promote`")
}

// lockDir keeps two daemons from one data directory.
func lockDir(dir string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another daemon uses %s: stop it first, or give this one another --data-dir", dir)
	}
	return func() { f.Close() }, nil
}
