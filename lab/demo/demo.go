// Package demo is `swarmnet lab demo`: a tour of a cluster that is made for it, each command shown with its true output, ending with what was
// measured. It fails if anything did not turn out as it says.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet/lab"
)

// Config says where the tour takes place.
type Config struct {
	Name string // of the lab
	Keep bool   // leave it up
	IPv6 bool   // over IPv6: the underlay, the network and its published ports
	// Balancer of every daemon: auto, ipvs or nft; empty: their default.
	Balancer string
	// Short is for slow machines: one manager and two workers, and no node fails.
	Short bool
}

// Run takes the tour.
func Run(ctx context.Context, w io.Writer, c Config) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	t := &tour{w: w, name: c.Name, ipv6: c.IPv6, balancer: c.Balancer, other: "n2", started: time.Now()}
	members, managers, workers := "three managers", 3, 0
	if c.Short {
		members, managers, workers, t.other = "a manager and two workers", 1, 2, "n1"
	}
	t.say("A cluster of " + members + " on this machine, each node in namespaces of its own, and `outside`, a host that is no member.")
	options := map[bool]string{true: " --ipv6"}[c.IPv6]
	if c.Short {
		options += " --managers 1 --workers 2"
	}
	if c.Balancer != "" {
		options += " --balancer " + c.Balancer
	}
	fmt.Fprintf(w, "$ swarmnet lab up --name %s%s\n", c.Name, options)
	t.lab, err = lab.Up(ctx, lab.Config{Name: c.Name, Managers: managers, Workers: workers, Underlay: lab.Underlay{IPv6: c.IPv6}, Balancer: c.Balancer, Bound: !c.Keep, Progress: func(s string) { fmt.Fprintln(w, s) }})
	if err != nil {
		return err
	}
	if !c.Keep {
		defer func() { err = errors.Join(err, t.lab.Down()) }()
	}
	t.measured("cluster of "+members+" formed in", "%.1f s", time.Since(t.started).Seconds())
	type step struct {
		title string
		do    func(context.Context) error
	}
	steps := []step{
		{"A network, and a service of three tasks with a published port", t.deploy},
		{"Names and the virtual address, from a sandbox", t.names},
		{"The published port, on every node, from outside", t.mesh},
	}
	if !c.Short {
		steps = append(steps, step{"A node is cut off and loses its power while requests go on", t.failure}, step{"The node comes back", t.back})
	}
	for i, s := range steps {
		fmt.Fprintf(w, "\n== %d. %s\n", i+1, s.title)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, s.title, err)
		}
	}
	return t.summary()
}

// tour is what the steps share.
type tour struct {
	w        io.Writer
	name     string
	lab      *lab.Lab
	ipv6     bool
	balancer string
	other    string // another manager than n1, where there is one
	started  time.Time
	figures  []string
	wrong    []string
}

func (t *tour) say(text string) { fmt.Fprintf(t.w, "\n# %s\n", text) }

func (t *tour) measured(what, format string, args ...any) {
	t.figures = append(t.figures, fmt.Sprintf("%-62s %s", what, fmt.Sprintf(format, args...)))
}

// check notes what did not turn out as it should; the tour goes on, and fails at its end.
func (t *tour) check(ok bool, format string, args ...any) {
	verdict := "ok   "
	text := fmt.Sprintf(format, args...)
	if !ok {
		verdict = "WRONG"
		t.wrong = append(t.wrong, text)
	}
	fmt.Fprintf(t.w, "%s %s\n", verdict, text)
}

// show runs a swarmnet command on a node, and shows it and its output.
func (t *tour) show(ctx context.Context, node string, args ...string) (string, error) {
	fmt.Fprintf(t.w, "\n$ swarmnet lab exec --name %s %s -- swarmnet %s\n", t.name, node, strings.Join(args, " "))
	r, err := t.lab.Run(ctx, node, append([]string{"swarmnet"}, args...)...)
	if err != nil {
		return "", err
	}
	fmt.Fprint(t.w, r.Stdout, r.Stderr)
	if r.Code != 0 {
		return r.Stdout, fmt.Errorf("`swarmnet %s` on %s: exit status %d: %s", strings.Join(args, " "), node, r.Code, strings.TrimSpace(r.Stderr))
	}
	return r.Stdout, nil
}

func (t *tour) summary() error {
	fmt.Fprintf(t.w, "\n== Measured\n")
	for _, f := range t.figures {
		fmt.Fprintln(t.w, f)
	}
	if len(t.wrong) > 0 {
		return fmt.Errorf("%d things are not as they should be: %s", len(t.wrong), strings.Join(t.wrong, "; "))
	}
	fmt.Fprintf(t.w, "\neverything checked out, in %.0f s\n", time.Since(t.started).Seconds())
	return nil
}
