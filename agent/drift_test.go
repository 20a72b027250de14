package agent

import (
	"testing"
	"time"
)

// What drifts is told of at once; what drifts again soon is gathered, told of together, and all is counted.
func TestDriftIsToldAndGathered(t *testing.T) {
	var d drifts
	var told []string
	var timers []func()
	note := func(part string, lines ...string) {
		d.note(part, lines, func(x Drift) { told = append(told, part+": "+x.String()) }, func(after time.Duration, f func()) {
			if after != driftRest {
				t.Errorf("a timer of %v", after)
			}
			timers = append(timers, f)
		})
	}
	rest := func() {
		was := timers
		timers = nil
		for _, f := range was {
			f()
		}
	}
	expect := func(want ...string) {
		t.Helper()
		if len(told) != len(want) {
			t.Fatalf("told %q, want %q", told, want)
		}
		for i := range want {
			if told[i] != want[i] {
				t.Errorf("told %q, want %q", told[i], want[i])
			}
		}
		told = nil
	}
	note("networks", "+ route 10.0.1.7/32", "- link br-9")
	expect("networks: route 10.0.1.7/32 was missing or wrong: restored; link br-9 was too much: removed")
	note("sandbox a", "+ addr 10.0.1.2/24")
	expect("sandbox a: addr 10.0.1.2/24 was missing or wrong: restored")
	for range 5 {
		note("networks", "+ x", "+ y")
	}
	expect()
	rest()
	expect("networks: x was missing or wrong: restored; y was missing or wrong: restored; x was missing or wrong: restored; y was missing or wrong: restored; " +
		"x was missing or wrong: restored; y was missing or wrong: restored; x was missing or wrong: restored; y was missing or wrong: restored; and 2 more")
	rest() // it rests after that, too
	expect()
	note("networks", "+ z")
	expect("networks: z was missing or wrong: restored")
	if n := d.count(); n != 14 {
		t.Errorf("%d changes are counted, want 14", n)
	}
	if len(timers) != 1 {
		t.Errorf("%d timers run, want one", len(timers))
	}
}
