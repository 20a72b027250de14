package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmnet/swarmnet"
)

// Dial opens a connection to an upstream, in the namespace that it is to be asked from.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Config is what a server is made from.
type Config struct {
	// Upstreams are the host's name servers, asked for what is no name of the cluster. It is called for each such query.
	Upstreams func() []netip.AddrPort
	Dial      Dial             // to the host's name servers; nil: from the process's own namespace
	Clock     func() time.Time // nil: time.Now
	Logger    *slog.Logger
}

// Sandbox is one client: a sandbox, with the sockets on which its resolver answers. The server closes them.
type Sandbox struct {
	ID       string
	Networks []swarmnet.NetworkID // in order of preference
	UDP      net.PacketConn
	TCP      net.Listener
	// Upstreams are the sandbox's own name servers. They replace the host's and are reached by Dial, from within the sandbox.
	Upstreams []netip.AddrPort
	Dial      Dial
	// Internal says that no network of the sandbox has a gateway: the host's name servers are not asked for it.
	Internal bool
}

// Stats counts queries since the start.
type Stats struct {
	Local     uint64 // answered from the records
	Forwarded uint64
	Failed    uint64 // forwarded, and no upstream had an answer
	Refused   uint64 // not forwarded: too many of the sandbox were in flight; see Server.Refused
	Malformed uint64
}

// Server answers the queries of all sandboxes of a node.
type Server struct {
	cfg     Config
	host    *forwarder
	records atomic.Pointer[Records]
	stats   struct{ local, forwarded, failed, refused, malformed atomic.Uint64 }

	ctx    context.Context // ends with Run: goroutines of sandboxes live in it
	cancel context.CancelFunc

	mu        sync.Mutex
	sandboxes map[string]*sandbox
}

// NewServer returns a server without names and sandboxes. Attach works at once; Run ends everything.
func NewServer(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	if cfg.Upstreams == nil {
		cfg.Upstreams = func() []netip.AddrPort { return nil }
	}
	s := &Server{cfg: cfg, host: newForwarder(cfg.Dial, cfg.Clock, 4096), sandboxes: map[string]*sandbox{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.records.Store(&Records{})
	return s
}

// Update puts the names in force.
func (s *Server) Update(r *Records) { s.records.Store(r) }

// Attach starts to answer a sandbox. One that is attached already, under the same id, is detached.
func (s *Server) Attach(sb Sandbox) error {
	if sb.ID == "" || sb.UDP == nil {
		return fmt.Errorf("dns: sandbox %q: an id and a packet socket are needed", sb.ID)
	}
	c := newSandbox(s, sb)
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		c.close()
		return fmt.Errorf("dns: sandbox %q: the server has ended", sb.ID)
	}
	old := s.sandboxes[sb.ID]
	s.sandboxes[sb.ID] = c
	c.start()
	s.mu.Unlock()
	if old != nil {
		old.close()
	}
	return nil
}

// Reconfigure says on which networks an attached sandbox is from now on. One that is not attached is passed over.
func (s *Server) Reconfigure(id string, networks []swarmnet.NetworkID, internal bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.sandboxes[id]; c != nil {
		c.place.Store(&place{networks: networks, internal: internal})
	}
}

// Detach ends the answering of a sandbox and closes its sockets. It returns when nothing of it runs any more.
func (s *Server) Detach(id string) {
	s.mu.Lock()
	c := s.sandboxes[id]
	delete(s.sandboxes, id)
	s.mu.Unlock()
	if c != nil {
		c.close()
	}
}

// Run serves until ctx ends, then detaches all sandboxes.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	s.cancel()
	all := s.sandboxes
	s.sandboxes = map[string]*sandbox{}
	s.mu.Unlock()
	for _, c := range all {
		c.close()
	}
	return nil
}

// Refused says of each attached sandbox of which queries were not forwarded, since too many were in flight, how many.
func (s *Server) Refused() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]uint64{}
	for id, c := range s.sandboxes {
		if n := c.refused.Load(); n > 0 {
			out[id] = n
		}
	}
	return out
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	return Stats{
		Local: s.stats.local.Load(), Forwarded: s.stats.forwarded.Load(), Failed: s.stats.failed.Load(),
		Refused: s.stats.refused.Load(), Malformed: s.stats.malformed.Load(),
	}
}
