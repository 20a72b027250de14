package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	streamRuns  = 5
	streamBytes = 1 << 30
)

// overlayStream sends 1 GiB between two sandboxes on two nodes and between the two ends of a hand-made VXLAN pair on the same
// nodes, in turn.
func overlayStream(ctx context.Context, l *lab, out io.Writer) error {
	if _, err := l.swarm(ctx, "network", "create", "-d", "overlay", "bench"); err != nil {
		return err
	}
	var boxes, hands [2]string
	for i, node := range []string{"n1", "n2"} {
		name := "idle" + strconv.Itoa(i+1)
		if _, err := l.swarm(ctx, "service", "create", "--name", name, "--network", "bench", "--constraint", "node.hostname=="+node, "--", "sleep", "86400"); err != nil {
			return err
		}
		id, err := l.swarm(ctx, "service", "ps", "-q", "--no-trunc", name)
		if err != nil {
			return err
		}
		boxes[i] = "/run/swarmnet/netns/sb-" + strings.TrimSpace(id)
		other := 1 - i
		if hands[i], err = l.helper(ctx, node, "hand", "-local", fmt.Sprintf("192.0.2.%d", i+1), "-remote", fmt.Sprintf("192.0.2.%d", other+1),
			"-addr", fmt.Sprintf("10.99.0.%d", i+1), "-peer", fmt.Sprintf("10.99.0.%d", other+1)); err != nil {
			return err
		}
	}
	defer l.swarm(context.Background(), "service", "rm", "idle1", "idle2")
	var rate, cpu [2]sample
	for range streamRuns {
		for i, pair := range [][2]string{boxes, hands} {
			r, err := l.transfer(ctx, [2]string{"n1", "n2"}, pair)
			if err != nil {
				return err
			}
			rate[i] = append(rate[i], float64(r.Bytes)*8/1e9/r.Wall)
			cpu[i] = append(cpu[i], r.CPU)
		}
	}
	table(out,
		row{"swarmnet overlay", "Gbit/s", rate[0]}, row{"hand-made VXLAN", "Gbit/s", rate[1]},
		row{"rate, ratio", "x", ratios(rate[0], rate[1])},
		row{"swarmnet overlay, CPU", "s", cpu[0]}, row{"hand-made VXLAN, CPU", "s", cpu[1]},
		row{"CPU, ratio", "x", ratios(cpu[0], cpu[1])})
	return nil
}

// transfer streams from the first namespace to the second, each on its node.
func (l *lab) transfer(ctx context.Context, nodes, pair [2]string) (streamResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := l.command(ctx, nodes[0], "serve", "-netns", pair[0], "-bytes", strconv.Itoa(streamBytes))
	server.WaitDelay = 5 * time.Second
	stdout, err := server.StdoutPipe()
	if err != nil {
		return streamResult{}, err
	}
	if err := server.Start(); err != nil {
		return streamResult{}, err
	}
	defer server.Wait()
	defer cancel()
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return streamResult{}, fmt.Errorf("the server on %s did not start: %w", nodes[0], err)
	}
	text, err := l.helper(ctx, nodes[1], "pull", "-netns", pair[1], "-from", strings.TrimSpace(addr))
	if err != nil {
		return streamResult{}, err
	}
	var r streamResult
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return streamResult{}, err
	}
	if r.Bytes != streamBytes {
		return r, fmt.Errorf("%d bytes arrived instead of %d", r.Bytes, streamBytes)
	}
	return r, nil
}
