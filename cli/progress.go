package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/swarmnet/swarmnet"
)

// waitFlags say whether a command returns before what it began is done.
type waitFlags struct {
	detach, quiet bool
	back          bool // what is waited for is a rollback
}

func (w *waitFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&w.detach, "detach", "d", false, "return at once")
	cmd.Flags().BoolVarP(&w.quiet, "quiet", "q", false, "show no progress")
}

// pollPeriod is how often convergence is looked at. One service and its tasks are read each time.
const pollPeriod = 50 * time.Millisecond

// wait returns when as many tasks as wanted run at the service's present spec and every node that is up has acknowledged that its names, virtual
// addresses and published ports lead to them, and shows the way there. A roll-out that was paused is an error.
func (a *app) wait(ctx context.Context, w waitFlags, id string) error {
	if w.detach {
		return nil
	}
	out := a.stdout
	if w.quiet {
		out = io.Discard
	}
	p := progress{w: out, live: isTerminal(out)}
	var before map[swarmnet.TaskID]bool
	hope := patience{best: -1, told: map[string]bool{}}
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	var running time.Time // since when all do
	for {
		s, tasks, err := a.converge(ctx, id, w.back)
		if err != nil {
			return err
		}
		if before == nil {
			before = endedTasks(tasks)
		}
		state := progressOf(s, tasks, before)
		if state, err = a.hear(ctx, state, s, tasks); err != nil {
			return err
		}
		switch {
		case !state.done:
			running = time.Time{}
		case state.answers():
			p.show(state.String())
			p.end("service converged")
			return nil
		case running.IsZero():
			running = time.Now()
		case time.Since(running) > answerTimeout:
			p.end("service converged; no word within " + answerTimeout.String() + " from " + strings.Join(state.silent, ", "))
			return nil
		}
		lines, enough := hope.step(state, time.Now())
		switch {
		case p.live:
			p.show(state.String())
		case enough:
			return fmt.Errorf("service %s does not converge: %s: `swarmnet service ps %s` tells more; it goes on trying", s.Spec.Name, state, s.Spec.Name)
		default:
			for _, line := range lines {
				p.show(line)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.end("interrupted: the service goes on converging in the background")
			return exitError{fmt.Errorf("interrupted while waiting for the service: it goes on converging"), 130}
		}
	}
}

// convergence is how far a service is.
type convergence struct {
	running, wanted int
	trouble         string        // the newest error of a task that was not there before
	failed          int           // tasks that ended in failure, of those that were not there before
	monitor         time.Duration // how long a new task is watched
	done            bool          // they run
	external        bool          // they are sandboxes, as many as have joined
	answering
}

func (c convergence) String() string {
	s := c.count()
	if c.trouble != "" && c.running < c.wanted {
		s += ": " + c.trouble
	}
	if c.done {
		s += c.answering.String()
	}
	return s
}

func (c convergence) count() string {
	if c.external {
		return fmt.Sprintf("%d sandboxes have joined", c.running)
	}
	return fmt.Sprintf("%d of %d tasks running", c.running, c.wanted)
}

// leastPatience is how long tasks may keep failing at least before nobody who watches a file waits any more.
const leastPatience = 30 * time.Second

// patience says what is told of a convergence where no person watches, and when to wait no more.
type patience struct {
	best  int // most tasks that ever ran
	since time.Time
	told  map[string]bool
}

// step returns what is new, each trouble once, and whether tasks have failed for long enough without one more of them running.
func (p *patience) step(c convergence, now time.Time) (lines []string, enough bool) {
	if c.running > p.best {
		p.best, p.since = c.running, now
		lines = append(lines, c.count())
	}
	if c.trouble != "" && !p.told[c.trouble] {
		p.told[c.trouble] = true
		lines = append(lines, c.String())
	}
	return lines, c.failed > 0 && c.trouble != "" && now.Sub(p.since) >= max(leastPatience, c.monitor)
}

// endedTasks are those whose errors are history.
func endedTasks(tasks []swarmnet.Task) map[swarmnet.TaskID]bool {
	out := map[swarmnet.TaskID]bool{}
	for _, t := range tasks {
		if t.Status.State.Terminal() {
			out[t.ID] = true
		}
	}
	return out
}

// converge reads how far a service is. A roll-out that stopped is an error, and so is one that was rolled back, unless that was asked for.
func (a *app) converge(ctx context.Context, id string, back bool) (swarmnet.Service, []swarmnet.Task, error) {
	s, _, err := a.service(ctx, id)
	if err != nil {
		return s, nil, err
	}
	switch s.Update.State {
	case swarmnet.UpdatePaused, swarmnet.UpdateRollbackPaused:
		return s, nil, fmt.Errorf("the update of %s stopped: %s", s.Spec.Name, s.Update.Message)
	case swarmnet.UpdateRolledBack:
		if s.Update.Message != "" && !back {
			return s, nil, fmt.Errorf("the update of %s was rolled back: %s", s.Spec.Name, s.Update.Message)
		}
	}
	tasks, err := a.tasks(ctx, taskSource{service: id})
	return s, tasks, err
}

// progressOf counts: a service has converged when exactly the wanted tasks run, all of its present spec. The errors of tasks in before are
// not told.
func progressOf(s swarmnet.Service, tasks []swarmnet.Task, before map[swarmnet.TaskID]bool) convergence {
	c := convergence{monitor: s.Spec.Update.Monitor}
	extra := 0
	var newest time.Time
	for _, t := range tasks {
		if t.Status.Err != "" && !before[t.ID] {
			if t.Status.At.After(newest) {
				newest, c.trouble = t.Status.At, t.Status.Err
			}
			if t.Status.State == swarmnet.TaskFailed || t.Status.State == swarmnet.TaskRejected {
				c.failed++
			}
		}
		up := t.Desired == swarmnet.DesireRunning || t.Desired == swarmnet.DesireReady
		switch {
		case up && t.SpecVersion == s.SpecVersion && t.Status.State == swarmnet.TaskRunning:
			c.running++
		case up && t.SpecVersion != s.SpecVersion && s.Update.State == swarmnet.UpdateRunning:
			extra++
		case up && t.Status.State == swarmnet.TaskRunning:
			c.running++ // an older version that the change did not concern (scale)
		}
		if up {
			c.wanted++
		}
	}
	if s.Spec.Mode == swarmnet.Replicated {
		c.wanted = int(s.Spec.Replicas)
	}
	updating := s.Update.State == swarmnet.UpdateRunning || s.Update.State == swarmnet.UpdateRollingBack
	if s.Spec.Mode == swarmnet.External { // who joins it, joins it
		c.external, c.wanted, c.done = true, c.running, s.Allocated == s.SpecVersion
		return c
	}
	c.done = !updating && extra == 0 && c.running == c.wanted && (c.wanted > 0 || s.Spec.Mode == swarmnet.Replicated)
	return c
}

// isTerminal reports whether a standard file is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progress shows one line that changes: in place on a terminal, a line each elsewhere.
type progress struct {
	w    io.Writer
	live bool
	last string
}

func (p *progress) show(s string) {
	if s == p.last {
		return
	}
	p.last = s
	if p.live {
		fmt.Fprintf(p.w, "\r\033[K%s", s)
		return
	}
	fmt.Fprintln(p.w, s)
}

func (p *progress) end(s string) {
	if p.live {
		fmt.Fprintf(p.w, "\r\033[K%s\n", s)
		return
	}
	fmt.Fprintln(p.w, s)
}
