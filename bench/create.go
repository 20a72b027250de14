package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

const createRuns = 20

// createLatency measures from `service create --detach` returning (nothing runs yet) to the port answering on the last of three nodes,
// as seen from outside.
func createLatency(ctx context.Context, l *lab, out io.Writer) error {
	if _, err := l.swarm(ctx, "network", "create", "-d", "overlay", "latency"); err != nil {
		return err
	}
	urls := []string{"http://192.0.2.1:8080/", "http://192.0.2.2:8080/", "http://192.0.2.3:8080/"}
	var after, whole sample
	for range createRuns {
		probe := l.command(ctx, "outside", append([]string{"probe"}, urls...)...)
		probe.WaitDelay = 5 * time.Second
		stdout, err := probe.StdoutPipe()
		if err != nil {
			return err
		}
		if err := probe.Start(); err != nil {
			return err
		}
		lines := bufio.NewReader(stdout)
		if _, err := lines.ReadString('\n'); err != nil {
			return fmt.Errorf("the probe did not start: %w", err)
		}
		start := time.Now()
		if _, err := l.swarm(ctx, "service", "create", "--detach", "--name", "web", "--replicas", "3", "--network", "latency", "--publish", "8080:80", "--", "swarmnet", "whoami"); err != nil {
			return err
		}
		returned := time.Now()
		text, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the port did not come to answer: %w", err)
		}
		var nanos int64
		if err := json.Unmarshal([]byte(strings.TrimSpace(text)), &nanos); err != nil {
			return err
		}
		if err := probe.Wait(); err != nil {
			return err
		}
		answered := time.Unix(0, nanos)
		after = append(after, answered.Sub(returned).Seconds())
		whole = append(whole, answered.Sub(start).Seconds())
		if _, err := l.swarm(ctx, "service", "rm", "web"); err != nil {
			return err
		}
		if _, err := l.helper(ctx, "outside", append([]string{"probe", "-gone"}, urls...)...); err != nil {
			return err
		}
		if err := l.tasksGone(ctx, "web"); err != nil {
			return err
		}
	}
	table(out, row{"create returned to last node answering", "s", after}, row{"create called to last node answering", "s", whole})
	return nil
}

// tasksGone waits until a removed service has been forgotten, so that runs do not run into each other.
func (l *lab) tasksGone(ctx context.Context, name string) error {
	return until(ctx, 30*time.Second, "service "+name+" gone", func() (bool, error) {
		text, err := l.swarm(ctx, "service", "ls", "-q", "--filter", "name="+name)
		return text == "", err
	})
}
