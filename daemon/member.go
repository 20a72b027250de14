package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"golang.org/x/sync/errgroup"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/internal/version"
	"github.com/swarmnet/swarmnet/manager"
)

// errLeft ends a member that has left its cluster.
var errLeft = errors.New("the node has left the cluster")

// member is the node's membership in one cluster: an agent always, a manager while its role says so.
type member struct {
	d         *daemon
	id        *ca.Identity
	log       *slog.Logger
	bootstrap *manager.Bootstrap // only right after `cluster init`

	agent   *agent.Agent
	manager atomic.Pointer[manager.Manager]

	mu          sync.Mutex
	rec         record
	managerErr  error // why a manager node runs without its manager
	wantRole    swarmnet.Role
	roleKick    chan struct{} // wantRole has changed: renewals looks
	managerKick chan struct{} // runManager looks

	set      swarmnet.AssignmentSet // the last one seen
	hasSet   bool
	firstSet chan struct{} // closed with the first one

	leaving chan struct{} // closed by leave
	ended   chan struct{} // closed when run has returned
}

func newMember(d *daemon, id *ca.Identity, rec record, b *manager.Bootstrap) *member {
	return &member{
		d: d, id: id, rec: rec, bootstrap: b,
		log:         d.log.With("node", swarmnet.ShortID(id.NodeID())),
		wantRole:    id.Role(),
		roleKick:    make(chan struct{}, 1),
		managerKick: make(chan struct{}, 1),
		firstSet:    make(chan struct{}),
		leaving:     make(chan struct{}),
		ended:       make(chan struct{}),
	}
}

// run is the member's life: until ctx ends (nil), it leaves (errLeft), or it cannot go on.
func (m *member) run(ctx context.Context) error {
	defer close(m.ended)
	a, err := agent.New(m.agentConfig())
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.agent = a
	m.mu.Unlock()
	m.d.setAgent(a)
	defer m.d.setAgent(nil)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(ctx) })
	g.Go(func() error { return m.runManager(ctx) })
	g.Go(func() error { return m.renewals(ctx) })
	g.Go(func() error {
		select {
		case <-m.leaving:
			return errLeft
		case <-ctx.Done():
			return nil
		}
	})
	return g.Wait()
}

func (m *member) agentConfig() agent.Config {
	cfg, rec := m.d.cfg, m.record()
	return agent.Config{
		NodeID:     m.id.NodeID(),
		ClusterID:  m.id.ClusterID(),
		Dial:       m.dial,
		Managers:   rec.Managers,
		DataDir:    filepath.Join(cfg.DataDir, "agent"),
		CNIDir:     cfg.cniDir(),
		RunDir:     cfg.RunDir,
		VTEP:       rec.Addresses.VTEP,
		GossipAddr: netip.AddrPortFrom(advertisedHost(rec), uint16(cfg.GossipPort)),
		APIAddr:    rec.Addresses.Advertise,
		Hostname:   cfg.Hostname,
		Version:    version.Version,
		ResolvConf: cfg.ResolvConf,
		DNS:        cfg.DNS,
		Balancing:  m.d.balancing,
		Features:   m.d.features,
		Logger:     m.log,
		OnSet:      m.observe,
		Local:      m.d.local,
	}
}

func advertisedHost(r record) netip.Addr {
	addr, _, err := splitHostPort(r.Addresses.Advertise, 0)
	if err != nil {
		return r.Addresses.VTEP
	}
	return addr
}

func (m *member) record() record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rec
}

// keep puts the record on the disk, as it is now: a new list of managers may be about to be written, too.
func (m *member) keep() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return saveRecord(m.d.cfg.DataDir, m.rec)
}

// observe learns from a new assignment set what the managers want of the node itself.
func (m *member) observe(set swarmnet.AssignmentSet) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set = set
	if !m.hasSet {
		m.hasSet = true
		close(m.firstSet)
	}
	if managers := set.Cluster.Managers; len(managers) > 0 && !slices.Equal(managers, m.rec.Managers) {
		m.rec.Managers = slices.Clone(managers)
		if err := saveRecord(m.d.cfg.DataDir, m.rec); err != nil {
			m.log.Error("cannot keep the list of managers", "err", err)
		}
	}
	if self, ok := set.Nodes[set.Self]; ok && self.Spec.Role != m.wantRole {
		m.wantRole = self.Spec.Role
		m.kickRole()
	}
}

func (m *member) kickRole() {
	select {
	case m.roleKick <- struct{}{}:
	default:
	}
}

func (m *member) wanted() swarmnet.Role {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wantRole
}

// renewals keeps the certificate fresh: at half its life, and when the role that it says is not the one wanted.
func (m *member) renewals(ctx context.Context) error {
	retry := time.Duration(0)
	for {
		wait := time.Until(m.id.RenewAt())
		if m.wanted() != m.id.Role() {
			wait = 0
		}
		timer := time.NewTimer(max(wait, retry))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-m.roleKick:
			timer.Stop()
			if m.wanted() == m.id.Role() {
				continue
			}
		case <-timer.C:
		}
		if err := m.renew(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("cannot renew the certificate, trying again", "err", err)
			retry = min(max(2*retry, 250*time.Millisecond), 30*time.Second)
			continue
		}
		retry = 0
		if m.wanted() != m.id.Role() {
			retry = 250 * time.Millisecond // the manager asked has not heard of the new role yet
		}
	}
}

func (m *member) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var errs []error
	for _, addr := range m.record().Managers {
		conn, err := m.dial(ctx, addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		err = ca.Renew(ctx, conn, m.id)
		conn.Close()
		if err == nil {
			m.log.Info("certificate renewed", "role", m.id.Role(), "expires", m.id.Expiry())
			m.kickManager()
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
	}
	return errors.Join(errs...)
}

// dial opens a connection to a manager as this node.
func (m *member) dial(_ context.Context, addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr, append(m.id.DialOptions(), grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: 2 * time.Second,
	}))...)
}

// leave stops the member and takes everything of it off the host.
func (m *member) leave(ctx context.Context) error {
	m.mu.Lock()
	a := m.agent
	m.mu.Unlock()
	m.d.cleanup.Lock()
	defer m.d.cleanup.Unlock()
	close(m.leaving)
	select {
	case <-m.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if a != nil {
		if err := a.Leave(ctx); err != nil {
			return fmt.Errorf("cannot take everything off this host: %w: run the command again", err)
		}
	}
	dir := m.d.cfg.DataDir
	errs := []error{os.Remove(recordPath(dir)), ca.Forget(m.d.identityDir())}
	for _, sub := range []string{"agent", "manager"} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, sub)))
	}
	return errors.Join(errs...)
}
