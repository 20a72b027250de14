// Package dispatcher is the managers' side of the agents: it tells each node what it must run and know, and takes reports.
//
// What a node must know is a pure function of the state (Assignments). A session sends it whole once and then, whenever
// the state has changed, what is different (Diff). Every manager serves sessions; which manager holds a node's session is
// part of the state.
package dispatcher

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/pulse"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
	"github.com/swarmnet/swarmnet/rpcauth"
)

// Backend is the replicated state, as the dispatcher needs it.
type Backend interface {
	// View is the newest state of this manager.
	View() *state.State
	// Changed returns a channel that is closed when View has become newer than it was at the call.
	Changed() <-chan struct{}
	// Propose returns when the commands are applied here, with one result each.
	Propose(ctx context.Context, actor string, cmds ...state.Command) ([]state.Result, error)
	// Linearize waits until View is at least as new as every change acknowledged anywhere before the call.
	Linearize(ctx context.Context) error
}

// Config configures a Server.
type Config struct {
	Self    swarmnet.NodeID // the manager that holds the sessions
	Backend Backend
	Logger  *slog.Logger
	// Coalesce is how long changes are gathered before the difference is sent; default 20 ms.
	Coalesce time.Duration
}

// Server implements the Dispatcher service.
type Server struct {
	pb.UnimplementedDispatcherServer
	cfg Config

	mu       sync.Mutex
	sessions map[swarmnet.NodeID]*session
	poke     chan struct{} // asks Run to close the sessions that are gone
	acks     *acks
}

const (
	helloTimeout   = 10 * time.Second
	goneLook       = time.Second
	proposeTimeout = 10 * time.Second
	// maxPending bounds the reports of one session that wait to be committed.
	maxPending = 4096
)

func New(cfg Config) *Server {
	if cfg.Coalesce == 0 {
		cfg.Coalesce = 20 * time.Millisecond
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, sessions: map[swarmnet.NodeID]*session{}, poke: make(chan struct{}, 1), acks: newAcks(cfg)}
}

// Session serves one agent until it goes silent, its stream breaks, or another session of its node begins.
func (s *Server) Session(stream pb.Dispatcher_SessionServer) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	in := newInbox(ctx, stream)
	hello, err := in.hello(ctx)
	if err != nil {
		return err
	}
	desc, err := wire.NodeDescriptionFromProto(hello.GetDescription())
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "the node's description is malformed: %v", err)
	}
	node := rpcauth.Peer(stream.Context()).Node
	ss := &session{server: s, node: node, stream: stream, in: in, cancel: cancel, done: make(chan struct{}), questions: make(chan *asked)}
	if err := s.enter(ctx, ss); err != nil {
		return err
	}
	defer s.leave(ss)
	if err := ss.open(ctx, desc, hello.GetEpoch()); err != nil {
		return err
	}
	s.cfg.Logger.Info("session opened", "node", node, "epoch", ss.feed.Epoch)
	err = ss.run(ctx)
	if cause := context.Cause(ctx); cause != nil && stream.Context().Err() == nil {
		err = cause
	}
	s.cfg.Logger.Info("session ended", "node", node, "epoch", ss.feed.Epoch, "reason", err)
	return err
}

var errSuperseded = status.Error(codes.Aborted, "another session of the node has begun")

// enter makes ss the session of its node, after the one before has ended.
func (s *Server) enter(ctx context.Context, ss *session) error {
	for {
		s.mu.Lock()
		old := s.sessions[ss.node]
		if old == nil {
			s.sessions[ss.node] = ss
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		old.cancel(errSuperseded)
		select {
		case <-old.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Server) leave(ss *session) {
	s.mu.Lock()
	delete(s.sessions, ss.node)
	s.mu.Unlock()
	close(ss.done)
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Run proposes what the sessions have in common, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { s.acks.run(ctx); return nil })
	g.Go(func() error { return s.closeGone(ctx) })
	return g.Wait()
}

// closeGone proposes the end of the sessions that the state says this manager holds and that it does not hold: those that broke,
// and those of its former life. It works from the state alone, so a proposal that fails is made again.
func (s *Server) closeGone(ctx context.Context) error {
	look := time.NewTimer(pulse.In(goneLook))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.poke:
		case <-look.C:
			look.Reset(pulse.In(goneLook))
		}
		for _, n := range s.gone() {
			s.close(ctx, n)
		}
	}
}

// gone lists the nodes whose sessions this manager has lost.
func (s *Server) gone() []swarmnet.Node {
	view := s.cfg.Backend.View()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []swarmnet.Node
	for n := range view.Nodes() {
		if n.Status.State == swarmnet.NodeReady && n.Status.Manager == s.cfg.Self && s.sessions[n.ID] == nil {
			out = append(out, n)
		}
	}
	return out
}

// close proposes the end of a node's session. Meanwhile it stands in for the session, so that a new one begins after it.
func (s *Server) close(ctx context.Context, n swarmnet.Node) {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	stand := &session{node: n.ID, cancel: func(error) {}, done: make(chan struct{})}
	s.mu.Lock()
	if s.sessions[n.ID] != nil {
		s.mu.Unlock()
		return
	}
	s.sessions[n.ID] = stand
	s.mu.Unlock()
	_, err := s.cfg.Backend.Propose(ctx, "dispatcher", closeSession(n, s.cfg.Self))
	s.mu.Lock()
	delete(s.sessions, n.ID)
	s.mu.Unlock()
	close(stand.done)
	if err != nil && ctx.Err() == nil {
		s.cfg.Logger.Warn("cannot close a session yet", "node", n.ID, "error", err)
	}
}
