//go:build !race

// Virtual time and the race detector do not go together yet (golang/go#78156).

package reconcile

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarmnet/swarmnet/internal/plan"
)

// What a pass changes is drift only when all was in force already; a dry pass says the same and changes nothing.
func TestLoopTellsDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		have := 0
		var drift [][]string
		l := New(Config[int]{
			Apply: func(ctx context.Context, want int) error {
				p := plan.From(ctx)
				if have == want {
					return nil
				}
				p.Remove("%d", have)
				p.Add("%d", want)
				if !p.IsDry() {
					have = want
				}
				return nil
			},
			Drift: func(lines []string) { drift = append(drift, lines) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		l.Set(7)
		synctest.Wait()
		if len(drift) != 0 {
			t.Errorf("what was asked for is called drift: %v", drift)
		}
		have = 3
		want := []string{"- 3", "+ 7"}
		if lines, ok, err := l.Diff(ctx); !ok || err != nil || !slices.Equal(lines, want) || have != 3 {
			t.Errorf("a dry pass: %v %v %v, and there is %d", lines, ok, err, have)
		}
		l.Kick()
		time.Sleep(time.Second)
		synctest.Wait()
		if have != 7 || len(drift) != 1 || !slices.Equal(drift[0], want) {
			t.Errorf("there is %d, told of %v", have, drift)
		}
		cancel()
		<-ended
	})
}
