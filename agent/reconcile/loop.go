// Package reconcile keeps something in the kernel as it is desired: whatever changes it, and however often putting it right fails.
package reconcile

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet/internal/plan"
	"github.com/swarmnet/swarmnet/internal/pulse"
)

// Config of a Loop over desired states of type D.
type Config[D any] struct {
	// Name says in logs what is kept.
	Name string
	// Apply observes what there is and makes it what is desired; doing so again must change nothing. It is called by one goroutine.
	Apply func(ctx context.Context, desired D) error
	// Slot, if not nil, is called before each attempt and may hold it back, so that many loops share few places. The attempt then is
	// about what is desired when it returns; release is called afterwards. It fails only when ctx has ended.
	Slot func(ctx context.Context) (release func(), err error)
	// Equal reports that applying b after a was applied is needless. Nil: it never is.
	Equal func(a, b D) bool
	// Resync is how often a state in force is applied again, to find drift; up to a tenth less, so that many loops spread. 0: never.
	Resync time.Duration
	// Single has the passes of Resync fall on the process's pulse instead, as other things do: for a loop of which there is one.
	Single bool
	// Drift is told what a pass changed (package plan) although what it was to bring into force was so already. It must not block.
	Drift func(lines []string)
	// MinRetry and MaxRetry bound the back-off after a failure; 0: 20 ms and 5 s.
	MinRetry, MaxRetry time.Duration
	// Done is called after each attempt. It must not block.
	Done   func(Status)
	Logger *slog.Logger
}

// Status is how far a loop got.
type Status struct {
	// Wanted and Applied count the desired states: equal when the last one is in force.
	Wanted, Applied uint64
	// Err is why the last attempt failed; nil when it did not.
	Err error
	// Failures is how many attempts failed since the last that did not.
	Failures int
}

// InForce reports whether what is desired is there.
func (s Status) InForce() bool { return s.Wanted != 0 && s.Wanted == s.Applied }

// Loop keeps one object. Nothing is applied before the first Set: what is not yet known must not be pruned.
type Loop[D any] struct {
	cfg  Config[D]
	wake chan struct{}

	applying sync.Mutex // held while Apply is called

	mu      sync.Mutex
	desired D
	force   bool // apply even what is in force
	status  Status
}

// New makes a Loop; it does nothing until Run.
func New[D any](cfg Config[D]) *Loop[D] {
	if cfg.MinRetry == 0 {
		cfg.MinRetry = 20 * time.Millisecond
	}
	if cfg.MaxRetry == 0 {
		cfg.MaxRetry = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Loop[D]{cfg: cfg, wake: make(chan struct{}, 1)}
}

// Set says what is desired from now on and returns its number (Status.Wanted). States that come faster than they can be applied
// are passed over, all but the last.
func (l *Loop[D]) Set(d D) uint64 {
	l.mu.Lock()
	same := l.status.Wanted != 0 && l.cfg.Equal != nil && l.cfg.Equal(l.desired, d)
	if !same {
		l.desired = d
		l.status.Wanted++
	}
	n := l.status.Wanted
	l.mu.Unlock()
	if !same {
		l.poke()
	}
	return n
}

// Kick applies what is desired at once, in force or not, and ends a back-off.
func (l *Loop[D]) Kick() {
	l.mu.Lock()
	l.force = true
	l.mu.Unlock()
	l.poke()
}

func (l *Loop[D]) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Status returns how far the loop got.
func (l *Loop[D]) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Run applies until ctx ends. What is in force stays so.
func (l *Loop[D]) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(l.step(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-timer.C:
			l.mu.Lock()
			l.force = true
			l.mu.Unlock()
		}
	}
}

// step applies if there is cause to and returns when to come again.
func (l *Loop[D]) step(ctx context.Context) time.Duration {
	if l.cfg.Slot != nil && l.due() {
		release, err := l.cfg.Slot(ctx)
		if err != nil {
			return 0
		}
		defer release()
	}
	l.mu.Lock()
	desired, number, was := l.desired, l.status.Wanted, l.status
	due := l.isDue()
	l.force = false
	l.mu.Unlock()
	if !due {
		return l.next(was)
	}
	ctx, changes := plan.Follow(ctx)
	err := l.apply(ctx, desired)
	if ctx.Err() != nil {
		return 0
	}
	if lines := changes.Lines(); len(lines) > 0 && was.InForce() && l.cfg.Drift != nil {
		l.cfg.Drift(lines)
	}
	l.mu.Lock()
	l.status.Err = err
	if err == nil {
		l.status.Applied, l.status.Failures = number, 0
	} else {
		l.status.Failures++
	}
	st := l.status
	l.mu.Unlock()
	l.report(was, st)
	if l.cfg.Done != nil {
		l.cfg.Done(st)
	}
	return l.next(st)
}

func (l *Loop[D]) apply(ctx context.Context, desired D) error {
	l.applying.Lock()
	defer l.applying.Unlock()
	return l.cfg.Apply(ctx, desired)
}

// Diff returns what a pass would change now, and changes nothing. ok is false while nothing is desired yet.
func (l *Loop[D]) Diff(ctx context.Context) (lines []string, ok bool, err error) {
	l.mu.Lock()
	desired, ok := l.desired, l.status.Wanted != 0
	l.mu.Unlock()
	if !ok {
		return nil, false, nil
	}
	ctx, p := plan.Dry(ctx)
	err = l.apply(ctx, desired)
	return p.Lines(), true, err
}

func (l *Loop[D]) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isDue()
}

// isDue is called with the lock held.
func (l *Loop[D]) isDue() bool {
	return l.status.Wanted != 0 && (l.force || l.status.Wanted != l.status.Applied)
}

// report logs a failure when it is new, and its end.
func (l *Loop[D]) report(was, is Status) {
	switch {
	case is.Err != nil && (was.Err == nil || was.Err.Error() != is.Err.Error()):
		l.cfg.Logger.Warn("cannot put into force, trying again", "what", l.cfg.Name, "err", is.Err)
	case is.Err == nil && was.Err != nil:
		l.cfg.Logger.Info("in force again", "what", l.cfg.Name, "failures", was.Failures)
	}
}

// next is the time to the next attempt that nothing triggers: doubling from MinRetry with up to a quarter of jitter after failures.
func (l *Loop[D]) next(st Status) time.Duration {
	if st.Failures == 0 {
		if l.cfg.Resync == 0 {
			return time.Hour
		}
		if l.cfg.Single {
			return pulse.In(l.cfg.Resync)
		}
		return l.cfg.Resync - rand.N(l.cfg.Resync/10+1)
	}
	d := l.cfg.MaxRetry
	if st.Failures < 16 {
		d = min(d, l.cfg.MinRetry<<(st.Failures-1))
	}
	return d - rand.N(d/4+1)
}
