package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	manySandboxes = 1000
	atOnce        = 8 // commands
)

// manyOnOneNode measures how long a node takes to start many sandboxes and to remove them, by that many `swarmnet` commands, and how much
// memory its daemon holds for each.
func manyOnOneNode(ctx context.Context, l *lab, out io.Writer) error {
	if _, err := l.swarm(ctx, "network", "create", "--subnet", "10.200.0.0/20", "crowd"); err != nil {
		return err
	}
	before, err := l.daemonMemory(ctx)
	if err != nil {
		return err
	}
	each := func(command string) (time.Duration, error) {
		began := time.Now()
		_, err := l.on(ctx, "n1", "sh", "-c", fmt.Sprintf("seq %d | xargs -P %d -I{} swarmnet %s >/dev/null", manySandboxes, atOnce, command))
		return time.Since(began), err
	}
	started, err := each("run -d --name crowd{} --network crowd -- sleep 86400")
	if err != nil {
		return err
	}
	running, err := l.swarm(ctx, "ps", "-q", "--filter", "name=crowd")
	if err != nil {
		return err
	}
	if n := len(strings.Fields(running)); n != manySandboxes {
		return fmt.Errorf("%d sandboxes run instead of %d", n, manySandboxes)
	}
	after, err := l.daemonMemory(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := l.on(ctx, "n1", "sh", "-c", "swarmnet ps -a -q --filter name=crowd | xargs -P 8 -n 25 swarmnet rm -f >/dev/null"); err != nil {
		return err
	}
	removed := time.Since(began)
	left, err := l.on(ctx, "n1", "sh", "-c", "ls /run/swarmnet/netns | grep -c sb- || true")
	if err != nil {
		return err
	}
	table(out,
		row{fmt.Sprintf("%d sandboxes started, each by a command", manySandboxes), "s", sample{started.Seconds()}},
		row{fmt.Sprintf("%d sandboxes removed", manySandboxes), "s", sample{removed.Seconds()}},
		row{"the daemon's memory, for each", "KiB", sample{float64(after-before) / manySandboxes}})
	if left != "0" {
		return fmt.Errorf("%s namespaces are left", left)
	}
	_, err = l.swarm(ctx, "network", "rm", "crowd")
	return err
}

// daemonMemory is what the daemon of the first node has in memory (VmRSS of proc_pid_status(5)), in KiB.
func (l *lab) daemonMemory(ctx context.Context) (int, error) {
	text, err := l.on(ctx, "n1", "sh", "-c", `for p in /proc/[0-9]*; do
		tr '\0' ' ' <$p/cmdline | grep -q 'swarmnet[ ]daemon' && awk '/VmRSS/ {print $2}' $p/status; done 2>/dev/null; true`)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("the daemon's memory: %q", text)
	}
	return n, nil
}
