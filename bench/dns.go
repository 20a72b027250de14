package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	dnsRuns = 5
	dnsSpan = 3 * time.Second // of one load
	dnsRate = 1000            // queries a second of a paced load
)

// resolverLoad measures what a resolver takes and gives: queries for a local name that the daemon answers for each second of CPU time that it
// spends, whatever else the machine does; how long a query takes at a steady rate; and how much longer while another sandbox asks as fast as it can,
// for names that are local and for names that an upstream never answers.
func resolverLoad(ctx context.Context, l *lab, out io.Writer) error {
	if _, err := l.swarm(ctx, "network", "create", "names"); err != nil {
		return err
	}
	var boxes [2]string
	for i := range boxes {
		id, err := l.swarm(ctx, "run", "-d", "--name", "asker"+strconv.Itoa(i+1), "--network", "names", "--dns", "192.0.2.200", "--", "sleep", "86400")
		if err != nil {
			return err
		}
		boxes[i] = "/run/swarmnet/netns/sb-" + strings.TrimSpace(id)
	}
	var perCPU, p50, p99, local99, silent99 sample
	for range dnsRuns {
		before, err := l.daemonCPU(ctx)
		if err != nil {
			return err
		}
		flat, err := l.askNames(ctx, boxes[0], "asker2", 0)
		if err != nil {
			return err
		}
		after, err := l.daemonCPU(ctx)
		if err != nil {
			return err
		}
		perCPU = append(perCPU, float64(flat.Answers)/(after-before))
		alone, err := l.askNames(ctx, boxes[0], "asker2", dnsRate)
		if err != nil {
			return err
		}
		p50, p99 = append(p50, alone.P50), append(p99, alone.P99)
		for name, s := range map[string]*sample{"asker1": &local99, "silent.example": &silent99} {
			beside, err := l.askBeside(ctx, boxes, name)
			if err != nil {
				return err
			}
			*s = append(*s, beside.P50)
		}
	}
	table(out,
		row{"a local name, for each CPU second of the daemon", "queries", perCPU},
		row{fmt.Sprintf("at %d queries/s, half take", dnsRate), "ms", p50}, row{fmt.Sprintf("at %d queries/s, 99 of 100 take", dnsRate), "ms", p99},
		row{"half take, beside a storm of local names, ratio", "x", ratios(local99, p50)},
		row{"half take, beside a storm that no upstream answers, ratio", "x", ratios(silent99, p50)})
	if _, err := l.swarm(ctx, "rm", "-f", "asker1", "asker2"); err != nil {
		return err
	}
	_, err := l.swarm(ctx, "network", "rm", "names")
	return err
}

// askNames has a sandbox ask for a name at a rate; 0: as fast as answers come.
func (l *lab) askNames(ctx context.Context, box, name string, rate int) (dnsResult, error) {
	text, err := l.helper(ctx, "n1", "names", "-netns", box, "-rate", strconv.Itoa(rate), name)
	if err != nil {
		return dnsResult{}, err
	}
	var r dnsResult
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, err
	}
	if r.Answers == 0 {
		return r, fmt.Errorf("%s was never answered", name)
	}
	return r, nil
}

// askBeside is the first sandbox's paced load while the second asks for a name as fast as it can.
func (l *lab) askBeside(ctx context.Context, boxes [2]string, name string) (dnsResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	storm := l.command(ctx, "n1", "names", "-netns", boxes[1], "-span", "1h", name)
	storm.WaitDelay = 5 * time.Second
	if err := storm.Start(); err != nil {
		return dnsResult{}, err
	}
	defer storm.Wait() //nolint:errcheck // it is killed
	defer cancel()
	return l.askNames(ctx, boxes[0], "asker2", dnsRate)
}

// daemonCPU is the CPU time of the daemon of the first node, in seconds (utime and stime of proc_pid_stat(5), in USER_HZ of 1/100 s).
func (l *lab) daemonCPU(ctx context.Context) (float64, error) {
	text, err := l.on(ctx, "n1", "sh", "-c", `for p in /proc/[0-9]*; do
		tr '\0' ' ' <$p/cmdline | grep -q 'swarmnet[ ]daemon' && sed 's/.*) //' $p/stat | awk '{print $12 + $13}'; done 2>/dev/null; true`)
	if err != nil {
		return 0, err
	}
	ticks, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("the daemon's CPU time: %q", text)
	}
	return ticks / 100, nil
}
