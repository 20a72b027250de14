package agent

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// driftKept bounds how many reports are kept for those who follow, driftLines how many lines one report has.
	driftKept  = 256
	driftLines = 8
	// driftRest is how long reports of one thing are gathered after one was made: what flaps is told of, and does not drown the rest.
	driftRest = 10 * time.Second
)

// Drift is that something of ours in the kernel was not as it had been made, and what was done about it.
type Drift struct {
	Seq  uint64 // from 1 up, without gaps, since the daemon's start
	At   time.Time
	What string // "networks", "published ports", or a sandbox
	// Lines are the changes that put it right: "+ …" was missing or wrong, "- …" was too much; the first few of Changes.
	Lines   []string
	Changes int
}

// String is the drift in a line: "route 10.0.1.7/32 was missing, restored".
func (d Drift) String() string {
	var out []string
	for _, l := range d.Lines {
		if rest, ok := strings.CutPrefix(l, "+ "); ok {
			out = append(out, rest+" was missing or wrong, restored")
		} else {
			out = append(out, strings.TrimPrefix(l, "- ")+" was not ours to have, removed")
		}
	}
	s := d.What + ": " + strings.Join(out, "; ")
	if more := d.Changes - len(d.Lines); more > 0 {
		s += "; and " + strconv.Itoa(more) + " more"
	}
	return s
}

// drifts counts drift and keeps the last reports. The zero value is ready.
type drifts struct {
	mu      sync.Mutex
	changes uint64 // in all
	seq     uint64
	kept    []Drift
	resting map[string]*Drift // by What: reported lately; what came since is gathered here, or nil
	wake    chan struct{}     // closed when something is added
}

// note takes in what a pass over what changed. It returns the report, if it is time for one.
func (d *drifts) note(what string, lines []string, now time.Time, later func(time.Duration, func())) (Drift, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes += uint64(len(lines))
	if rest, resting := d.resting[what]; resting {
		if rest == nil {
			rest = &Drift{What: what}
			d.resting[what] = rest
		}
		rest.take(lines)
		return Drift{}, false
	}
	out := Drift{What: what}
	out.take(lines)
	return d.keep(out, now, later), true
}

func (d *Drift) take(lines []string) {
	d.Changes += len(lines)
	d.Lines = append(d.Lines, lines[:min(len(lines), driftLines-len(d.Lines))]...)
}

// keep is called with the lock held.
func (d *drifts) keep(out Drift, now time.Time, later func(time.Duration, func())) Drift {
	d.seq++
	out.Seq, out.At = d.seq, now
	if d.kept = append(d.kept, out); len(d.kept) > driftKept {
		d.kept = append([]Drift(nil), d.kept[len(d.kept)-driftKept:]...)
	}
	if d.resting == nil {
		d.resting = map[string]*Drift{}
	}
	d.resting[out.What] = nil
	if d.wake != nil {
		close(d.wake)
		d.wake = nil
	}
	later(driftRest, func() { d.rested(out.What, now.Add(driftRest), later) })
	return out
}

func (d *drifts) rested(what string, now time.Time, later func(time.Duration, func())) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rest := d.resting[what]
	delete(d.resting, what)
	if rest != nil {
		d.keep(*rest, now, later)
	}
}

// after returns the reports with a higher number, how many changes there were in all, and what is closed when there is more.
func (d *drifts) after(seq uint64) (list []Drift, changes uint64, more <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.kept {
		if k.Seq > seq {
			list = append(list, k)
		}
	}
	if d.wake == nil {
		d.wake = make(chan struct{})
	}
	return list, d.changes, d.wake
}

// drifted takes in what a pass changed although all was in force.
func (a *Agent) drifted(what string, lines []string) {
	if r, ok := a.drifts.note(what, lines, time.Now(), func(d time.Duration, f func()) { time.AfterFunc(d, f) }); ok {
		a.cfg.Logger.Warn("drift", "found", r.String())
	}
}

func (a *Agent) driftOf(what string) func([]string) {
	return func(lines []string) { a.drifted(what, lines) }
}

// Drifts returns the reports after the one with the number seq, how many changes drift made needful since the daemon's start, and a channel that
// is closed when there is more.
func (a *Agent) Drifts(seq uint64) (list []Drift, changes uint64, more <-chan struct{}) {
	return a.drifts.after(seq)
}
