// Package member carries the gossip tables over hashicorp/memberlist: membership, failure detection and encryption are
// memberlist's; rows travel as its user messages, when and to whom gossip.Speaker says.
package member

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

const (
	tickPeriod   = 200 * time.Millisecond
	repairPeriod = 5 * time.Second
	bindRetry    = time.Second
	// strangerFor is how long a node that the managers name may take to be met: longer than two daemons need that can reach each other.
	strangerFor = 5 * time.Second
)

// Config is what a member is made from.
type Config struct {
	NodeID swarmnet.NodeID
	Name   string // for logs
	// BindAddr is where UDP and TCP listen, in the network namespace of the process.
	BindAddr netip.AddrPort
	// Advertise is what the others are told; zero: BindAddr.
	Advertise netip.AddrPort
	Key       ed25519.PrivateKey // signs the node's rows
	Logger    *slog.Logger
}

// Member is this node's part in the gossip. All methods may be called at any time, from any goroutine, also before Run.
type Member struct {
	cfg   Config
	log   *slog.Logger
	start uint64 // tells the lives of this node apart within one epoch

	ready   chan struct{} // closed by the first usable settings
	changed chan struct{}
	contact chan struct{} // the peers to be contacted may have changed
	loud    chan struct{} // the speaker is quiet no more
	inbox   chan gossip.Message
	reliable
	keyring *memberlist.Keyring
	wrap    func(*transport) memberlist.Transport // tests cut links with it

	mu      sync.Mutex
	set     Settings
	list    *memberlist.Memberlist // nil until it listens
	speaker *gossip.Speaker        // nil until the cluster is known
	quiet   bool                   // nobody ticks
	early   map[gossip.RowKey][]byte
	peers   map[swarmnet.NodeID]PeerInfo
	named   map[swarmnet.NodeID]time.Time // since when they are
	seen    map[swarmnet.NodeID]*node
	view    *gossip.View // nil: to be made anew
	viewGen uint64
}

// node is what memberlist last said of a member.
type node struct {
	alive bool
	addr  memberlist.Node // a copy: name, address, protocol versions
}

// New returns a member that does nothing before Run, and in Run nothing before Configure has named a key.
func New(cfg Config) (*Member, error) {
	switch {
	case cfg.NodeID == "":
		return nil, fmt.Errorf("gossip: no node id given")
	case !cfg.BindAddr.IsValid():
		return nil, fmt.Errorf("gossip: no address to listen on given")
	case len(cfg.Key) != ed25519.PrivateKeySize:
		return nil, fmt.Errorf("gossip: the node's key has %d octets instead of %d", len(cfg.Key), ed25519.PrivateKeySize)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if !cfg.Advertise.IsValid() {
		cfg.Advertise = cfg.BindAddr
	}
	return &Member{
		cfg:      cfg,
		log:      cfg.Logger.With("component", "gossip"),
		start:    uint64(time.Now().UnixNano()),
		ready:    make(chan struct{}),
		changed:  make(chan struct{}, 1),
		contact:  make(chan struct{}, 1),
		loud:     make(chan struct{}, 1),
		inbox:    make(chan gossip.Message, 1024),
		reliable: make(reliable, 256),
		early:    map[gossip.RowKey][]byte{},
		seen:     map[swarmnet.NodeID]*node{},
		named:    map[swarmnet.NodeID]time.Time{},
	}, nil
}

// Run takes part in the gossip until ctx ends. It does not announce its end: a daemon that is restarted stays a member
// meanwhile. See Leave for the other case.
func (m *Member) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-m.ready:
	}
	list, err := m.listen(ctx)
	if err != nil {
		return nil // ctx has ended; everything else is retried
	}
	m.mu.Lock()
	m.list = list
	for id := range m.seen { // who joined us before we could speak
		m.greet(id)
	}
	m.mu.Unlock()

	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.receive(gctx) })
	group.Go(func() error { return m.tick(gctx) })
	group.Go(func() error { return m.rejoin(gctx, list) })
	for range senders {
		group.Go(func() error { return m.sendReliably(gctx, list) })
	}
	err = group.Wait()

	m.mu.Lock()
	m.list = nil
	m.mu.Unlock()
	if e := list.Shutdown(); err == nil && e != nil {
		err = fmt.Errorf("gossip: close: %w", e)
	}
	return err
}

// Leave tells the others that this node goes for good, so that they need not find out. Run goes on until its ctx ends.
func (m *Member) Leave(timeout time.Duration) error {
	m.mu.Lock()
	list := m.list
	m.mu.Unlock()
	if list == nil {
		return nil
	}
	if err := list.Leave(timeout); err != nil {
		return fmt.Errorf("gossip: leave: %w", err)
	}
	return nil
}

// listen opens the sockets. An address that is taken may be free in a moment: the daemon before us may still be ending.
func (m *Member) listen(ctx context.Context) (*memberlist.Memberlist, error) {
	for {
		list, err := m.create()
		if err == nil {
			m.log.Info("gossip listens", "addr", m.cfg.BindAddr, "advertise", m.cfg.Advertise)
			return list, nil
		}
		m.log.Error("gossip cannot listen; retrying", "addr", m.cfg.BindAddr, "err", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(bindRetry):
		}
	}
}

func (m *Member) tick(ctx context.Context) error {
	tick, repair := time.NewTicker(tickPeriod), time.NewTicker(repairPeriod)
	defer tick.Stop()
	defer repair.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.loud:
			tick.Reset(tickPeriod)
		case <-tick.C:
			m.speak((*gossip.Speaker).Tick)
			if m.isQuiet() { // an idle node need not wake
				tick.Stop()
			}
		case <-repair.C:
			m.speak((*gossip.Speaker).Repair)
		}
	}
}

func (m *Member) receive(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case msg := <-m.inbox:
			m.speak(func(s *gossip.Speaker) []gossip.Out {
				outs, err := s.Handle(msg)
				if err != nil {
					m.log.Debug("gossip refused a part of a message", "from", msg.From, "err", err)
				}
				return outs
			})
		}
	}
}

// isQuiet reports whether there is nothing to tick for; from then on say tells when there is.
func (m *Member) isQuiet() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quiet = m.speaker == nil || m.speaker.Quiet()
	return m.quiet
}

// speak steps the speaker and sends what it says.
func (m *Member) speak(step func(*gossip.Speaker) []gossip.Out) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.speaker == nil {
		return
	}
	m.say(step(m.speaker))
	if g := m.speaker.Generation(); g != m.viewGen {
		m.viewGen = g
		m.touch()
	}
}

// say sends what the speaker says, and has it ticked if there is more to come. mu is held.
func (m *Member) say(outs []gossip.Out) {
	m.send(outs)
	if m.quiet && !m.speaker.Quiet() {
		m.quiet = false
		poke(m.loud)
	}
}

// touch has the view made anew and tells who waits. mu is held.
func (m *Member) touch() {
	m.view = nil
	poke(m.changed)
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func newSpeaker(cfg Config, cluster swarmnet.ClusterID) *gossip.Speaker {
	t := gossip.NewTable(gossip.Options{Cluster: cluster, Self: cfg.NodeID, Sign: gossip.SignEd25519(cfg.Key)})
	return gossip.NewSpeaker(t, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
}
