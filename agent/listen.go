package agent

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmnet/swarmnet/agent/sandbox"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/pulse"
)

// namespaceLook is how often the fabric's namespace is looked for: that its file is unmounted the kernel tells nobody.
const namespaceLook = 2 * time.Second

// kernelWatcher listens to rtnetlink and nftables in the host's and the fabric's namespace, and through the latter in all sandboxes: they have
// the other ends of its pairs.
type kernelWatcher struct {
	fabric string // path
	boxes  *sandbox.Sandboxes
	log    *slog.Logger
	hears  atomic.Bool
}

// Hears implements watcher.
func (w *kernelWatcher) Hears() bool { return w.hears.Load() }

// Watch implements watcher.
func (w *kernelWatcher) Watch(ctx context.Context, heard func(news)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	host := func(e nl.Event) { heard(news{at: time.Now(), node: true, links: e.Link, lost: e.Lost}) }
	links, err := nl.ListenLinks("", nl.Listen{})
	if err != nil {
		return err
	}
	tables, err := nl.ListenTables("", nl.Listen{})
	if err != nil {
		links.Close()
		return err
	}
	w.follow(ctx, &wg, links, host)
	w.follow(ctx, &wg, tables, host)
	return w.watchFabric(ctx, heard)
}

// follow reads events until ctx ends or they do.
func (w *kernelWatcher) follow(ctx context.Context, wg *sync.WaitGroup, e *nl.Events, fn func(nl.Event)) {
	stop := context.AfterFunc(ctx, func() { e.Close() })
	wg.Go(func() {
		defer e.Close()
		defer stop()
		for {
			if err := e.Next(fn); err != nil {
				if ctx.Err() == nil && !errors.Is(err, os.ErrClosed) {
					w.log.Warn("the kernel's changes cannot be followed any more", "err", err)
				}
				return
			}
		}
	})
}

// watchFabric listens in the fabric's namespace, whenever there is one, and anew when it is another.
func (w *kernelWatcher) watchFabric(ctx context.Context, heard func(news)) error {
	look := time.NewTimer(pulse.In(namespaceLook))
	defer look.Stop()
	var is fs.FileInfo
	end := func() {}
	defer func() { end() }()
	for {
		now, err := os.Stat(w.fabric)
		switch {
		case err == nil && is != nil && os.SameFile(is, now):
		case err != nil && is == nil:
		default: // it came, went, or is another
			heard(news{at: time.Now(), node: true, lost: is != nil})
			end()
			is, end = nil, func() {}
			w.hears.Store(false)
			if err != nil {
				break
			}
			is = now
			if end, err = w.listenInFabric(ctx, heard); err != nil {
				w.log.Warn("the fabric's changes cannot be followed; drift is found by looking every few seconds", "err", err)
			}
			w.hears.Store(err == nil)
			heard(news{at: time.Now(), node: true}) // what was looked at before may have changed unheard
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			look.Reset(pulse.In(namespaceLook))
		}
	}
}

func (w *kernelWatcher) listenInFabric(ctx context.Context, heard func(news)) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	stop = func() { cancel(); wg.Wait() }
	where, ports := &numbers{fabric: w.fabric, boxes: w.boxes}, &owners{fabric: w.fabric}
	fn := func(e nl.Event) {
		n := news{at: time.Now(), lost: e.Lost}
		switch {
		case e.Renumbered:
			where.forget()
			return
		case e.NSID == nl.Here:
			n.node = true
			if name := ports.of(e); name != "" {
				n.sandboxes = map[string]bool{name: true}
			}
		default:
			name, known := where.name(e.NSID)
			if !known {
				return // the host, which is listened to by itself, or what is no sandbox of ours
			}
			n.sandboxes = map[string]bool{name: true}
		}
		heard(n)
	}
	links, err := nl.ListenLinks(w.fabric, nl.Listen{Peers: true, Neighbours: true})
	if err != nil {
		return stop, err
	}
	tables, err := nl.ListenTables(w.fabric, nl.Listen{Peers: true})
	if err != nil {
		links.Close()
		return stop, err
	}
	w.follow(ctx, &wg, links, fn)
	w.follow(ctx, &wg, tables, fn)
	return stop, nil
}

// numbers says which sandbox the fabric knows by which number.
type numbers struct {
	fabric string
	boxes  *sandbox.Sandboxes

	mu sync.Mutex
	by map[int]string // nil: to be read; an empty name is no sandbox
}

func (n *numbers) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.by = nil
}

func (n *numbers) name(id int) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.by == nil {
		n.by = map[int]string{}
		n.read()
	}
	name, known := n.by[id]
	if !known {
		n.read() // a sandbox gets its number with its first interface
		if name, known = n.by[id]; !known {
			n.by[id] = "" // not ours: not to be looked for again
		}
	}
	return name, name != ""
}

func (n *numbers) read() {
	c, err := nl.Open(n.fabric)
	if err != nil {
		return
	}
	defer c.Close()
	names, err := n.boxes.List()
	if err != nil {
		return
	}
	for _, name := range names {
		if id, ok := c.NSID(n.boxes.Path(name)); ok {
			n.by[id] = name
		}
	}
}

// owners says which sandbox a port in the fabric is of. What bridges tell of their ports and entries comes without the ports' marks.
type owners struct {
	fabric string

	mu sync.Mutex
	by map[int]string // index: sandbox; empty: of none
}

// of is the sandbox that an event in the fabric is about, or empty.
func (o *owners) of(e nl.Event) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := ownerOfPort(e.Alias)
	known, asked := o.by[e.Index]
	switch {
	case e.Index == 0:
		return ""
	case e.Gone:
		delete(o.by, e.Index)
		return cmp.Or(name, known)
	case name != "":
	case asked && (known != "" || !e.Link): // a port is made first, and marked then
		name = known
	default:
		name = o.ask(e.Index)
	}
	if o.by == nil {
		o.by = map[int]string{}
	}
	o.by[e.Index] = name
	return name
}

// ask looks at the port itself.
func (o *owners) ask(index int) string {
	c, err := nl.Open(o.fabric)
	if err != nil {
		return ""
	}
	defer c.Close()
	l, err := c.LinkByIndex(index)
	if err != nil {
		return ""
	}
	return ownerOfPort(l.Alias)
}
