package daemon

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
)

func (s *localServer) Attach(stream execServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return badRequest(errors.New("the first message of an attachment says to what"))
	}
	a, err := s.d.awaitAgent(stream.Context())
	if err != nil {
		return err
	}
	sb, err := s.find(a, start.GetRef())
	if err != nil {
		return err
	}
	if sb.State != swarmnet.SandboxRunning {
		return notRunning(sb)
	}
	ends := &stdio{typed: make(chan []byte, 64)}
	defer ends.close()
	if err := ends.openOutput(); err != nil {
		ends.closeTheirs()
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	joined, err := a.Join(sb.ID, ends.theirs[1], ends.theirs[2])
	ends.closeTheirs()
	if err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	ends.eof = joined.CloseInput
	if sb.Spec.Task.TTY {
		ends.tty, ends.terminal = true, joined.Input
	}
	switch {
	case start.GetInteractive() && joined.Input == nil:
		return status.Errorf(codes.FailedPrecondition, "the standard input of sandbox %s is not open: it was made without -i", sb.Spec.Name)
	case start.GetInteractive():
		ends.input = joined.Input
	case joined.Input != nil && ends.terminal == nil:
		joined.Input.Close()
	}
	ends.resize(start.GetSize())
	return ends.serve(stream, commanded{joined.Process, func(name string) error { return s.signal(stream.Context(), sb, name) }})
}

// commanded is a process whose signals go through the state of its sandbox.
type commanded struct {
	executor.Process
	signal func(name string) error
}

func (c commanded) Signal(name string) error { return c.signal(name) }

func notRunning(sb swarmnet.Sandbox) error {
	return status.Errorf(codes.FailedPrecondition, "sandbox %s does not run: start it with `swarmnet start %s`", sb.Spec.Name, sb.Spec.Name)
}

// signal sends a sandbox's process a signal. A service's task is signalled too: what becomes of it is its service's policy.
func (s *localServer) signal(ctx context.Context, sb swarmnet.Sandbox, name string) error {
	a, err := s.d.awaitAgent(ctx)
	if err != nil {
		return err
	}
	if err := s.noteSignal(sb, name); err != nil {
		return refusal(err)
	}
	if err := a.Signal(sb.ID, name); err != nil {
		return status.Errorf(codes.FailedPrecondition, "sandbox %s cannot be signalled: %v", sb.Spec.Name, err)
	}
	return nil
}
