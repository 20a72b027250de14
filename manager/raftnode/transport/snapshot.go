package transport

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet/manager/raftnode"
	swarmnetv1 "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

const chunkSize = 64 << 10

func (t *Transport) sendSnapshot(ctx context.Context, to raftnode.Peer, msg *pb.Message, open func() (io.ReadCloser, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	image, err := open()
	if err != nil {
		return err
	}
	defer image.Close()
	late := time.AfterFunc(dialTimeout, cancel)
	defer late.Stop()
	conn, err := t.cfg.Dial(ctx, to.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	s, err := swarmnetv1.NewRaftClient(conn).Snapshot(ctx)
	if err != nil {
		return err
	}
	late.Stop()
	encoded, err := proto.Marshal(msg)
	if err != nil {
		return err
	}
	head := &swarmnetv1.RaftSnapshotHead{
		ClusterId: t.cfg.ClusterID, From: t.cfg.Self.ID, FromAddr: t.cfg.Self.Addr, To: to.ID, Message: encoded,
	}
	send := func(c *swarmnetv1.RaftSnapshotChunk) error {
		err := s.Send(c)
		if errors.Is(err, io.EOF) { // the reason is in the answer
			_, err = s.CloseAndRecv()
		}
		return err
	}
	if err := send(&swarmnetv1.RaftSnapshotChunk{Head: head}); err != nil {
		return err
	}
	digest := sha256.New()
	b := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(image, b)
		if n > 0 {
			if err := t.limit.WaitN(ctx, n); err != nil {
				return err
			}
			digest.Write(b[:n])
			if err := send(&swarmnetv1.RaftSnapshotChunk{Data: b[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := send(&swarmnetv1.RaftSnapshotChunk{Digest: digest.Sum(nil)}); err != nil {
		return err
	}
	_, err = s.CloseAndRecv()
	return err
}
