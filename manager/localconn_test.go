package manager

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func (l localConn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	if method != pb.CA_AdminCert_FullMethodName {
		return errors.New("only AdminCert is called so")
	}
	c, err := l.call(ctx, args.(*pb.RenewRequest))
	if err != nil {
		return err
	}
	proto.Merge(reply.(proto.Message), c)
	return nil
}

func (l localConn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("no streams here")
}
