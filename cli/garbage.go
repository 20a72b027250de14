package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// garbagePercent is how much garbage the daemon keeps, of what is in use: memory is the workloads', so half of what Go would keep, for a little
	// more work.
	garbagePercent = 50
	// leastGarbage in octets is kept all the same: an idle daemon has little in use, and would else collect every second or two what it throws away,
	// mostly the buffers of 64 KiB that libraries read the kernel's answers and gossip's packets into.
	leastGarbage = 5 << 20
)

// boundGarbage sets the collector by what is in use, now and after each collection.
func boundGarbage() {
	percent := debug.SetGCPercent(garbagePercent)
	var tune func(*mark)
	tune = func(*mark) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		if p := percentOf(live[0].Value.Uint64()); p != percent {
			percent = p
			debug.SetGCPercent(p)
		}
		runtime.SetFinalizer(&mark{}, tune)
	}
	tune(nil)
}

// mark is found unused by each collection.
type mark struct{ _ [2]uintptr }

// percentOf is in steps, so that it seldom changes. Less in use than a daemon ever has counts as that: at its start nothing is known yet.
func percentOf(live uint64) int {
	const step, little = 25, 4 << 20
	return max(garbagePercent, int(leastGarbage*100/max(live, little))/step*step)
}
