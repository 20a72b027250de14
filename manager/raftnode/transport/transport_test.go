package transport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/swarmnet/swarmnet/manager/raftnode"
	"github.com/swarmnet/swarmnet/manager/raftnode/transport"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
	swarmnetv1 "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// counter is a state machine that holds what was proposed, each once.
type counter struct {
	mu   sync.Mutex
	Seen map[string]bool
}

func (c *counter) Apply(es []raftnode.Entry) ([]any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]any, len(es))
	for i, e := range es {
		c.Seen[string(e.Data)] = true
		out[i] = len(c.Seen)
	}
	return out, nil
}

func (c *counter) Snapshot() (io.WriterTo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, err := json.Marshal(c.Seen)
	return bytes.NewBuffer(b), err
}

func (c *counter) Restore(r io.Reader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Seen = map[string]bool{}
	return json.NewDecoder(r).Decode(&c.Seen)
}

func (c *counter) has(s string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Seen[s]
}

// host is a node with its gRPC server on a loopback address.
type host struct {
	id    uint64
	addr  string
	fs    vfs.FS
	state *counter
	node  *raftnode.Node
	end   func() error
}

const cluster = "c"

func peer(h *host) raftnode.Peer {
	return raftnode.Peer{ID: h.id, NodeID: fmt.Sprint("m", h.id), Addr: h.addr}
}

// up starts a host, on its address of before when it had one.
func (h *host) up(t *testing.T, bootstrap bool) {
	t.Helper()
	listen := "127.0.0.1:0"
	if h.addr != "" {
		listen = h.addr
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	h.addr, h.state = l.Addr().String(), &counter{Seen: map[string]bool{}}
	tr := transport.New(transport.Config{ClusterID: cluster, Self: peer(h), Dial: connect})
	h.node, err = raftnode.Open(raftnode.Config{
		ID: h.id, NodeID: peer(h).NodeID, Addr: h.addr, ClusterID: cluster, FS: h.fs, Dir: "raft", Key: make([]byte, 32),
		StateMachine: h.state, Transport: tr, Bootstrap: bootstrap,
		TickInterval: 20 * time.Millisecond, HeartbeatTicks: 3, SnapshotEvery: 50, SegmentSize: 1 << 16,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	swarmnetv1.RegisterRaftServer(srv, transport.NewServer(cluster, h.id, h.node))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- srv.Serve(l) }()
	go func() { done <- h.node.Run(ctx) }()
	h.end = sync.OnceValue(func() error {
		cancel()
		srv.Stop()
		return errors.Join(<-done, <-done)
	})
	t.Cleanup(func() { h.end() })
}

func connect(_ context.Context, addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

func TestGroupOverGRPC(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	hosts := map[uint64]*host{}
	for id := uint64(1); id <= 3; id++ {
		hosts[id] = &host{id: id, fs: vfs.NewMem()}
		hosts[id].up(t, id == 1)
	}
	defer func() {
		for _, h := range hosts {
			if err := h.end(); err != nil {
				t.Errorf("node %d: %v", h.id, err)
			}
		}
	}()
	propose := func(h *host, s string) {
		t.Helper()
		if _, err := h.node.Propose(ctx, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	// Enough for snapshots, so that those who join get one.
	for i := range 200 {
		propose(hosts[1], fmt.Sprint("a", i))
	}
	for id := uint64(2); id <= 3; id++ {
		if err := hosts[1].node.AddLearner(ctx, peer(hosts[id])); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range hosts {
		within(t, fmt.Sprintf("node %d sees three voters", h.id), func() bool {
			n := 0
			for _, m := range h.node.Status().Members {
				if m.Voter {
					n++
				}
			}
			return n == 3
		})
		if !h.state.has("a199") {
			t.Errorf("node %d votes and lacks entries", h.id)
		}
	}

	var wg sync.WaitGroup
	for _, h := range hosts {
		for i := range 100 {
			wg.Go(func() {
				if _, err := h.node.Propose(ctx, fmt.Appendf(nil, "b%d-%d", h.id, i)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for _, h := range hosts {
		if err := h.node.Linearize(ctx); err != nil {
			t.Fatal(err)
		}
		for id := range hosts {
			if !h.state.has(fmt.Sprintf("b%d-99", id)) {
				t.Errorf("node %d is linearized and lacks an entry of %d", h.id, id)
			}
		}
	}

	// The leader goes; the others go on; it comes back and catches up.
	old := hosts[hosts[2].node.Status().Leader]
	if err := old.end(); err != nil {
		t.Fatal(err)
	}
	next := hosts[old.id%3+1]
	propose(next, "c")
	if l := next.node.Status().Leader; l == old.id || l == 0 {
		t.Errorf("the leader is %d", l)
	}
	old.up(t, false)
	within(t, "the old leader has what it missed", func() bool { return old.state.has("c") && old.state.has("a0") })
	propose(old, "d")

	if err := next.node.TransferLeadership(ctx, old.id); err != nil {
		t.Fatal(err)
	}
	within(t, "it leads", func() bool {
		select {
		case c := <-old.node.Leadership():
			return c.IsLeader && c.Leader == old.id
		default:
			return false
		}
	})
	if err := old.node.Remove(ctx, old.id); err != nil {
		t.Fatal(err)
	}
	within(t, "two are left", func() bool { return len(next.node.Status().Members) == 2 })
	within(t, "a removed node stops", func() bool {
		_, err := old.node.Propose(ctx, []byte("e"))
		if !errors.Is(err, raftnode.ErrRemoved) && !errors.Is(err, raftnode.ErrStopped) {
			t.Fatalf("a removed node proposes: %v", err)
		}
		return errors.Is(err, raftnode.ErrStopped)
	})
	if err := old.end(); !errors.Is(err, raftnode.ErrRemoved) {
		t.Errorf("a removed node ends with %v", err)
	}
	delete(hosts, old.id)
	propose(next, "f")
}

// A stream that names another cluster or another receiver is refused.
func TestServerRefusesStrangers(t *testing.T) {
	h := &host{id: 1, fs: vfs.NewMem()}
	h.up(t, true)
	conn, err := connect(t.Context(), h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, first := range []*swarmnetv1.RaftMessages{
		{ClusterId: "other", From: 2, To: 1},
		{ClusterId: cluster, From: 2, To: 3},
		{ClusterId: cluster, From: 1, To: 1},
		{ClusterId: cluster, From: 2, To: 1, Messages: [][]byte{{0xff}}},
		{ClusterId: cluster, From: 2, To: 1, Messages: [][]byte{{}}},
	} {
		s, err := swarmnetv1.NewRaftClient(conn).Messages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(first); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err == nil {
			t.Errorf("%v was accepted", first)
		}
	}
}
