package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func (a *app) attachCmd() *cobra.Command {
	var noStdin bool
	cmd := &cobra.Command{Use: "attach NAME", Short: "Take part in a sandbox of this node that runs: its output, and its input if that is open", Args: exactly("NAME"),
		ValidArgsFunction: a.completeSandboxes(1, running),
		Long: `Take part in a sandbox of this node that runs, a task's too: its command's output from now on, and its input and terminal if it was made
with -i and -t. Interrupts are passed on, and the command's status is ours. On a terminal, Ctrl-P Ctrl-Q leaves it running.

As docker attach, with these differences: the end of standard input ends the command's; there is no --detach-keys and --sig-proxy.`,
		Example: "  swarmnet run -dit --name box -- sh\n  swarmnet attach box",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, local, err := a.sandbox(cmd.Context(), args[0])
			if err == nil {
				err = a.follow(cmd.Context(), local, s, following{interactive: s.Spec.Task.Stdin && !noStdin, detachable: true, fromNow: true})
			}
			return ownFailures(err)
		}}
	cmd.Flags().BoolVar(&noStdin, "no-stdin", false, "do not pass standard input on")
	ownUsage(cmd)
	return cmd
}

// following says how a sandbox is followed that runs, or was just started.
type following struct {
	interactive bool // pass standard input on
	detachable  bool // by keys
	fromNow     bool // else from the start of this run
	before      int  // how much it had put out before this run, in octets
	remove      bool // when it has ended
}

// follow shows the output of a sandbox, passes signals on, and ends with the status of its command.
func (a *app) follow(ctx context.Context, local pb.LocalClient, s sandboxInfo, f following) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // an interrupt is the workload's to handle
	defer cancel()
	task := s.Spec.Task
	err := errAlreadyEnded
	if f.fromNow || task.Stdin || task.TTY {
		err = a.join(ctx, local, s, f)
	}
	switch {
	case errors.Is(err, errDetached):
		fmt.Fprintf(a.stderr, "\r\n%s goes on: `swarmnet attach %s` takes part again\r\n", s.Spec.Name, s.Spec.Name)
		return nil
	case errors.Is(err, errAlreadyEnded) && !f.fromNow:
		err = a.followLog(ctx, local, s, f.before)
	}
	if err != nil {
		return err
	}
	m, err := local.WaitSandbox(ctx, &pb.ObjectRef{Ref: string(s.ID)})
	if err != nil {
		return err
	}
	if s, err = sandboxFrom(m); err != nil {
		return err
	}
	if f.remove { // now that it has ended: a daemon that went away meanwhile has not ended it
		if err := removeSandbox(ctx, local, s.ID); err != nil {
			return err
		}
	}
	return ended(s)
}

var (
	errDetached     = errors.New("detached")
	errAlreadyEnded = errors.New("the command has ended already")
)

// join attaches to a sandbox until its command ends.
func (a *app) join(ctx context.Context, local pb.LocalClient, s sandboxInfo, f following) error {
	task := s.Spec.Task
	err := a.talk(ctx, conversation{
		open:  func(ctx context.Context) (pb.Local_ExecClient, error) { return local.Attach(ctx) },
		start: &pb.ExecStart{Ref: string(s.ID), Tty: task.TTY, Interactive: f.interactive}, detachable: f.detachable && f.interactive && task.TTY,
	})
	var st exitStatus
	switch {
	case errors.As(err, &st):
		return nil // what is told of it afterwards is more
	case status.Code(err) == codes.FailedPrecondition && !f.fromNow:
		return errAlreadyEnded
	}
	return err
}

// followLog follows what a sandbox writes into its log, beyond what it had put out before.
func (a *app) followLog(ctx context.Context, local pb.LocalClient, s sandboxInfo, before int) error {
	stopSignals := forwardSignals(ctx, func(ctx context.Context, name string) error {
		_, err := local.SignalSandbox(ctx, &pb.SignalSandboxRequest{Ref: string(s.ID), Signal: name})
		return err
	})
	defer stopSignals()
	out, errOut := skipping(before, a.stdout, a.stderr)
	return copyLogs(ctx, local, &pb.LogsRequest{Task: string(s.ID), Follow: true}, plainLines(out, errOut))
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
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
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

// plainLines passes the chunks of a log on as they are.
func plainLines(stdout, stderr io.Writer) func(*pb.LogChunk) error {
	return func(c *pb.LogChunk) error {
		w := stdout
		if c.GetStderr() {
			w = stderr
		}
		_, err := w.Write(c.GetData())
		return err
	}
}

// copyLogs hands the output of a sandbox to sink.
func copyLogs(ctx context.Context, local pb.LocalClient, req *pb.LogsRequest, sink func(*pb.LogChunk) error) error {
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
		if err := sink(c); err != nil {
			return err
		}
	}
}

// outputSize is how much a sandbox has put out so far, in bytes.
func outputSize(ctx context.Context, local pb.LocalClient, id string) (int, error) {
	n := 0
	err := copyLogs(ctx, local, &pb.LogsRequest{Task: id}, func(c *pb.LogChunk) error { n += len(c.GetData()); return nil })
	return n, err
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
