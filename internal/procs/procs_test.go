package procs

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarmnet/swarmnet/internal/pulse"
)

// Who idles for ten seconds has one processor, who works has all within a pulse, and who works now and then keeps them.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var cpu time.Duration
		var did []string
		do := func(what string) func() {
			return func() { mu.Lock(); defer mu.Unlock(); did = append(did, what) }
		}
		p := process{
			used:   func() time.Duration { mu.Lock(); defer mu.Unlock(); return cpu },
			narrow: do("narrow"), widen: do("widen"),
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); watch(ctx, p) }()
		// live has the process take a share of a processor for a while, and returns what was done meanwhile.
		live := func(d time.Duration, share float64) []string {
			for end := time.Now().Add(d); time.Now().Before(end); {
				mu.Lock()
				cpu += time.Duration(share * float64(10*time.Millisecond))
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
			}
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			out := did
			did = nil
			return out
		}
		for i, step := range []struct {
			d     time.Duration
			share float64
			want  []string
		}{
			{calm*pulse.Period - 2*pulse.Period, 0.02, nil},
			{2 * pulse.Period, 0.5, nil},
			{calm*pulse.Period - 2*pulse.Period, 0.02, nil},
			{4 * pulse.Period, 0.02, []string{"narrow"}},
			{time.Minute, 0.02, nil},
			{2 * pulse.Period, 0.5, []string{"widen"}},
			{time.Minute, 0.5, nil},
			{time.Minute, 0.02, []string{"narrow"}},
		} {
			if got := live(step.d, step.share); !slices.Equal(got, step.want) {
				t.Errorf("step %d: it did %q, want %q", i, got, step.want)
			}
		}
		cancel()
		<-ended
		if !slices.Equal(did, []string{"widen"}) {
			t.Errorf("at the end it did %q", did)
		}
	})
}

// What Watch measures is this process's work, and what it leaves is Go's own number.
func TestWatchProcess(t *testing.T) {
	before := used()
	for end := before + 20*time.Millisecond; used() < end; {
	}
	t.Setenv("GOMAXPROCS", "")
	n := runtime.GOMAXPROCS(0)
	defer runtime.SetDefaultGOMAXPROCS()
	runtime.GOMAXPROCS(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Watch(ctx)
	if got := runtime.GOMAXPROCS(0); got != n {
		t.Errorf("Watch left %d processors of %d", got, n)
	}
	t.Setenv("GOMAXPROCS", "1")
	Watch(t.Context()) // returns at once
}
