package agent

import (
	"context"
	"strings"
	"sync"
	"time"
)

const (
	// gather is how long what the kernel tells is gathered before anybody acts on it: changes come in bursts, and so one pass sees all of one.
	gather = 50 * time.Millisecond
	// watchAgain is how long after it failed the following is tried again.
	watchAgain = 5 * time.Second
	// leastGap and mostGap bound the time between two passes that the kernel's telling caused; within them it is costShare times what a pass takes,
	// so that a host where something always changes costs a bounded part of a core.
	leastGap  = 200 * time.Millisecond
	mostGap   = 3 * time.Second
	costShare = 20
)

// watcher hears of changes in the kernel that may be to something of ours.
type watcher interface {
	// Watch calls heard of each until ctx ends, from any goroutine.
	Watch(ctx context.Context, heard func(news)) error
	// Hears reports whether all is heard that happens in the fabric and in sandboxes.
	Hears() bool
}

// news is what may have changed.
type news struct {
	at        time.Time       // of the last of it
	node      bool            // something of the fabric, or of the host
	links     bool            // an interface of the host, of which one may be the underlay's
	sandboxes map[string]bool // something in these, or their ports; the names
	lost      bool            // anything: the kernel could not tell
}

// add joins two pieces of news.
func (n *news) add(m news) {
	n.at = m.at
	n.node, n.links, n.lost = n.node || m.node, n.links || m.links, n.lost || m.lost
	for name := range m.sandboxes {
		if n.sandboxes == nil {
			n.sandboxes = map[string]bool{}
		}
		n.sandboxes[name] = true
	}
}

func (n news) none() bool { return !n.node && !n.links && !n.lost && len(n.sandboxes) == 0 }

// watch has what keeps the node look again, soon after something changed in the kernel.
func (a *Agent) watch(ctx context.Context) error {
	var mu sync.Mutex
	var pending news
	wake := make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	heard := func(n news) {
		mu.Lock()
		pending.add(n)
		mu.Unlock()
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	wg.Go(func() {
		for told := false; ; {
			err := a.parts.watcher.Watch(ctx, heard)
			if err == nil || ctx.Err() != nil {
				return
			}
			if !told {
				a.cfg.Logger.Warn("the kernel's changes cannot be followed; drift is found by looking every few seconds", "err", err)
			}
			told = true
			if !pause(ctx, watchAgain) { // what of the kernel is a module may be on its way
				return
			}
			heard(news{at: time.Now(), lost: true})
		}
	})
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		}
		if !pause(ctx, gather) {
			return nil
		}
		mu.Lock()
		n := pending
		pending = news{}
		mu.Unlock()
		a.heed(n)
		if !pause(ctx, min(max(leastGap, costShare*time.Duration(a.fabricCost.Load())), mostGap)) {
			return nil
		}
	}
}

// heed acts on news. What is older than the last look that found all well is the echo of what we did ourselves.
func (a *Agent) heed(n news) {
	if n.none() {
		return
	}
	if n.links || n.lost {
		a.lookAgain.Store(true)
		a.wakePlan()
	}
	if n.node || n.lost {
		if n.at.UnixNano() > a.fabricClean.Load() {
			a.parts.doubts.fabric.raise.Store(true)
			a.fabric.Kick()
		}
		a.parts.doubts.mesh.raise.Store(true)
		a.mesh.Kick()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, r := range a.runners {
		if n.lost || n.sandboxes[string(id)] {
			r.changed(n.at)
		}
	}
}

// pause reports false when ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// ownerOfPort is the sandbox that an ifalias of ours names ("swarmnet SANDBOX INTERFACE"), or empty.
func ownerOfPort(alias string) string {
	rest, ok := strings.CutPrefix(alias, "swarmnet ")
	name, _, pair := strings.Cut(rest, " ")
	if !ok || !pair {
		return ""
	}
	return name
}
