package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestGarbageIsBoundedByWhatIsInUse(t *testing.T) {
	for _, c := range []struct {
		live    uint64 // MiB
		percent int
	}{{0, 125}, {4, 125}, {5, 100}, {8, 50}, {100, 50}} {
		if got := percentOf(c.live << 20); got != c.percent {
			t.Errorf("%d MiB in use: %d %% instead of %d", c.live, got, c.percent)
		}
	}
}

// TestGarbageFollowsTheHeap: what is set follows when more is in use than before.
func TestGarbageFollowsTheHeap(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	boundGarbage()
	held := make([]byte, 64<<20)
	for began := time.Now(); ; {
		runtime.GC()
		now := debug.SetGCPercent(garbagePercent)
		debug.SetGCPercent(now)
		if now == garbagePercent {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("with %d octets in use the collector is set to %d %%", len(held), now)
		}
	}
	runtime.KeepAlive(held)
}
