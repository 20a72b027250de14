package agent

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
)

const (
	// driftLines is how many lines one report has at most.
	driftLines = 8
	// driftRest is how long reports of one part are gathered after one was made: what flaps is told of, and does not drown the rest.
	driftRest = 10 * time.Second
)

// Drift is that something of ours in the kernel was not as it had been made, and what was done about it.
type Drift struct {
	// Lines are the changes that put it right: "+ …" was missing or wrong, "- …" was too much; the first few of Changes.
	Lines   []string
	Changes int
}

// String is the drift in a line: "route 10.0.1.7/32 was missing or wrong: restored".
func (d Drift) String() string {
	var out []string
	for _, l := range d.Lines {
		if rest, ok := strings.CutPrefix(l, "+ "); ok {
			out = append(out, rest+" was missing or wrong: restored")
		} else {
			out = append(out, strings.TrimPrefix(l, "- ")+" was too much: removed")
		}
	}
	s := strings.Join(out, "; ")
	if more := d.Changes - len(d.Lines); more > 0 {
		s += "; and " + strconv.Itoa(more) + " more"
	}
	return s
}

func (d *Drift) take(lines []string) {
	d.Changes += len(lines)
	d.Lines = append(d.Lines, lines[:min(len(lines), driftLines-len(d.Lines))]...)
}

// drifts counts drift and gathers what is to be told of it. The zero value is ready.
type drifts struct {
	mu      sync.Mutex
	changes uint64            // in all
	resting map[string]*Drift // by part: told of lately; what came since
}

// note takes in what a pass over a part changed, and has tell called with it, now or when the part has rested; later is time.AfterFunc.
func (d *drifts) note(part string, lines []string, tell func(Drift), later func(time.Duration, func())) {
	d.mu.Lock()
	d.changes += uint64(len(lines))
	if rest, resting := d.resting[part]; resting {
		rest.take(lines)
		d.mu.Unlock()
		return
	}
	if d.resting == nil {
		d.resting = map[string]*Drift{}
	}
	d.resting[part] = &Drift{}
	d.mu.Unlock()
	var now Drift
	now.take(lines)
	tell(now)
	later(driftRest, func() { d.rested(part, tell, later) })
}

func (d *drifts) rested(part string, tell func(Drift), later func(time.Duration, func())) {
	d.mu.Lock()
	rest := d.resting[part]
	if rest.Changes == 0 {
		delete(d.resting, part)
	} else {
		d.resting[part] = &Drift{}
	}
	d.mu.Unlock()
	if rest.Changes > 0 {
		tell(*rest)
		later(driftRest, func() { d.rested(part, tell, later) })
	}
}

// count is how many changes there were in all.
func (d *drifts) count() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes
}

// driftOf returns what takes in what a pass changed although all was in force, of a part of the node's network or, with an id, of the sandbox
// that it is. It is counted, logged, and told in the node's events.
func (a *Agent) driftOf(part string, id swarmnet.TaskID) func([]string) {
	e := local.Event{Kind: "node", Action: local.ActionDrift, ID: string(a.cfg.NodeID), Name: a.cfg.Hostname, Actor: "node"}
	if id != "" {
		e.Kind, e.ID, e.Name = "sandbox", string(id), strings.TrimPrefix(part, swarmnet.PartSandbox(""))
	}
	tell := func(d Drift) {
		a.cfg.Logger.Warn("drift", "of", part, "found", d.String())
		if a.cfg.Local != nil {
			e := e
			e.Detail = d.String()
			if id == "" {
				e.Detail = part + ": " + e.Detail
			}
			a.cfg.Local.Tell(e)
		}
	}
	return func(lines []string) {
		a.drifts.note(part, lines, tell, func(d time.Duration, f func()) { time.AfterFunc(d, f) })
	}
}
