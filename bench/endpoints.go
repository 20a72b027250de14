package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

const manyEndpoints = 10000

// manyEndpointsOnOneNetwork measures how long a node takes to know all endpoints of a large network, each by a forwarding entry, one of its bridge
// and one for its address, and how much memory that takes.
func manyEndpointsOnOneNetwork(ctx context.Context, _ *lab, out io.Writer) error {
	var first, again, one, memory sample
	for range programRuns {
		var r known
		if err := alone(ctx, &r, "know", strconv.Itoa(manyEndpoints)); err != nil {
			return err
		}
		first, again, one, memory = append(first, r.First), append(again, r.Again), append(one, r.One*1000), append(memory, r.Memory)
	}
	table(out,
		row{fmt.Sprintf("%d endpoints in force", manyEndpoints), "s", first},
		row{"all looked at again", "s", again}, row{"one more", "ms", one},
		row{"memory for them", "MiB", memory})
	return nil
}

// known is what it took a node to know endpoints, in seconds and MiB.
type known struct{ First, Again, One, Memory float64 }

// knowEndpoints has the node in the caller's namespaces know N endpoints on one network.
func knowEndpoints(ctx context.Context, args []string, out io.Writer) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	n, err := newNode()
	if err != nil {
		return err
	}
	defer n.close()
	doubt := false
	n.doubts = func() bool { return doubt }
	w := newWorld(1, 1)
	if _, err := n.program(ctx, w); err != nil {
		return err
	}
	before := residentMiB()
	w.own()
	for i := range count {
		w.loose(i)
	}
	var r known
	p, err := n.program(ctx, w)
	if err != nil {
		return err
	}
	r.First = p.sum()
	r.Memory = residentMiB() - before
	doubt = true
	if p, err = n.program(ctx, w); err != nil {
		return err
	}
	r.Again, doubt = p.sum(), false
	w.own()
	w.loose(count)
	if p, err = n.program(ctx, w); err != nil {
		return err
	}
	r.One = p.sum()
	return json.NewEncoder(out).Encode(r)
}

// residentMiB is what the process has in memory (VmRSS of proc_pid_status(5)) once nothing is left to collect.
func residentMiB() float64 {
	runtime.GC()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	kib, _ := strconv.ParseFloat(f[0], 64)
	return kib / 1024
}
