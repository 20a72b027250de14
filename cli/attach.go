package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// attach shows the output of a sandbox that was started, beyond what it had put out before, passes signals on, and ends with the status
// of its command.
func (a *app) attach(ctx context.Context, local pb.LocalClient, s sandboxInfo, before int, remove bool) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // an interrupt is the workload's to handle
	defer cancel()
	stopSignals := forwardSignals(ctx, func(ctx context.Context, name string) error {
		_, err := local.StopSandbox(ctx, &pb.StopSandboxRequest{Ref: string(s.ID), Signal: name})
		return err
	})
	defer stopSignals()
	out, errOut := skipping(before, a.stdout, a.stderr)
	if err := copyLogs(ctx, local, &pb.LogsRequest{Task: string(s.ID), Follow: true}, out, errOut); err != nil {
		return err
	}
	m, err := local.WaitSandbox(ctx, &pb.ObjectRef{Ref: string(s.ID)})
	if err != nil {
		return err
	}
	if s, err = sandboxFrom(m); err != nil {
		return err
	}
	if remove { // now that it has ended: a daemon that went away meanwhile has not ended it
		if err := removeSandbox(ctx, local, s.ID); err != nil {
			return err
		}
	}
	return ended(s)
}

// ended is the workload's status as an exit status of ours. Its error is told only where the command could not be run: the output of
// one that failed speaks for itself.
func ended(s sandboxInfo) error {
	switch code := s.Status.ExitCode; {
	case s.Status.Err != "" && s.Started.IsZero() && code != 0:
		return exitError{errors.New(s.Status.Err), code}
	case s.Status.Err != "" && code == 0:
		return errors.New(s.Status.Err)
	case code != 0:
		return exitStatus(code)
	}
	return nil
}

// forwardSignals hands the signals that end a program to send, until the function that it returns is called.
func forwardSignals(ctx context.Context, send func(ctx context.Context, name string) error) (stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				if sig, ok := s.(syscall.Signal); ok {
					wg.Go(func() { send(ctx, unix.SignalName(sig)) }) //nolint:errcheck // the workload has ended
				}
			}
		}
	})
	return func() {
		signal.Stop(signals)
		cancel()
		wg.Wait()
	}
}

// copyLogs copies the output of a sandbox, as it is.
func copyLogs(ctx context.Context, local pb.LocalClient, req *pb.LogsRequest, stdout, stderr io.Writer) error {
	stream, err := local.Logs(ctx, req)
	if err != nil {
		return err
	}
	for {
		c, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		w := stdout
		if c.GetStderr() {
			w = stderr
		}
		if _, err := w.Write(c.GetData()); err != nil {
			return err
		}
	}
}

// outputSize is how much a sandbox has put out so far, in bytes.
func outputSize(ctx context.Context, local pb.LocalClient, id string) (int, error) {
	var n counter
	err := copyLogs(ctx, local, &pb.LogsRequest{Task: id}, &n, &n)
	return int(n), err
}

type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// skipper drops bytes until as many as are left were written, on whichever of the writers that share it.
type skipper struct {
	left *int
	w    io.Writer
}

// skipping returns writers that drop the first bytes of what is written to both together.
func skipping(n int, stdout, stderr io.Writer) (out, errOut io.Writer) {
	if n == 0 {
		return stdout, stderr
	}
	return skipper{&n, stdout}, skipper{&n, stderr}
}

func (s skipper) Write(b []byte) (int, error) {
	drop := min(*s.left, len(b))
	*s.left -= drop
	if drop == len(b) {
		return len(b), nil
	}
	n, err := s.w.Write(b[drop:])
	return drop + n, err
}
