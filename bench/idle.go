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
	idleSettle = 20 * time.Second // for what has just been started
	idleFor    = 60 * time.Second
)

// idleDaemons measures what the daemons of three managers and of a worker take while nothing happens, with a few services on them.
func idleDaemons(ctx context.Context, l *lab, out io.Writer) error {
	if err := l.worker(ctx); err != nil {
		return err
	}
	if _, err := l.swarm(ctx, "network", "create", "-d", "overlay", "idle"); err != nil {
		return err
	}
	var names []string
	for i := range 3 {
		name := "idle" + strconv.Itoa(i)
		names = append(names, name)
		if _, err := l.swarm(ctx, "service", "create", "--name", name, "--replicas", "4", "--network", "idle",
			"--publish", fmt.Sprintf("%d:80", 8100+i), "--", "swarmnet", "whoami"); err != nil {
			return err
		}
	}
	defer l.swarm(context.Background(), append([]string{"service", "rm"}, names...)...)
	if err := sleep(ctx, idleSettle); err != nil {
		return err
	}
	nodes := []string{"n1", "n2", "n3", "n4"}
	before, err := l.daemons(ctx, nodes)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := sleep(ctx, idleFor); err != nil {
		return err
	}
	after, err := l.daemons(ctx, nodes)
	if err != nil {
		return err
	}
	passed := time.Since(began).Seconds()
	var rows []row
	for _, kind := range []struct {
		name  string
		nodes []string
	}{{"a manager", nodes[:3]}, {"a worker", nodes[3:]}} {
		var cpu, switches, memory, private sample
		for _, n := range kind.nodes {
			cpu = append(cpu, 100*(after[n].cpu-before[n].cpu)/passed)
			switches = append(switches, (after[n].switches-before[n].switches)/passed)
			memory, private = append(memory, after[n].resident), append(private, after[n].private)
		}
		rows = append(rows, row{kind.name + ", of a core", "%", cpu}, row{kind.name + ", context switches", "/s", switches},
			row{kind.name + ", memory", "MiB", memory}, row{kind.name + ", memory but the program's text", "MiB", private})
	}
	table(out, rows...)
	return nil
}

// worker boots one more node, which is none of the managers.
func (l *lab) worker(ctx context.Context) error {
	_, err := l.run(ctx, "lab", "add", "--name", l.name)
	return err
}

// daemon is what a daemon has used so far (seconds), how often its threads have slept or been put aside, and what it holds (MiB).
type daemon struct{ cpu, switches, resident, private float64 }

// daemons asks each node for its daemon's schedstat and status (proc(5)). What threads did that have ended is not in it.
func (l *lab) daemons(ctx context.Context, nodes []string) (map[string]daemon, error) {
	out := map[string]daemon{}
	for _, n := range nodes {
		text, err := l.on(ctx, n, "sh", "-c", `for p in /proc/[0-9]*; do
			tr '\0' ' ' <$p/cmdline | grep -q 'swarmnet[ ]daemon' || continue
			cat $p/task/*/schedstat | awk '{ s += $1 } END { print s }'
			awk '/ctxt_switches/ { s += $2 } END { print s }' $p/task/*/status
			awk '/VmRSS/ { print $2 } /RssAnon/ { print $2 }' $p/status; done 2>/dev/null; true`)
		if err != nil {
			return nil, err
		}
		f := strings.Fields(text)
		if len(f) != 4 {
			return nil, fmt.Errorf("%s: its daemon's use is %q", n, text)
		}
		var num [4]float64
		for i := range num {
			if num[i], err = strconv.ParseFloat(f[i], 64); err != nil {
				return nil, err
			}
		}
		out[n] = daemon{cpu: num[0] / 1e9, switches: num[1], resident: num[2] / 1024, private: num[3] / 1024}
	}
	return out, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
