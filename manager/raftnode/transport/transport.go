// Package transport carries raft's messages over gRPC: to each member one stream of messages, which stays open, and a
// stream of its own for each snapshot, so that heartbeats never wait behind an image.
package transport

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"

	"github.com/swarmnet/swarmnet/manager/raftnode"
)

// Config configures a transport.
type Config struct {
	ClusterID string
	// Self is how others reach this node.
	Self raftnode.Peer
	// Dial makes a new connection to a member; the transport closes it.
	Dial   func(ctx context.Context, addr string) (*grpc.ClientConn, error)
	Logger *slog.Logger
	// SnapshotRate is how many bytes of snapshots are sent in a second at most, to all members together; 0: 64 MiB.
	SnapshotRate int
	// Idle is after how long without a message a member's stream is given up; 0: a minute. A removed member's ends so.
	Idle time.Duration
}

// Transport sends to the other members. It is a raftnode.Transport.
type Transport struct {
	cfg   Config
	limit *rate.Limiter

	mu       sync.Mutex
	peers    map[uint64]*peer
	group    *errgroup.Group
	ctx      context.Context // of the run; nil before and after it
	receiver raftnode.Receiver
}

// New makes a transport.
func New(cfg Config) *Transport {
	if cfg.SnapshotRate == 0 {
		cfg.SnapshotRate = 64 << 20
	}
	if cfg.Idle == 0 {
		cfg.Idle = time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Transport{
		cfg: cfg, peers: map[uint64]*peer{},
		limit: rate.NewLimiter(rate.Limit(cfg.SnapshotRate), max(cfg.SnapshotRate, chunkSize)),
	}
}

// Run owns the streams to the members until ctx ends.
func (t *Transport) Run(ctx context.Context, r raftnode.Receiver) error {
	g, gctx := errgroup.WithContext(ctx)
	t.mu.Lock()
	t.ctx, t.group, t.receiver = gctx, g, r
	t.mu.Unlock()
	<-ctx.Done()
	t.mu.Lock()
	t.ctx = nil
	t.mu.Unlock()
	_ = g.Wait()
	return ctx.Err()
}

// Send queues messages for a member. When the member takes them too slowly, they are dropped: raft sends again what
// matters.
func (t *Transport) Send(to raftnode.Peer, msgs []*pb.Message) {
	t.mu.Lock()
	p, r := t.peer(to), t.receiver
	t.mu.Unlock()
	if p == nil {
		return
	}
	if !p.push(msgs) {
		r.Unreachable(to.ID)
	}
}

// peer returns the sender for a member, with the address that the member has now; nil when the transport does not run.
// The caller holds mu.
func (t *Transport) peer(to raftnode.Peer) *peer {
	if t.ctx == nil {
		return nil
	}
	p := t.peers[to.ID]
	if p != nil && p.to.Addr == to.Addr {
		return p
	}
	if p != nil {
		p.cancel()
	}
	ctx, cancel := context.WithCancel(t.ctx)
	p = &peer{t: t, to: to, cancel: cancel, wake: make(chan struct{}, 1)}
	t.peers[to.ID] = p
	t.group.Go(func() error {
		defer t.forget(p)
		p.run(ctx)
		return nil
	})
	return p
}

// forget ends a sender. The next message to the member makes a new one.
func (t *Transport) forget(p *peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.cancel()
	if t.peers[p.to.ID] == p {
		delete(t.peers, p.to.ID)
	}
}

// SendSnapshot sends an image on a stream of its own.
func (t *Transport) SendSnapshot(to raftnode.Peer, msg *pb.Message, open func() (io.ReadCloser, error), done func(error)) {
	t.mu.Lock()
	ctx, g := t.ctx, t.group
	if ctx != nil {
		g.Go(func() error {
			err := t.sendSnapshot(ctx, to, msg, open)
			if err != nil {
				err = fmt.Errorf("send a snapshot to %s: %w", to.Addr, err)
			}
			done(err)
			return nil
		})
	}
	t.mu.Unlock()
	if ctx == nil {
		done(fmt.Errorf("send a snapshot to %s: %w", to.Addr, raftnode.ErrStopped))
	}
}
