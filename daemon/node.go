package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/agent/local/store"
	"github.com/swarmnet/swarmnet/driver/cni"
	"github.com/swarmnet/swarmnet/internal/version"
)

// agentTimeout bounds how long a command waits for the node's agent, which is replaced when the node joins or leaves a cluster.
const agentTimeout = 15 * time.Second

// openLocal opens the node's own networks and sandboxes.
func (d *daemon) openLocal() error {
	env, err := agent.HostEnv(d.cfg.RunDir)
	if err != nil {
		d.log.Warn("the host's routes cannot be read: the predefined network may overlap one", "err", err)
	}
	d.local, err = store.Open(filepath.Join(d.cfg.DataDir, "local"), env, d.log)
	if err != nil {
		return err
	}
	_, err = d.local.Step(func(st local.State) (local.State, error) {
		next, errs := st.StartWithDaemon(env)
		for _, err := range errs {
			d.log.Warn("a sandbox of the restart policy always is not started", "err", err)
		}
		return next, nil
	})
	return err
}

// runAlone runs an agent for what is the node's own, until ctx ends or a member is installed, whose agent goes on with it.
func (d *daemon) runAlone(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.awaitCleanup()
	a, err := agent.New(agent.Config{
		DataDir: filepath.Join(d.cfg.DataDir, "local"), CNIDir: d.cfg.cniDir(), RunDir: d.cfg.RunDir, Hostname: d.cfg.Hostname, Version: version.Version,
		ResolvConf: d.cfg.ResolvConf, DNS: d.cfg.DNS, Balancing: d.balancing, Features: d.features, Logger: d.log, Local: d.local,
	})
	if err != nil {
		return fmt.Errorf("cannot run sandboxes: %w", err)
	}
	d.setAgent(a)
	defer d.setAgent(nil)
	go func() {
		select {
		case <-ctx.Done():
		case <-d.changed:
			cancel()
		}
	}()
	return a.Run(ctx)
}

// awaitCleanup waits until the last member's agent has taken away what it had.
func (d *daemon) awaitCleanup() {
	d.cleanup.Lock()
	defer d.cleanup.Unlock()
}

func (d *daemon) setAgent(a *agent.Agent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.agent = a
	close(d.agentSet)
	d.agentSet = make(chan struct{})
}

// awaitAgent returns the agent that runs, or waits for the next one.
func (d *daemon) awaitAgent(ctx context.Context) (*agent.Agent, error) {
	ctx, cancel := context.WithTimeout(ctx, agentTimeout)
	defer cancel()
	for {
		d.mu.Lock()
		a, next := d.agent, d.agentSet
		d.mu.Unlock()
		if a != nil {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return nil, status.Error(codes.Unavailable, "this node's agent is not running yet: see the daemon's log, and try again")
		case <-next:
		}
	}
}

// env is what the host and the cluster say at this moment.
func (d *daemon) env(ctx context.Context) (local.Env, *agent.Agent, error) {
	a, err := d.awaitAgent(ctx)
	if err != nil {
		return local.Env{}, nil, err
	}
	env, err := agent.HostEnv(d.cfg.RunDir)
	if err != nil {
		return env, nil, err
	}
	env.Busy = a.PortHolder
	env.Conf = func(spec swarmnet.NetworkSpec) (string, error) { return cni.Load(ctx, spec) }
	env.Cluster = d.clusterNetworks(a)
	return env, a, nil
}

// clusterNetworks are those of the cluster that this node knows: a manager all, a worker those that it takes part in.
func (d *daemon) clusterNetworks(a *agent.Agent) []swarmnet.Network {
	var out []swarmnet.Network
	if m := d.current(); m != nil {
		if mgr := m.manager.Load(); mgr != nil {
			for n := range mgr.View().Networks() {
				out = append(out, n)
			}
			return out
		}
	}
	for _, n := range a.Assigned().Networks {
		out = append(out, n)
	}
	return out
}

// refusal gives an error of the node's own state the code that tells a client what it can do.
func refusal(err error) error {
	var r *local.Refusal
	if !errors.As(err, &r) {
		return err
	}
	code := codes.FailedPrecondition
	switch r.Kind {
	case local.Invalid:
		code = codes.InvalidArgument
	case local.NotFound:
		code = codes.NotFound
	case local.Exists:
		code = codes.AlreadyExists
	}
	return status.Error(code, r.Text)
}

func badRequest(err error) error { return status.Error(codes.InvalidArgument, err.Error()) }
