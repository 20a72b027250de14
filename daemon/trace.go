package daemon

import (
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/trace"
)

func (s *localServer) Trace(req *pb.TraceRequest, stream grpc.ServerStreamingServer[pb.TraceStep]) error {
	if req.GetFrom() == "" {
		return status.Error(codes.InvalidArgument, "from where? give a task or sandbox of this node")
	}
	if err := trace.ParseTarget(req.GetTo()); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	a, err := s.d.awaitAgent(stream.Context())
	if err != nil {
		return err
	}
	return a.Trace(stream.Context(), req.GetFrom(), req.GetTo(), s.d.elsewhere(), func(st trace.Step) error {
		return stream.Send(&pb.TraceStep{Step: st.Step, Verdict: string(st.Verdict), Found: st.Found, Why: st.Why})
	})
}

// elsewhere is what a manager knows of names that the node's own networks do not have; nil on a worker.
func (d *daemon) elsewhere() func(name string) string {
	m, err := d.manager()
	if err != nil {
		return nil
	}
	return func(name string) string {
		v := m.View()
		if s, ok := v.ServiceByName(name); ok {
			var on []string
			for _, a := range s.Spec.Networks {
				if n, ok := v.Network(a.Network); ok {
					on = append(on, n.Spec.Name)
				}
			}
			return "it is a service on network " + strings.Join(on, ", ") + ", which the sandbox is not on: connect it there"
		}
		if t, r := v.FindTask(name); r == nil && t.Status.State.Terminal() {
			return "it is the name of a task that has ended: it is " + t.Status.State.String()
		}
		return ""
	}
}
