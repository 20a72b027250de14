package raftnode

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// sink is a state machine that does nothing: the benchmark is of what is around it.
type sink struct{}

func (sink) Apply(es []Entry) ([]any, error) { return make([]any, len(es)), nil }
func (sink) Snapshot() (io.WriterTo, error)  { return image(nil), nil }
func (sink) Restore(r io.Reader) error       { return drain(r) }

// pipes is a network in one process: a queue to each node. Messages are encoded, as on a wire.
type pipes struct {
	nodes map[uint64]*queue[[]byte]
}

type pipe struct {
	net *pipes
	id  uint64
}

func (p pipe) Run(ctx context.Context, r Receiver) error {
	q := p.net.nodes[p.id]
	return loop(ctx, q.wake, func() (bool, error) {
		for _, b := range q.take() {
			m := &pb.Message{}
			if err := proto.Unmarshal(b, m); err != nil {
				return false, err
			}
			if err := r.Step(m); err != nil {
				return false, err
			}
		}
		return !q.empty(), nil
	})
}

func (p pipe) Send(to Peer, msgs []*pb.Message) {
	for _, m := range msgs {
		if b, err := proto.Marshal(m); err == nil {
			p.net.nodes[to.ID].push(b)
		}
	}
}

func (p pipe) SendSnapshot(_ Peer, _ *pb.Message, _ func() (io.ReadCloser, error), done func(error)) {
	done(errLost)
}

// benchGroup runs three voters, with logs on the host's disk.
func benchGroup(tb testing.TB) *Node {
	net := &pipes{nodes: map[uint64]*queue[[]byte]{}}
	for id := uint64(1); id <= 3; id++ {
		net.nodes[id] = newQueue[[]byte]()
	}
	nodes := map[uint64]*Node{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	tb.Cleanup(func() { cancel(); wg.Wait() })
	for id := uint64(1); id <= 3; id++ {
		n, err := Open(Config{
			ID: id, NodeID: peer(id).NodeID, Addr: peer(id).Addr, ClusterID: "c", FS: vfs.OS{}, Dir: tb.TempDir(), Key: testKey,
			StateMachine: sink{}, Transport: pipe{net, id}, Bootstrap: id == 1, Peers: []Peer{peer(1), peer(2), peer(3)},
		})
		if err != nil {
			tb.Fatal(err)
		}
		nodes[id] = n
		wg.Go(func() {
			if err := n.Run(ctx); err != nil {
				tb.Error(err)
			}
		})
	}
	for id := uint64(2); id <= 3; id++ {
		if err := nodes[1].AddLearner(ctx, peer(id)); err != nil {
			tb.Fatal(err)
		}
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		voters := 0
		for _, m := range nodes[1].Status().Members {
			if m.Voter {
				voters++
			}
		}
		if voters == 3 {
			return nodes[1]
		}
		if time.Now().After(end) {
			tb.Fatal("no three voters within 20 s")
		}
	}
}

// BenchmarkPropose is of proposals of 200 bytes by one client, and by a hundred at a time.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			n := benchGroup(b)
			data := make([]byte, 200)
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range clients {
				wg.Go(func() {
					for i := c; i < b.N; i += clients {
						if _, err := n.Propose(b.Context(), data); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proposals/s")
		})
	}
}

// BenchmarkLinearize is of reads by a hundred clients at a time.
func BenchmarkLinearize(b *testing.B) {
	n := benchGroup(b)
	b.SetParallelism(50)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := n.Linearize(b.Context()); err != nil {
				b.Error(err)
			}
		}
	})
}
