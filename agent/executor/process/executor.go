package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
)

// Config of an Executor.
type Config struct {
	// Dir holds the tasks' directories; a tmpfs suits it.
	Dir string
	// Changed is called whenever the status of a workload has changed. It must not block.
	Changed func(swarmnet.TaskID)
	Logger  *slog.Logger
}

// Executor is the daemon's side: it starts shims, adopts those that it finds, and remembers nothing that they do not.
type Executor struct {
	cfg Config
	wg  sync.WaitGroup // of the goroutines that follow shims

	mu   sync.Mutex
	held map[swarmnet.TaskID]*holding
}

var _ executor.Executor = (*Executor)(nil)

// New adopts every workload that it finds in cfg.Dir.
func New(cfg Config) (*Executor, error) {
	if cfg.Changed == nil {
		cfg.Changed = func(swarmnet.TaskID) {}
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	e := &Executor{cfg: cfg, held: map[swarmnet.TaskID]*holding{}}
	var g errgroup.Group
	g.SetLimit(16)
	for _, entry := range entries {
		g.Go(func() error { return e.adopt(swarmnet.TaskID(entry.Name())) })
	}
	return e, g.Wait()
}

// Close lets go of all shims; they and their workloads go on.
func (e *Executor) Close() {
	e.mu.Lock()
	for _, h := range e.held {
		h.letGo()
	}
	e.mu.Unlock()
	e.wg.Wait()
}

func (e *Executor) dir(id swarmnet.TaskID) string { return filepath.Join(e.cfg.Dir, string(id)) }

// adopt takes up a workload that an earlier daemon started.
func (e *Executor) adopt(id swarmnet.TaskID) error {
	dir := e.dir(id)
	conn, dialErr := dial(dir)
	if dialErr == nil {
		h := newHolding(id, dir, conn)
		if err := h.hello(); err == nil {
			e.hold(h)
			return nil
		}
		conn.Close()
	}
	rec, err := readRecord(dir)
	if errors.Is(err, os.ErrNotExist) { // prepared and never begun
		return os.RemoveAll(dir)
	}
	if err != nil {
		rec = record{Err: err.Error()}
	}
	h := newHolding(id, dir, nil)
	h.finish(rec)
	e.hold(h)
	return nil
}

// hold takes a workload in, and keeps its record until its shim is gone.
func (e *Executor) hold(h *holding) {
	e.mu.Lock()
	e.held[h.id] = h
	e.mu.Unlock()
	if h.conn == nil {
		e.cfg.Changed(h.id)
		return
	}
	e.wg.Go(func() { h.follow(func() { e.cfg.Changed(h.id) }) })
}

func (e *Executor) get(id swarmnet.TaskID) (*holding, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.held[id]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("task %s: %w", swarmnet.ShortID(id), executor.ErrUnknownTask)
}

// Status implements executor.Executor.
func (e *Executor) Status(id swarmnet.TaskID) executor.Status {
	h, err := e.get(id)
	if err != nil {
		return executor.Status{ID: id}
	}
	return h.status()
}

// List implements executor.Executor; the ids are in order.
func (e *Executor) List() []swarmnet.TaskID {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := make([]swarmnet.TaskID, 0, len(e.held))
	for id := range e.held {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Stop implements executor.Executor. signal is a name such as SIGTERM or TERM, or a number; empty: SIGTERM.
func (e *Executor) Stop(id swarmnet.TaskID, signal string, grace time.Duration) error {
	h, err := e.get(id)
	if err != nil {
		return err
	}
	sig, err := parseSignal(signal)
	if err != nil {
		return err
	}
	err = h.ask(request{Op: "stop", Signal: int(sig), Grace: grace}, writeTimeout)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// Signal implements executor.Executor. signal is as for Stop, and must be given.
func (e *Executor) Signal(id swarmnet.TaskID, signal string) error {
	h, err := e.get(id)
	if err != nil {
		return err
	}
	sig, err := parseSignal(signal)
	if err != nil {
		return err
	}
	return h.ask(request{Op: "signal", Signal: int(sig)}, writeTimeout)
}

// Probe implements executor.Executor.
func (e *Executor) Probe(_ context.Context, id swarmnet.TaskID, p executor.Probe) error {
	h, err := e.get(id)
	if err != nil {
		return err
	}
	req := request{Op: "probe", Command: p.Command, Timeout: p.Timeout}
	if p.Addr.IsValid() {
		req.Addr = p.Addr.String()
	}
	return h.ask(req, p.Timeout+writeTimeout)
}

// Sockets implements executor.Executor.
func (e *Executor) Sockets(id swarmnet.TaskID) (*executor.Sockets, error) {
	h, err := e.get(id)
	if err != nil {
		return nil, err
	}
	return h.sockets()
}

// Remove implements executor.Executor.
func (e *Executor) Remove(ctx context.Context, id swarmnet.TaskID) error {
	h, err := e.get(id)
	if err != nil {
		return nil // // what is not there is removed
	}
	if err := h.kill(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(h.dir); err != nil {
		return err
	}
	e.mu.Lock()
	delete(e.held, id)
	e.mu.Unlock()
	return nil
}

// CheckSignal refuses what is no signal, in the forms that Stop takes.
func CheckSignal(s string) error {
	_, err := parseSignal(s)
	return err
}

func parseSignal(s string) (syscall.Signal, error) {
	if s == "" {
		return syscall.SIGTERM, nil
	}
	for _, name := range []string{s, "SIG" + s} {
		if sig := unix.SignalNum(name); sig != 0 {
			return sig, nil
		}
	}
	var n int
	if _, err := fmt.Sscanf(s, "%d", &n); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	return 0, fmt.Errorf("%q is not a signal: a name such as SIGTERM is wanted", s)
}
