package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// lab is a three-manager cluster that is driven as a person would, by the swarmnet command.
type lab struct {
	swarmnet, self, name string
}

func newLab(ctx context.Context) (*lab, error) {
	bin := os.Getenv("SWARMNET_BIN")
	if bin == "" {
		return nil, errors.New("SWARMNET_BIN must name the swarmnet binary: run `make bench`")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := &lab{swarmnet: bin, self: self, name: fmt.Sprintf("bench%d", os.Getpid())}
	if _, err := l.run(ctx, "lab", "up", "--name", l.name); err != nil {
		l.down()
		return nil, err
	}
	return l, nil
}

// down removes the lab whatever became of the run, so it takes no context.
func (l *lab) down() {
	if _, err := l.run(context.Background(), "lab", "down", "--name", l.name); err != nil {
		fmt.Fprintln(os.Stderr, "bench: lab down:", err)
	}
}

func (l *lab) run(ctx context.Context, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, l.swarmnet, args...))
}

// on runs a command on a node.
func (l *lab) on(ctx context.Context, node string, args ...string) (string, error) {
	return l.run(ctx, append([]string{"lab", "exec", "--name", l.name, node, "--"}, args...)...)
}

// swarm runs the admin CLI on the first node.
func (l *lab) swarm(ctx context.Context, args ...string) (string, error) {
	return l.on(ctx, "n1", append([]string{"swarmnet"}, args...)...)
}

// helper runs a helper of this program on a node.
func (l *lab) helper(ctx context.Context, node string, args ...string) (string, error) {
	return l.on(ctx, node, append([]string{l.self}, args...)...)
}

func (l *lab) command(ctx context.Context, node string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, l.swarmnet, append([]string{"lab", "exec", "--name", l.name, node, "--", l.self}, args...)...)
}

func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// until polls a condition.
func until(ctx context.Context, limit time.Duration, what string, cond func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s: not within %s", what, limit))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := cond()
		if err != nil || ok {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
