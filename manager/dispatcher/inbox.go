package dispatcher

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// inbox receives an agent's messages. Its goroutine ends with the stream.
type inbox struct {
	msgs chan *pb.AgentMessage
	errs chan error
}

func newInbox(ctx context.Context, stream pb.Dispatcher_SessionServer) *inbox {
	in := &inbox{msgs: make(chan *pb.AgentMessage), errs: make(chan error, 1)}
	go func() {
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				err = status.Error(codes.Canceled, "the agent has closed the session")
			}
			if err != nil {
				in.errs <- err
				return
			}
			select {
			case in.msgs <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	return in
}

// hello waits for the message that an agent must begin with.
func (in *inbox) hello(ctx context.Context) (*pb.Hello, error) {
	timeout := time.NewTimer(helloTimeout)
	defer timeout.Stop()
	select {
	case m := <-in.msgs:
		if h := m.GetHello(); h != nil {
			return h, nil
		}
		return nil, status.Error(codes.InvalidArgument, "a session begins with Hello")
	case err := <-in.errs:
		return nil, err
	case <-timeout.C:
		return nil, status.Error(codes.DeadlineExceeded, "the agent did not say Hello")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
