package agent

import (
	"context"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/reconcile"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// dnsAddr is where the resolver answers in every sandbox.
var dnsAddr = netip.MustParseAddrPort("127.0.0.11:53")

// netWant is all that must be in one sandbox's network namespace.
type netWant struct {
	sandbox desired.Sandbox
	vips    ingress.VIPs
}

// network keeps one sandbox's network namespace as it must be.
type network struct {
	a      *Agent
	loop   *reconcile.Loop[netWant]
	cancel context.CancelFunc
	ended  chan struct{}

	stale     atomic.Bool // the sandbox, or what it hangs on, has changed since
	ensured   netWant     // the last one that was made so, at ensuredAt
	ensuredAt time.Time
	quiet     bool // nothing had to be done then
	settledAt *atomic.Int64

	mu     sync.Mutex
	since  time.Time // of the first failure in a row
	lately error
}

// newNetwork starts to keep a sandbox; changed is called after each attempt that changes state's answer.
func newNetwork(ctx context.Context, a *Agent, id swarmnet.TaskID, label string, settledAt *atomic.Int64, changed func()) *network {
	ctx, cancel := context.WithCancel(ctx)
	n := &network{a: a, cancel: cancel, ended: make(chan struct{}), settledAt: settledAt}
	var was reconcile.Status
	n.loop = reconcile.New(reconcile.Config[netWant]{
		Name: "sandbox " + swarmnet.ShortID(id), Apply: n.apply, Slot: n.slot, Equal: func(a, b netWant) bool { return reflect.DeepEqual(a, b) },
		Resync: a.cfg.resync, Drift: a.driftOf(label, id), Logger: a.cfg.Logger,
		Done: func(st reconcile.Status) {
			n.note(st.Err)
			if st.Applied != 0 && was.Applied == 0 || (st.Err == nil) != (was.Err == nil) {
				changed()
			}
			was = st
			a.acknowledge()
		},
	})
	go func() {
		defer close(n.ended)
		_ = n.loop.Run(ctx) // never fails
	}()
	return n
}

// fullLook is how often a sandbox is looked through although nobody told of a change in it. What the kernel does not tell is looked for more often.
const fullLook = 30 * time.Second

// apply makes the namespace, then the balancing in it. Once a look found all well, the kernel tells what changes (see watch).
func (n *network) apply(ctx context.Context, w netWant) error {
	sandboxes, p := n.a.parts.sandboxes, plan.From(ctx)
	if p.IsDry() {
		_, err := sandboxes.Ensure(ctx, w.sandbox)
		if there, _ := sandboxes.There(w.sandbox.Name); err != nil || !there {
			return err
		}
		return n.a.parts.balancer.VIPs(ctx, sandboxes.Path(w.sandbox.Name), w.vips)
	}
	began := time.Now()
	there, intact := sandboxes.There(w.sandbox.Name)
	if !there {
		n.restore(ctx, w.sandbox.Name)
	}
	full := n.stale.Swap(false) || !n.quiet || !n.a.parts.watcher.Hears() || time.Since(n.ensuredAt) > fullLook || !intact
	if !full && reflect.DeepEqual(n.ensured, w) {
		if n.a.parts.balancer.Told() {
			return nil
		}
		return n.a.parts.balancer.VIPs(ctx, sandboxes.Path(w.sandbox.Name), w.vips)
	}
	if full || !reflect.DeepEqual(n.ensured.sandbox, w.sandbox) {
		n.ensuredAt, n.quiet = time.Time{}, false
		given, err := sandboxes.Ensure(ctx, w.sandbox)
		if rerr := n.a.reportGiven(swarmnet.TaskID(w.sandbox.Name), given); err == nil {
			err = rerr
		}
		if err != nil {
			return err
		}
		n.ensuredAt = time.Now()
	}
	if err := n.a.parts.balancer.VIPs(ctx, sandboxes.Path(w.sandbox.Name), w.vips); err != nil {
		return err
	}
	n.ensured, n.quiet = w, len(p.Lines()) == 0
	if !n.quiet { // what is told of it is the echo of what was done; the next pass finds what else there was
		began = time.Now()
	}
	n.settledAt.Store(began.UnixNano())
	return nil
}

// restore gives the namespace of a sandbox in which something runs its name again: somebody unmounted it, and another in its place would leave
// what runs without a network.
func (n *network) restore(ctx context.Context, name string) {
	id := swarmnet.TaskID(name)
	if st := n.a.parts.executor.Status(id); st.Phase != executor.Starting && st.Phase != executor.Running {
		return
	}
	socks, err := n.a.parts.executor.Sockets(id)
	if err == nil {
		defer socks.Close()
		err = n.a.parts.sandboxes.Restore(ctx, name, socks)
	}
	if err != nil {
		n.a.cfg.Logger.Warn("what runs in a sandbox loses its network: its namespace cannot be found again", "sandbox", swarmnet.ShortID(id), "err", err)
	}
}

// refresh has the sandbox looked at again, now.
func (n *network) refresh() {
	n.stale.Store(true)
	n.loop.Kick()
}

func (n *network) note(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil && n.lately == nil {
		n.since = time.Now()
	}
	n.lately = err
}

// state reports whether the sandbox is there, and if not, why and for how long already.
func (n *network) state() (there bool, lasting time.Duration, why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lately != nil {
		lasting = time.Since(n.since)
	}
	return n.loop.Status().Applied != 0, lasting, n.lately
}

// stop ends the keeping; the namespace stays. A nil network is stopped.
func (n *network) stop() {
	if n != nil {
		n.cancel()
		<-n.ended
	}
}

// slot holds back: making a sandbox waits with other starts, changes of what is there have places of their own, so that neither
// delays the other.
func (n *network) slot(ctx context.Context) (func(), error) {
	if n.ensuredAt.IsZero() {
		return slot(ctx, n.a.starts)
	}
	return slot(ctx, n.a.updates)
}

// slot takes one of the few places for costly work.
func slot(ctx context.Context, places chan struct{}) (release func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
