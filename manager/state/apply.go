package state

import "time"

// Apply applies one command. A command that is rejected, or that finds nothing to do, returns s itself.
func Apply(s *State, c Command, m Meta) (*State, Result, []Change) {
	x := begin(s, m)
	r := x.do(c)
	if !r.Changed {
		return s, r, nil
	}
	return x.commit(), r, x.changes
}

// Batch is one entry of the log: commands that are applied in order, each for itself.
type Batch struct {
	At       time.Time
	Actor    string
	Commands []Command
}

// ApplyBatch applies an entry of the log. An entry that was applied before, as far as the State remembers, returns s
// itself and the results of then.
func ApplyBatch(s *State, b Batch, entryID [16]byte) (*State, []Result, []Change, error) {
	if e, ok := s.entries.get(string(entryID[:])); ok {
		results, err := e.results.decode()
		return s, results, nil, err
	}
	x := begin(s, Meta{At: b.At, Actor: b.Actor, ID: entryID})
	base := s.revision
	results := make([]Result, len(b.Commands))
	for i, c := range b.Commands {
		results[i] = x.do(c)
	}
	x.remembered(entryID, encodeResults(base, results))
	return x.commit(), results, x.changes, nil
}

// Draft is a State that planners try their commands on before they propose them, so that each command is planned on what
// the ones before it lead to.
type Draft struct {
	base     *State
	x        *tx
	commands []Command
}

// NewDraft begins with a State, which stays as it is.
func NewDraft(s *State, now time.Time) *Draft {
	x := begin(s, Meta{At: now})
	x.draft = true
	return &Draft{base: s, x: x}
}

// Do tries a command and keeps it if it changes something.
func (d *Draft) Do(c Command) Result {
	r := d.x.do(c)
	if r.Changed {
		d.commands = append(d.commands, c)
	}
	return r
}

// View is the State as the commands so far make it. It is only good until the next Do, and must not be walked over it.
func (d *Draft) View() *State { return d.x.s }

// Now is the time at which the commands are tried.
func (d *Draft) Now() time.Time { return d.x.m.At }

// Commands are those that were kept.
func (d *Draft) Commands() []Command { return d.commands }
