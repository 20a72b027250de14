package transport

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet/manager/raftnode"
	swarmnetv1 "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Server receives from the other members. That the caller is a manager is the business of the gRPC server's credentials
// and interceptors.
type Server struct {
	swarmnetv1.UnimplementedRaftServer
	clusterID string
	self      uint64
	receiver  raftnode.Receiver
}

// NewServer makes a server for one member.
func NewServer(clusterID string, self uint64, r raftnode.Receiver) *Server {
	return &Server{clusterID: clusterID, self: self, receiver: r}
}

// Messages hands what arrives to the node.
func (s *Server) Messages(stream swarmnetv1.Raft_MessagesServer) error {
	from := uint64(0)
	for {
		batch, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if from == 0 {
			if err := s.accept(batch.GetClusterId(), batch.GetFrom(), batch.GetTo(), batch.GetFromAddr()); err != nil {
				return err
			}
			from = batch.GetFrom()
		}
		for _, b := range batch.GetMessages() {
			m, err := decode(b, from)
			if err != nil {
				return err
			}
			if err := s.receiver.Step(m); err != nil {
				return refuse(err)
			}
		}
		if batch.GetNoAnswer() {
			continue
		}
		if err := stream.Send(&swarmnetv1.RaftMessagesResponse{}); err != nil {
			return err
		}
	}
}

// accept checks the two ends of a new stream.
func (s *Server) accept(cluster string, from, to uint64, addr string) error {
	switch {
	case cluster != s.clusterID:
		return status.Errorf(codes.FailedPrecondition, "this manager belongs to another cluster")
	case to != s.self || from == 0 || from == s.self:
		return status.Errorf(codes.FailedPrecondition, "this manager is member %x, not %x: the address is another's now", s.self, to)
	}
	s.receiver.Learn(raftnode.Peer{ID: from, Addr: addr})
	return nil
}

// decode returns a message of raft. Nobody speaks for another member, but to have the leader hand over.
func decode(b []byte, from uint64) (*pb.Message, error) {
	m := &pb.Message{}
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "a message of raft: %v", err)
	}
	if m.GetFrom() != from && m.GetType() != pb.MsgTransferLeader {
		return nil, status.Errorf(codes.PermissionDenied, "member %x sent a message of member %x", from, m.GetFrom())
	}
	return m, nil
}

func refuse(err error) error {
	if errors.Is(err, raftnode.ErrStopped) {
		return status.Error(codes.Unavailable, err.Error())
	}
	return status.Error(codes.InvalidArgument, err.Error())
}

// Snapshot hands an image to the node.
func (s *Server) Snapshot(stream swarmnetv1.Raft_SnapshotServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h := first.GetHead()
	if err := s.accept(h.GetClusterId(), h.GetFrom(), h.GetTo(), h.GetFromAddr()); err != nil {
		return err
	}
	m, err := decode(h.GetMessage(), h.GetFrom())
	if err != nil {
		return err
	}
	image := &imageReader{stream: stream, digest: sha256.New()}
	if err := s.receiver.ReceiveSnapshot(stream.Context(), m, image); err != nil {
		return refuse(err)
	}
	return stream.SendAndClose(&swarmnetv1.RaftSnapshotResponse{})
}

// imageReader is the data of a stream of chunks. It ends only after the digest was right.
type imageReader struct {
	stream swarmnetv1.Raft_SnapshotServer
	digest hash.Hash
	rest   []byte
	ended  bool
}

func (r *imageReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		c, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		if r.rest = c.GetData(); len(r.rest) > 0 {
			r.digest.Write(r.rest)
			continue
		}
		if !bytes.Equal(c.GetDigest(), r.digest.Sum(nil)) {
			return 0, fmt.Errorf("the image was changed on its way: %w", io.ErrUnexpectedEOF)
		}
		r.ended = true
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
