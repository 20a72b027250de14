package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/grpc"

	"github.com/swarmnet/swarmnet/manager/raftnode"
	"github.com/swarmnet/swarmnet/manager/raftnode/transport"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
	swarmnetv1 "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// A server answers what asks for it, and nothing else.
func TestServerAnswersWhoAsks(t *testing.T) {
	h := &host{id: 1, fs: vfs.NewMem()}
	h.up(t, true)
	conn, err := connect(t.Context(), h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := swarmnetv1.NewRaftClient(conn).Messages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := &swarmnetv1.RaftMessages{ClusterId: cluster, From: 2, To: 1, NoAnswer: true}
	for _, b := range []*swarmnetv1.RaftMessages{first, {NoAnswer: true}, {}, {NoAnswer: true}} {
		if err := s.Send(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after one question there is a second answer, or %v", err)
	}
}

// A sender asks with its first batch, then no more until it has an answer; one that gets none takes the connection for dead.
func TestSenderAsksOnceAndGivesUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mute := &mute{got: make(chan *swarmnetv1.RaftMessages, 16)}
	srv := grpc.NewServer()
	swarmnetv1.RegisterRaftServer(srv, mute)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	tr := transport.New(transport.Config{ClusterID: cluster, Self: raftnode.Peer{ID: 1}, Dial: connect})
	ctx, cancel := context.WithCancel(t.Context())
	lost := &losses{lost: make(chan uint64, 16)}
	ran := make(chan error, 1)
	go func() { ran <- tr.Run(ctx, lost) }()
	defer func() {
		cancel()
		<-ran
		srv.Stop()
		<-served
	}()
	send := func() *swarmnetv1.RaftMessages {
		from, to := uint64(1), uint64(2)
		for {
			tr.Send(raftnode.Peer{ID: 2, Addr: l.Addr().String()}, []*pb.Message{{Type: pb.MsgHeartbeat.Enum(), From: &from, To: &to}})
			select {
			case b := <-mute.got:
				return b
			case <-time.After(10 * time.Millisecond): // the transport does not run yet
			}
		}
	}
	if b := send(); b.GetNoAnswer() {
		t.Error("the first batch asks for no answer")
	}
	if b := send(); !b.GetNoAnswer() && b.GetClusterId() == "" { // with its name, it is the first of another stream
		t.Error("the second batch asks although the first has no answer yet")
	}
	select {
	case id := <-lost.lost:
		if id != 2 {
			t.Errorf("member %d is unreachable", id)
		}
	case <-time.After(20 * time.Second):
		t.Error("a connection without answers does not pass for dead")
	}
}

// mute takes messages and answers none.
type mute struct {
	swarmnetv1.UnimplementedRaftServer
	got chan *swarmnetv1.RaftMessages
}

func (m *mute) Messages(s swarmnetv1.Raft_MessagesServer) error {
	for {
		b, err := s.Recv()
		if err != nil {
			return err
		}
		select {
		case m.got <- b:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

// losses is told of unreachable members, and of nothing else.
type losses struct {
	raftnode.Receiver
	lost chan uint64
}

func (l *losses) Unreachable(id uint64) {
	select {
	case l.lost <- id:
	default:
	}
}
