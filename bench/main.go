package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// scenario is one comparison. It prints its own table.
type scenario struct {
	name, what string
	run        func(ctx context.Context, l *lab, out io.Writer) error
}

var scenarios = []scenario{
	{"overlay", "a TCP stream between sandboxes on two nodes, against a hand-made VXLAN pair", overlayStream},
	{"bridge", "a TCP stream between two sandboxes on one bridge, against a hand-made pair", bridgeStream},
	{"dns", "queries for a local name: how many, how long, and beside a storm of another sandbox", resolverLoad},
	{"create", "from `service create` returning to the last node's port answering", createLatency},
	{"scale", "3 to 100 tasks on three nodes: all running, all in DNS everywhere", scaleUp},
	{"sandboxes", "1,000 sandboxes on one node: started, removed, and what the daemon holds for each", manyOnOneNode},
	{"mesh", "a published port against the same rules by hand, HAProxy and a direct connection", publishedPorts},
	{"idle", "what a daemon takes while nothing happens", idleDaemons},
	{"programming", "1,000 services of 10 tasks on one node, from nothing and a task's change at a time", programming},
	{"still", "a pass that changes nothing, over each balancer", nothingToDo},
	{"path", "a published port with 1,000 services in force against one with two", packetPath},
	{"endpoints", "10,000 endpoints on one network, known to one node", manyEndpointsOnOneNetwork},
}

// withoutLab are the scenarios that need no lab.
var withoutLab = []string{"mesh", "programming", "still", "path", "endpoints"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is called by a person with the names of scenarios (none: all of them), and by itself, inside the lab's nodes, with a helper's name.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 {
		if h, ok := helpers[args[0]]; ok {
			return h(ctx, args[1:], out)
		}
	}
	for _, a := range args {
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == a }) {
			var names []string
			for _, s := range scenarios {
				names = append(names, s.name)
			}
			return fmt.Errorf("no scenario %q: one of %s", a, strings.Join(names, ", "))
		}
	}
	var l *lab
	defer func() {
		if l != nil {
			l.down()
		}
	}()
	for _, s := range scenarios {
		if len(args) > 0 && !slices.Contains(args, s.name) {
			continue
		}
		if l == nil && !slices.Contains(withoutLab, s.name) {
			var err error
			if l, err = newLab(ctx); err != nil {
				return err
			}
		}
		fmt.Fprintf(out, "\n## %s: %s\n\n", s.name, s.what)
		if err := s.run(ctx, l, out); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
