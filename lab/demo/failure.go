package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
)

func sorted(s []string) []string { slices.Sort(s); return s }

const victim = "n3"

// failure cuts n3 off, then its power, under 100 requests a second through the other two nodes.
func (t *tour) failure(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	load := t.startLoad(ctx, 22*time.Second)
	if err := load.waitFor(ctx, 200); err != nil {
		return err
	}
	fmt.Fprintf(t.w, "\n# 100 requests a second go through n1 and n2 …\n\n$ swarmnet lab cut --name %s %s\n", t.name, victim)
	cut := time.Now()
	if err := t.lab.Cut(victim); err != nil {
		return err
	}
	time.Sleep(time.Second) // the node lives on for a moment, alone: the harder case
	fmt.Fprintf(t.w, "$ swarmnet lab kill --name %s %s\n", t.name, victim)
	if err := t.lab.Kill(victim); err != nil {
		return err
	}
	if _, err := t.lab.Swarmnet(ctx, "n1", "service", "ls"); err != nil {
		// The leader may have been the victim: the others elect another within a second or two, and say so until then.
		fmt.Fprintf(t.w, "(%v)\n", err)
	}
	elsewhere, err := t.rescheduled(ctx, cut)
	if err != nil {
		return err
	}
	replies, err := load.wait()
	if err != nil {
		return err
	}
	if _, err := t.show(ctx, "n1", "service", "ps", "web"); err != nil {
		return err
	}
	if _, err := t.show(ctx, "n1", "node", "ls"); err != nil {
		return err
	}
	failed, last, why := 0, time.Duration(0), ""
	for _, r := range replies {
		if r.Err == "" {
			continue
		}
		failed++
		if at := r.At.Sub(cut); at >= last {
			last, why = at, ": "+r.Err
		}
	}
	t.check(len(replies) > 1500, "%d requests were made, before, during and after", len(replies))
	t.check(last < 5*time.Second, "%d requests failed, the last one made %.1f s after the cut (5 s are allowed)%s", failed, last.Seconds(), why)
	t.check(elsewhere < 10*time.Second, "the task runs elsewhere %.1f s after the cut (10 s are allowed)", elsewhere.Seconds())
	t.measured("requests made while a node was cut off and killed", "%d", len(replies))
	t.measured("of them failed", "%d", failed)
	t.measured("from the cut to the last request that failed", "%.1f s", last.Seconds())
	t.measured("from the cut until the lost task ran elsewhere", "%.1f s", elsewhere.Seconds())
	return nil
}

type taskRow struct{ Name, Node, CurrentState, DesiredState string }

// rescheduled waits until three tasks of web run on the nodes that are left.
func (t *tour) rescheduled(ctx context.Context, since time.Time) (time.Duration, error) {
	for {
		out, err := t.lab.Run(ctx, "n1", "swarmnet", "service", "ps", "web", "--format", "json", "--filter", "desired-state=running")
		if err != nil {
			return 0, err
		}
		running := 0
		for line := range bytes.Lines([]byte(out.Stdout)) {
			var r taskRow
			if json.Unmarshal(line, &r) == nil && r.Node != victim && len(r.CurrentState) >= 7 && r.CurrentState[:7] == "Running" {
				running++
			}
		}
		if running == 3 {
			return time.Since(since), nil
		}
		if time.Since(since) > 30*time.Second {
			return 0, fmt.Errorf("the lost task does not run elsewhere within 30 s: %s%s", out.Stdout, out.Stderr)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// back boots the node again.
func (t *tour) back(ctx context.Context) error {
	fmt.Fprintf(t.w, "\n$ swarmnet lab heal --name %s %s\n$ swarmnet lab start --name %s %s\n", t.name, victim, t.name, victim)
	start := time.Now()
	if err := t.lab.Heal(victim); err != nil {
		return err
	}
	if err := t.lab.Start(ctx, victim); err != nil {
		return err
	}
	if err := t.lab.WaitFormed(ctx, 3, 3, 30*time.Second); err != nil {
		return err
	}
	t.measured("from power on until the node was ready again", "%.1f s", time.Since(start).Seconds())
	if _, err := t.show(ctx, victim, "node", "ls"); err != nil {
		return err
	}
	start = time.Now()
	if err := t.answers(ctx, t.url(victim, webPort), 15*time.Second); err != nil {
		return err
	}
	t.measured("and until its published port answered, from then", "%.1f s", time.Since(start).Seconds())
	return nil
}

// load is a stream of requests from outside.
type load struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	done    chan struct{}
	err     error
	started time.Time
}

func (l *load) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (t *tour) startLoad(ctx context.Context, d time.Duration) *load {
	l := &load{done: make(chan struct{}), started: time.Now()}
	go func() {
		defer close(l.done)
		var errs bytes.Buffer
		code, err := t.lab.RunTo(ctx, l, &errs, lab.Command{Node: lab.Outside, Argv: []string{
			"swarmnet", "probe", "load", "--rate", "100", "--duration", d.String(), t.url("n1", webPort), t.url("n2", webPort),
		}})
		if err == nil && code != 0 {
			err = fmt.Errorf("the load ended with status %d: %s", code, errs.String())
		}
		l.err = err
	}()
	return l
}

// waitFor returns when so many replies have come.
func (l *load) waitFor(ctx context.Context, n int) error {
	for {
		l.mu.Lock()
		got := bytes.Count(l.buf.Bytes(), []byte("\n"))
		l.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-l.done:
			return fmt.Errorf("the load ended early: %w", l.err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (l *load) wait() ([]probe.Reply, error) {
	<-l.done
	if l.err != nil {
		return nil, l.err
	}
	var out []probe.Reply
	for line := range bytes.Lines(l.buf.Bytes()) {
		var r probe.Reply
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
