package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// daemonArgs are what every daemon of the lab is started with.
func (c Config) daemonArgs() []string {
	if c.Balancer == "" {
		return nil
	}
	return []string{"--balancer", c.Balancer}
}

// populate boots the nodes and forms the cluster.
func (l *Lab) populate(ctx context.Context, c Config) error {
	bin := filepath.Join(l.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return err
	}
	if err := os.Symlink(c.Binary, filepath.Join(bin, "swarmnet")); err != nil {
		return err
	}
	names := make([]string, c.Managers+c.Workers)
	for i := range names {
		names[i] = nodeName(i + 1)
	}
	c.Progress(fmt.Sprintf("booting %s and %s", strings.Join(names, ", "), Outside))
	for _, name := range append([]string{Outside}, names...) {
		if err := l.supervisor("boot", name); err != nil {
			return err
		}
	}
	if c.NoCluster {
		return nil
	}
	var g errgroup.Group
	for _, name := range names {
		g.Go(func() error { return l.startDaemon(ctx, name, c.daemonArgs()) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return l.form(ctx, c, names)
}

// form makes a cluster of the nodes, as a person would, and waits until it stands.
func (l *Lab) form(ctx context.Context, c Config, names []string) error {
	c.Progress("n1: swarmnet cluster init")
	if _, err := l.Swarmnet(ctx, names[0], append([]string{"cluster", "init"}, c.InitArgs...)...); err != nil {
		return err
	}
	for i, name := range names[1:] {
		if err := l.join(ctx, name, i+1 < c.Managers, c.Progress); err != nil {
			return err
		}
	}
	c.Progress("waiting until every node is ready")
	return l.WaitFormed(ctx, len(names), c.Managers, c.BootTimeout)
}

// join makes a node a member.
func (l *Lab) join(ctx context.Context, name string, manager bool, progress func(string)) error {
	role := "worker"
	if manager {
		role = "manager"
	}
	token, err := l.onAny(ctx, name, "cluster", "join-token", "-q", role)
	if err != nil {
		return err
	}
	progress(fmt.Sprintf("%s: swarmnet cluster join (%s)", name, role))
	_, err = l.Swarmnet(ctx, name, "cluster", "join", "--token", token, netip.AddrPortFrom(l.Addr("n1"), 4747).String())
	return err
}

// onAny runs a swarmnet command on the first manager that does it.
func (l *Lab) onAny(ctx context.Context, except string, args ...string) (out string, err error) {
	nodes, err := l.Nodes()
	if err != nil {
		return "", err
	}
	err = fmt.Errorf("no node of the lab runs a daemon")
	for _, n := range nodes {
		if n.Name == except || n.Daemon.PID == 0 || n.Cut {
			continue
		}
		if out, err = l.Swarmnet(ctx, n.Name, args...); err == nil {
			return out, nil
		}
	}
	return "", err
}

// member is what `node ls --format json` says of a node.
type member struct {
	Hostname      string
	Status        string
	ManagerStatus string
}

// WaitFormed waits until so many nodes are ready and so many of them are managers with a vote.
func (l *Lab) WaitFormed(ctx context.Context, nodes, managers int, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := "no answer"
	for {
		out, err := l.onAny(ctx, "", "node", "ls", "--format", "json")
		if err != nil {
			last = err.Error()
		} else {
			ready, voters := count(out)
			if ready >= nodes && voters >= managers {
				return nil
			}
			last = fmt.Sprintf("%d of %d nodes ready, %d of %d managers", ready, nodes, voters, managers)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the cluster did not form within %v: %s; the daemons' logs are %s", timeout, last, daemonLogPath(l.dir, "n*"))
		}
	}
}

func count(lines string) (ready, voters int) {
	for line := range strings.Lines(lines) {
		var m member
		if json.Unmarshal([]byte(line), &m) != nil {
			continue
		}
		if m.Status == "Ready" {
			ready++
		}
		if m.ManagerStatus == "Leader" || m.ManagerStatus == "Reachable" {
			voters++
		}
	}
	return ready, voters
}

// Add boots one more node and makes it a member; it returns its name.
func (l *Lab) Add(ctx context.Context, manager bool) (string, error) {
	nodes, err := l.Nodes()
	if err != nil {
		return "", err
	}
	highest := 0
	for _, n := range nodes {
		if i, err := strconv.Atoi(strings.TrimPrefix(n.Name, "n")); err == nil {
			highest = max(highest, i)
		}
	}
	if highest >= maxNodes {
		return "", fmt.Errorf("the lab's underlay is full: %d nodes are the most", maxNodes)
	}
	name := nodeName(highest + 1)
	if err := l.supervisor("boot", name); err != nil {
		return "", err
	}
	if err := l.startDaemon(ctx, name, l.rec.DaemonArgs); err != nil {
		return "", err
	}
	return name, l.join(ctx, name, manager, func(string) {})
}
