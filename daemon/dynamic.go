package daemon

import (
	"context"

	"google.golang.org/grpc"
)

// dynamicDesc returns desc with every call handed to whatever implementation current returns at that moment, or refused with its
// error. The local socket serves the admin API this way: the manager behind it comes and goes with the node's role.
func dynamicDesc(desc grpc.ServiceDesc, current func() (any, error)) *grpc.ServiceDesc {
	out := desc
	out.HandlerType = nil // the placeholder that is registered implements nothing
	out.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		out.Methods[i] = grpc.MethodDesc{
			MethodName: m.MethodName,
			Handler: func(_ any, ctx context.Context, dec func(any) error, in grpc.UnaryServerInterceptor) (any, error) {
				impl, err := current()
				if err != nil {
					return nil, err
				}
				return m.Handler(impl, ctx, dec, in)
			},
		}
	}
	out.Streams = make([]grpc.StreamDesc, len(desc.Streams))
	for i, s := range desc.Streams {
		out.Streams[i] = s
		out.Streams[i].Handler = func(_ any, stream grpc.ServerStream) error {
			impl, err := current()
			if err != nil {
				return err
			}
			return s.Handler(impl, stream)
		}
	}
	return &out
}
