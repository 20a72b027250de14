// Package procs has Go run on one processor while this process idles. With more, each timer that fires also wakes a second thread, which looks for work that
// is not there and falls asleep again: half of an idle daemon's context switches, and a seventh of what it takes.
package procs

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/swarmnet/swarmnet/internal/pulse"
)

const (
	// busy is what of a processor a process takes at least that does not idle: several times what the passes of an idle daemon take in the pulse they fall into.
	busy = 0.1
	// calm is for how many pulses in a row it must take less, so that whoever works now and then keeps its processors.
	calm = 20
)

// Watch gives Go one processor after 10 s of idling, and all that the process may use within half a second of work, until ctx ends; then, all. Somebody who
// sets GOMAXPROCS has said how many it is to be.
func Watch(ctx context.Context) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	watch(ctx, process{used: used, narrow: func() { runtime.GOMAXPROCS(1) }, widen: runtime.SetDefaultGOMAXPROCS})
}

// process is what is watched: how long processors have worked for it, and what gives it one of them, or all.
type process struct {
	used          func() time.Duration
	narrow, widen func()
}

func watch(ctx context.Context, p process) {
	defer p.widen()
	tick := time.NewTimer(pulse.In(pulse.Period))
	defer tick.Stop()
	last, at, quiet := p.used(), time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tick.Reset(pulse.In(pulse.Period))
		}
		used, now := p.used(), time.Now()
		working := float64(used-last) >= busy*float64(now.Sub(at))
		last, at = used, now
		switch {
		case working && quiet >= calm:
			p.widen()
			quiet = 0
		case working:
			quiet = 0
		case quiet < calm:
			if quiet++; quiet == calm {
				p.narrow()
			}
		}
	}
}

// used is the time that processors have worked for this process (getrusage(2)).
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it fails for wrong arguments alone
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
