package agent

import (
	"context"
	"time"
)

// mostPause bounds a pause between two rounds of work.
const mostPause = 100 * time.Millisecond

// pace spreads rounds of the same work: a pause twice as long as a round took follows it. What comes in a burst is so done in few rounds,
// each for many. The zero value is ready; it is used by one goroutine.
type pace struct{ until time.Time }

// worked notes a round that began at a time and ends now.
func (p *pace) worked(began time.Time) {
	now := time.Now()
	p.until = now.Add(min(2*now.Sub(began), mostPause))
}

// slot waits until the next round may begin; it fails only when ctx ends.
func (p *pace) slot(ctx context.Context) (release func(), err error) {
	timer := time.NewTimer(time.Until(p.until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return func() {}, nil
	}
}
