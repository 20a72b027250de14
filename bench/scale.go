package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// scaleUp measures how long a service takes from 3 to 100 tasks: until all run, and until every node's resolver names them all.
func scaleUp(ctx context.Context, l *lab, out io.Writer) error {
	if _, err := l.swarm(ctx, "network", "create", "-d", "overlay", "many"); err != nil {
		return err
	}
	if _, err := l.swarm(ctx, "service", "create", "--name", "sleepers", "--replicas", "3", "--network", "many", "--", "sleep", "86400"); err != nil {
		return err
	}
	// A resolver answers in a sandbox: one of the first three tasks on each node.
	boxes := map[string]string{}
	list, err := l.swarm(ctx, "service", "ps", "sleepers", "--no-trunc", "--format", "{{.ID}} {{.Node}}")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(list, "\n") {
		if id, node, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			boxes[node] = "/run/swarmnet/netns/sb-" + id
		}
	}
	start := time.Now()
	if _, err := l.swarm(ctx, "service", "scale", "sleepers=100"); err != nil {
		return err
	}
	running := time.Since(start).Seconds()
	for node, box := range boxes {
		if err := until(ctx, 60*time.Second, "all tasks in DNS on "+node, func() (bool, error) {
			text, err := l.helper(ctx, node, "lookup", "-netns", box, "tasks.sleepers")
			return text == "100", err
		}); err != nil {
			return err
		}
	}
	table(out, row{"3 to 100 tasks, all running", "s", sample{running}}, row{"3 to 100 tasks, all in DNS on every node", "s", sample{time.Since(start).Seconds()}})
	if _, err := l.swarm(ctx, "service", "rm", "sleepers"); err != nil {
		return err
	}
	if len(boxes) != 3 {
		return fmt.Errorf("the first three tasks were on %d nodes instead of 3", len(boxes))
	}
	return l.tasksGone(ctx, "sleepers")
}
