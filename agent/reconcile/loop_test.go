//go:build !race

// Virtual time and the race detector do not go together yet (golang/go#78156).

package reconcile

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// world is what a loop under test keeps: the last state applied, and how often.
type world struct {
	state   int
	applied int
	fail    error
}

func (w *world) apply(_ context.Context, d int) error {
	w.applied++
	if w.fail != nil {
		return w.fail
	}
	w.state = d
	return nil
}

func start(t *testing.T, w *world, cfg Config[int]) *Loop[int] {
	cfg.Apply = w.apply
	cfg.Equal = func(a, b int) bool { return a == b }
	l := New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestLoopAppliesNothingBeforeTheFirstSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		l := start(t, w, Config[int]{Resync: time.Second})
		l.Kick()
		time.Sleep(time.Minute)
		if w.applied != 0 || l.Status().InForce() {
			t.Errorf("applied %d times", w.applied)
		}
	})
}

func TestLoopAppliesAndResyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		l := start(t, w, Config[int]{Resync: 5 * time.Second})
		l.Set(1)
		synctest.Wait()
		if w.state != 1 || !l.Status().InForce() {
			t.Fatalf("state %d, %+v", w.state, l.Status())
		}
		l.Set(1)
		synctest.Wait()
		if w.applied != 1 {
			t.Errorf("the same state was applied %d times", w.applied)
		}
		w.state = 99 // drift
		time.Sleep(6 * time.Second)
		if w.state != 1 || w.applied != 2 {
			t.Errorf("after a resync: state %d, applied %d times", w.state, w.applied)
		}
		l.Kick()
		synctest.Wait()
		if w.applied != 3 {
			t.Errorf("a kick led to %d", w.applied)
		}
	})
}

func TestLoopBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{fail: errors.New("no such device")}
		l := start(t, w, Config[int]{MinRetry: 100 * time.Millisecond, MaxRetry: time.Second, Resync: time.Hour})
		l.Set(1)
		time.Sleep(10 * time.Second)
		// 0, 0.1, 0.3, 0.7, 1.5 and then every second, each up to a quarter sooner.
		if w.applied < 12 || w.applied > 18 || l.Status().Err == nil || l.Status().InForce() {
			t.Errorf("%d attempts, %+v", w.applied, l.Status())
		}
		w.fail = nil
		l.Kick()
		synctest.Wait()
		if st := l.Status(); w.state != 1 || !st.InForce() || st.Failures != 0 {
			t.Errorf("state %d, %+v", w.state, st)
		}
	})
}

func TestLoopFailedDriftRepairIsStillInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		l := start(t, w, Config[int]{Resync: time.Second})
		l.Set(1)
		synctest.Wait()
		w.fail = errors.New("busy")
		time.Sleep(1500 * time.Millisecond)
		if st := l.Status(); st.Err == nil || !st.InForce() {
			t.Errorf("%+v", st)
		}
	})
}

func TestLoopPassesOverStaleStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []int
		l := New(Config[int]{Apply: func(_ context.Context, d int) error {
			got = append(got, d)
			time.Sleep(time.Second)
			return nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go l.Run(ctx)
		for i := range 5 {
			l.Set(i + 1)
			synctest.Wait()
		}
		time.Sleep(3 * time.Second)
		if len(got) != 2 || got[0] != 1 || got[1] != 5 {
			t.Errorf("applied %v", got)
		}
	})
}

func TestLoopTakesTheStateThatIsDesiredWhenItGetsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		slot := make(chan struct{})
		l := start(t, w, Config[int]{Slot: func(ctx context.Context) (func(), error) {
			select {
			case <-slot:
				return func() {}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}})
		l.Set(1)
		synctest.Wait()
		l.Set(2)
		slot <- struct{}{}
		synctest.Wait()
		if w.state != 2 || w.applied != 1 || !l.Status().InForce() {
			t.Errorf("state %d, applied %d times", w.state, w.applied)
		}
	})
}
