// Package pulse has what this process does now and then fall on the same moments: an idle process spends more on waking than on what it wakes for.
package pulse

import (
	"sync/atomic"
	"time"
)

// Period is what the moments are apart. Which they are differs from process to process, so that nodes do not beat as one.
const Period = 500 * time.Millisecond

var (
	start = time.Now()
	phase atomic.Int64 // of the first moment after start, in nanoseconds
)

// Join has the moments fall together with what begins now, and has a period of its own that divides ours or that ours divides.
func Join() { phase.Store(int64(time.Since(start))) }

// In is how long to wait for what is due in d: as long as it is to the last moment within d; d itself if there is none. A timer that is reset to In(d)
// whenever it fires, d being a multiple of Period, goes every d.
func In(d time.Duration) time.Duration {
	return in(time.Since(start)-time.Duration(phase.Load()), d)
}

// in is In at some time after a moment; before one, it is negative.
func in(age, d time.Duration) time.Duration {
	over := (age + d) % Period
	if over < 0 {
		over += Period
	}
	if over < d {
		return d - over
	}
	return d
}
