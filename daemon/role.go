package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager"
	"github.com/swarmnet/swarmnet/manager/raftnode"
)

// kickManager lets runManager look at the roles again.
func (m *member) kickManager() {
	select {
	case m.managerKick <- struct{}{}:
	default:
	}
}

// runManager runs a manager while the node is one: while its certificate says so and the managers want it.
func (m *member) runManager(ctx context.Context) error {
	for ctx.Err() == nil {
		if m.id.Role() == swarmnet.RoleManager && m.wanted() == swarmnet.RoleManager {
			if err := m.manageOnce(ctx); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-m.managerKick:
		}
	}
	return nil
}

// manageOnce runs a manager until ctx ends or the node is no longer one; then it forgets what the manager knew.
func (m *member) manageOnce(ctx context.Context) error {
	dir := filepath.Join(m.d.cfg.DataDir, "manager")
	rec := m.record()
	mgr, err := manager.New(manager.Config{
		Identity:      m.id,
		DataDir:       dir,
		ListenAddr:    rec.Addresses.Listen,
		AdvertiseAddr: rec.Addresses.Advertise,
		Bootstrap:     m.bootstrap,
		JoinVia:       rec.Managers,
		Logger:        m.log,
	})
	if err != nil {
		return m.withoutManager(ctx, fmt.Errorf("cannot start the manager: %w", err))
	}
	m.manager.Store(mgr)
	defer m.manager.Store(nil)

	demoted := false
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	g, gctx := errgroup.WithContext(runCtx)
	g.Go(func() error {
		defer stop()
		return mgr.Run(gctx)
	})
	g.Go(func() error {
		for {
			select {
			case <-gctx.Done():
				return nil
			case <-mgr.Removed():
				stop()
				return nil
			case <-m.managerKick:
			}
			if m.id.Role() != swarmnet.RoleManager {
				demoted = true
				stop()
				return nil
			}
		}
	})
	err = g.Wait()
	select {
	case <-mgr.Removed():
		demoted = true
	default:
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case demoted:
		m.log.Info("this node is no longer a manager")
		m.setWanted(swarmnet.RoleWorker)
		return os.RemoveAll(dir)
	case err != nil:
		return m.withoutManager(ctx, fmt.Errorf("the manager has stopped: %w", err))
	}
	// A manager that ends without being told to: start it again, not in a tight loop.
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	return nil
}

// withoutManager decides what becomes of a node whose manager cannot go on. One whose log cannot be trusted must never vote again until a
// person has acted, but its agent can do without: the node goes on as a worker would, and says so. Anything else ends the daemon, for
// its init system to start it again.
func (m *member) withoutManager(ctx context.Context, err error) error {
	if !errors.Is(err, raftnode.ErrQuarantined) {
		return err
	}
	m.log.Error("this node goes on without its manager", "err", err)
	m.setManagerErr(err)
	<-ctx.Done()
	return nil
}

func (m *member) setManagerErr(err error) {
	m.mu.Lock()
	m.managerErr = err
	m.mu.Unlock()
}

func (m *member) setWanted(r swarmnet.Role) {
	m.mu.Lock()
	m.wantRole = r
	m.mu.Unlock()
	m.kickRole()
}
