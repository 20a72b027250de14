package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet/manager/raftnode"
	swarmnetv1 "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

const (
	maxQueued    = 64 << 20 // bytes for one member
	maxBatch     = 2 << 20  // bytes in one message of the stream, if it has more than one message of raft
	firstBackOff = 25 * time.Millisecond
	maxBackOff   = 500 * time.Millisecond
	dialTimeout  = 2 * time.Second
	// silence is how long an answer may take before the connection passes for dead.
	silence = 2 * time.Second
	// askAgain is after how long without one the next batch asks for an answer: one to each would be half of all messages between idle managers.
	askAgain = time.Second
)

// peer sends to one member. Each has a goroutine: one that is dead holds up nobody else.
type peer struct {
	t      *Transport
	to     raftnode.Peer
	cancel context.CancelFunc
	wake   chan struct{}

	mu     sync.Mutex
	queue  []*pb.Message
	queued int // bytes
	down   bool
}

// push queues messages; false when they were dropped.
func (p *peer) push(msgs []*pb.Message) bool {
	size := 0
	for _, m := range msgs {
		size += proto.Size(m)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queued > 0 && p.queued+size > maxQueued {
		return false
	}
	p.queue = append(p.queue, msgs...)
	p.queued += size
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return true
}

func (p *peer) take() []*pb.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	msgs := p.queue
	p.queue, p.queued = nil, 0
	return msgs
}

var (
	errIdle   = errors.New("nothing to send")
	errSilent = fmt.Errorf("no answer for %v", silence)
)

// run keeps a stream to the member open while there is something to send.
func (p *peer) run(ctx context.Context) {
	log := p.t.cfg.Logger.With("member", p.to.NodeID, "addr", p.to.Addr)
	wait := firstBackOff
	for {
		arrived, err := p.stream(ctx)
		if ctx.Err() != nil || errors.Is(err, errIdle) {
			return
		}
		if arrived {
			wait = firstBackOff
		}
		// Only the first failure in a row is told: a dead member is no news every second.
		if !p.setDown(true) {
			log.Info("raft stream broke", "err", err)
		}
		p.take() // what waited meanwhile is old; raft sends again
		p.t.receiver.Unreachable(p.to.ID)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, maxBackOff)
	}
}

// setDown notes whether the member answers and returns what was noted before.
func (p *peer) setDown(down bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.down
	p.down = down
	return was
}

// stream opens a connection and sends what is queued until that fails. It reports whether anything arrived.
func (p *peer) stream(ctx context.Context) (arrived bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Nothing but this bounds how long gRPC tries to connect.
	late := time.AfterFunc(dialTimeout, cancel)
	defer late.Stop()
	conn, err := p.t.cfg.Dial(ctx, p.to.Addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	s, err := swarmnetv1.NewRaftClient(conn).Messages(ctx)
	if err != nil {
		return false, err
	}
	late.Stop()
	acks := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() { // ends with the stream, which ends when this function returns
		for {
			if _, err := s.Recv(); err != nil {
				ended <- err
				return
			}
			select {
			case acks <- struct{}{}:
			default:
			}
		}
	}()
	fail := func(err error) error {
		cancel()
		why := <-ended
		if err == nil {
			return why
		}
		return err
	}
	self := p.t.cfg.Self
	batch := &swarmnetv1.RaftMessages{ClusterId: p.t.cfg.ClusterID, From: self.ID, FromAddr: self.Addr, To: p.to.ID}
	idle, silent := time.NewTimer(p.t.cfg.Idle), time.NewTimer(silence)
	defer idle.Stop()
	defer silent.Stop()
	silent.Stop()
	var asked time.Time // when an answer was asked for last
	quiet := true       // there was one since
	for {
		select {
		case <-ctx.Done():
			return arrived, fail(ctx.Err())
		case err := <-ended:
			return arrived, err
		case <-acks:
			arrived, quiet = true, true
			p.setDown(false)
			silent.Stop()
			continue
		case <-silent.C:
			return arrived, fail(errSilent)
		case <-idle.C:
			return arrived, fail(errIdle)
		case <-p.wake:
		}
		idle.Reset(p.t.cfg.Idle)
		for msgs := p.take(); len(msgs) > 0; {
			if msgs, err = fill(batch, msgs); err != nil {
				return arrived, fail(err)
			}
			if batch.NoAnswer = !quiet || time.Since(asked) < askAgain; !batch.NoAnswer {
				quiet, asked = false, time.Now()
				silent.Reset(silence)
			}
			if err := s.Send(batch); err != nil {
				return arrived, <-ended // which has the reason
			}
			batch = &swarmnetv1.RaftMessages{}
		}
	}
}

// fill puts as many messages as fit into a batch and returns the rest.
func fill(batch *swarmnetv1.RaftMessages, msgs []*pb.Message) ([]*pb.Message, error) {
	size := 0
	for i, m := range msgs {
		b, err := proto.Marshal(m)
		if err != nil {
			return nil, err
		}
		if size += len(b); i > 0 && size > maxBatch {
			return msgs[i:], nil
		}
		batch.Messages = append(batch.Messages, b)
	}
	return nil, nil
}
