// Package session is an agent's conversation with the managers: one stream to any of them, opened again whenever it breaks, folded into
// complete assignment sets. The last set is kept on disk, so that an agent that starts while no manager answers knows what to run.
package session

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Config of a Session.
type Config struct {
	// Dial connects to a manager's API. Its connections should notice within seconds that the other side is gone.
	Dial func(ctx context.Context, addr string) (*grpc.ClientConn, error)
	// Managers are the addresses to begin with; the assignment sets name those in force.
	Managers []string
	// Describe says what the node tells of itself when a stream is opened.
	Describe func() swarmnet.NodeDescription
	// Path is the file of the last set; empty: it is not kept.
	Path string
	// Diff compares the node's kernel with what it should have; nil: it cannot be asked.
	Diff   func(ctx context.Context) (swarmnet.NodeDiff, error)
	Logger *slog.Logger
}

// Session is what the managers last said, and what they have yet to be told.
type Session struct {
	cfg     Config
	changed chan struct{} // something to read: set or epoch
	send    chan struct{} // something to send
	renew   chan struct{} // the stream is to be opened anew
	settle  func(path string) error

	mu      sync.Mutex
	set     swarmnet.AssignmentSet
	have    bool
	live    bool // set came from a manager since this start
	epoch   uint64
	manager string // the address of the one that the stream leads to
	outbox  Outbox
	applied uint64 // revision that is in force here
	resync  bool   // ask for a complete set
	ports   []swarmnet.DegradedPort
	untold  bool          // ports are to be sent on this stream
	ailing  bool          // since this start there were some
	newer   chan struct{} // closed when set is replaced
	answers []*pb.Answer  // to be sent on this stream
}

// New makes a session that starts from the set on disk. A damaged file is logged and passed over: the managers send it all again.
func New(cfg Config) *Session {
	s := &Session{cfg: cfg, changed: make(chan struct{}, 1), send: make(chan struct{}, 1), renew: make(chan struct{}, 1), newer: make(chan struct{}), settle: settle}
	if cfg.Path == "" {
		return s
	}
	set, err := Load(cfg.Path)
	switch {
	case err == nil:
		s.set, s.have = set, true
		poke(s.changed)
	case !errors.Is(err, os.ErrNotExist):
		cfg.Logger.Warn("the last assignments cannot be read, waiting for a manager", "err", err)
	}
	return s
}

// Reading is one consistent reading of a session.
type Reading struct {
	Set  swarmnet.AssignmentSet
	Have bool // Set means something
	// Live says that a manager sent Set since this start. A set from the disk may be old: nothing may be removed for want of it.
	Live bool
	// Epoch of this start; 0 until a manager has given it.
	Epoch uint64
	// Manager is the address of the one that answers; empty when none does.
	Manager string
}

// Read returns what is known now.
func (s *Session) Read() Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Reading{Set: s.set, Have: s.have, Live: s.live, Epoch: s.epoch, Manager: s.manager}
}

// Changed receives after a change of what Read returns; several changes may be one receipt.
func (s *Session) Changed() <-chan struct{} { return s.changed }

// Report tells the managers a task's status; it is kept and sent again until they have committed it.
func (s *Session) Report(task swarmnet.TaskID, status swarmnet.TaskStatus) {
	s.mu.Lock()
	t, known := s.set.Tasks[task]
	s.outbox.Put(Update{Task: task, Status: status, Again: known && t.Standalone()})
	s.mu.Unlock()
	poke(s.send)
}

// Describe has the managers told what the node says of itself, since it is something else now: by a new stream, which begins with that.
func (s *Session) Describe() { poke(s.renew) }

// Applied tells the managers that the set of a revision is in force here.
func (s *Session) Applied(revision uint64) {
	s.mu.Lock()
	news := revision > s.applied
	s.applied = max(s.applied, revision)
	s.mu.Unlock()
	if news {
		poke(s.send)
	}
}

// Degraded tells the managers which published ports this node cannot publish, in the order of DegradedPort.Compare. The list is kept and told
// again on each stream.
func (s *Session) Degraded(ports []swarmnet.DegradedPort) {
	s.mu.Lock()
	news := !slices.Equal(s.ports, ports)
	s.ports, s.untold, s.ailing = ports, s.untold || news, s.ailing || news
	s.mu.Unlock()
	if news {
		poke(s.send)
	}
}

// Run keeps a stream open until ctx ends.
func (s *Session) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	save := make(chan struct{}, 1)
	g.Go(func() error { s.saveSets(ctx, save); return nil })
	g.Go(func() error { s.connect(ctx, save); return nil })
	return g.Wait()
}

func (s *Session) saveSets(ctx context.Context, due <-chan struct{}) {
	if s.cfg.Path == "" {
		return
	}
	// keep returns how long saving took, without what the disk needs to make it last.
	keep := func() time.Duration {
		began := time.Now()
		err := save(s.cfg.Path, s.Read().Set)
		took := time.Since(began)
		if err == nil {
			err = s.settle(s.cfg.Path)
		}
		if err != nil {
			s.cfg.Logger.Warn("the assignments cannot be kept on disk", "err", err)
		}
		return took
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-due:
		}
		took := keep()
		select {
		case <-time.After(min(saveShare*took, mostUnsaved)):
			continue
		case <-ctx.Done():
		}
		select {
		case <-due: // what came meanwhile is saved all the same
			keep()
		default:
		}
		return
	}
}

// A set is saved whole, whatever of it is new: of a large one that changes all the time, a saving is followed by a pause of saveShare times what it
// took, mostUnsaved at most. A daemon that is killed meanwhile starts from an older set, and does what that wants until it hears of the rest from a manager:
// so a small one is saved at once, and that the disk is slow to make it last does not count.
const (
	saveShare   = 20
	mostUnsaved = 2 * time.Second
)

// connect tries one manager after the other. As long as streams succeed the next one is opened at once; else the pause doubles
// from 20 ms to 1 s, later 5 s.
func (s *Session) connect(ctx context.Context, save chan<- struct{}) {
	failures, next := 0, rand.IntN(1<<16)
	var lastErr string
	for ctx.Err() == nil {
		addrs := s.managers()
		welcomed := false
		if len(addrs) > 0 {
			addr := addrs[next%len(addrs)]
			next++
			var err error
			welcomed, err = s.stream(ctx, addr, save)
			if ctx.Err() == nil && err != nil && !errors.Is(err, errRenewed) && err.Error() != lastErr {
				lastErr = err.Error()
				s.cfg.Logger.Info("no session with a manager, trying on", "manager", addr, "err", err)
			}
		}
		if welcomed {
			failures, lastErr = 0, ""
			if len(addrs) > 1 {
				continue
			}
		}
		failures++
		select {
		case <-ctx.Done():
		case <-time.After(pause(failures, len(addrs))):
		}
	}
}

// pause is how long to wait after so many failures in a row; the first round over all managers is fast.
func pause(failures, managers int) time.Duration {
	most := time.Second
	if failures > 30 {
		most = 5 * time.Second
	}
	d := min(most, 20*time.Millisecond<<min(max(0, failures-managers), 10))
	return d/2 + rand.N(d/2+1)
}

// managers are the addresses of the last set, then the configured ones.
func (s *Session) managers() []string {
	addrs := slices.Clone(s.Read().Set.Cluster.Managers)
	for _, a := range s.cfg.Managers {
		if !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

func poke(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
