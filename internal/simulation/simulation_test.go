package simulation

import (
	"flag"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seeds = flag.Uint64("seeds", 300, "how many seeds are run")
	first = flag.Uint64("first", 0, "the first of them")
)

// failedOnce are seeds that found a mistake in the version of the simulation that they failed in.
var failedOnce = []uint64{
	44,  // a task that ended while no manager answered stayed in names and balancers
	63,  // a new leader gave up a node whose session had been lost long ago, when there was no leader
	89,  // a daemon started on an island never doubted the nodes that it could not meet
	104, // a published port led to a task that had just ended
	108, // a node that was away stopped a task that its own ports led to
}

// enough seeds that fail say what is wrong.
const enough = 3

// few seeds are run with -short, and to find out whether a planted bug is found.
const few = 40

// Whatever is cut, healed, changed and killed: S42, and what check.go says of every moment.
func TestS42CutAndHeal(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a run keeps little for long
	t.Run("first", func(t *testing.T) {
		run := slices.Clone(failedOnce)
		for seed := range min(few, *seeds) {
			run = append(run, *first+seed)
		}
		all(t, run)
	})
	if testing.Short() {
		return
	}
	t.Run("others", func(t *testing.T) {
		var run []uint64
		for seed := uint64(few); seed < *seeds; seed++ {
			run = append(run, *first+seed)
		}
		all(t, run)
	})
}

// all runs seeds, as many at a time as there are processors.
func all(t *testing.T, run []uint64) {
	next := make(chan uint64)
	var wg sync.WaitGroup
	var failed atomic.Int32
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range next {
				if failures, trace := Run(seed); len(failures) > 0 {
					failed.Add(1)
					t.Errorf("seed %d:\n%s\nwhat was done:\n%s", seed, strings.Join(failures, "\n"), strings.Join(trace, "\n"))
				}
			}
		})
	}
	for _, seed := range run {
		if failed.Load() < enough {
			next <- seed
		}
	}
	close(next)
	wg.Wait()
}

// A run depends on its seed alone.
func TestSameSeedSameRun(t *testing.T) {
	run := func(seed uint64) (hash uint64, trace string) {
		w := schedule{World: New(seed, 4)}
		w.World.run(5e9)
		w.user(w.network("app"))
		w.World.run(1e9)
		w.user(w.create("web"))
		w.cuts()
		return w.group.truth().Hash(), strings.Join(w.trace, "\n")
	}
	hash, trace := run(7)
	again, same := run(7)
	if hash != again || trace != same {
		t.Errorf("seed 7 gave two runs: states %x and %x\n%s\nand\n%s", hash, again, trace, same)
	}
	if other, _ := run(8); other == hash {
		t.Error("seeds 7 and 8 gave one run")
	}
}
