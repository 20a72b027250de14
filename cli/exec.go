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
	"golang.org/x/term"

	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// execution is a command to be run in a sandbox.
type execution struct {
	ref              string
	command, env     []string
	dir              string
	interactive, tty bool
}

func (a *app) execCmd() *cobra.Command {
	var (
		e   execution
		env []string
	)
	cmd := &cobra.Command{Use: "exec [FLAGS] NAME [--] COMMAND [ARG…]", DisableFlagsInUseLine: true, Short: "Run a command in a sandbox of this node", Args: atLeast("NAME", "COMMAND"),
		Long: `Run a command in a sandbox of this node, a task's too, with the sandbox's network, resolver and hosts file. Ends with the
command's status: 125 for a failure of swarmnet's own, 126 if the command cannot be run, 127 if there is none.

As docker exec, with these differences: the command is a program of this host; SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to it;
there is no --detach, --user and --privileged.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			e.ref, e.command = args[0], args[1:]
			if e.command[0] == "--" { // left where it is, since what follows NAME is not ours
				e.command = e.command[1:]
			}
			if len(e.command) == 0 {
				return ownFailures(usagef("`%s` needs a command after --", cmd.CommandPath()))
			}
			if e.env, err = parse.Env(env, os.LookupEnv); err != nil {
				return ownFailures(usageError{err})
			}
			local, err := a.node(cmd.Context())
			if err != nil {
				return ownFailures(err)
			}
			return ownFailures(a.exec(cmd.Context(), local, e))
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return completeCommand(cmd, args, prefix)
			}
			return a.sandboxNames(nil, prefix, running), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVarP(&e.interactive, "interactive", "i", false, "pass standard input on")
	cmd.Flags().BoolVarP(&e.tty, "tty", "t", false, "give it a terminal")
	cmd.Flags().StringArrayVarP(&env, "env", "e", nil, "KEY=VALUE, or KEY for the value that it has here; repeatable")
	cmd.Flags().StringVarP(&e.dir, "workdir", "w", "", "working directory")
	ownUsage(cmd)
	return cmd
}

// execStream is the client's side of Exec: sends come from several goroutines.
type execStream struct {
	pb.Local_ExecClient
	mu sync.Mutex
}

func (s *execStream) send(m *pb.ExecRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Send(m)
}

// exec runs a command in a sandbox to its end, with this terminal as its own if asked for.
func (a *app) exec(ctx context.Context, local pb.LocalClient, e execution) error {
	// An interrupt is the command's to handle.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	start := &pb.ExecStart{Ref: e.ref, Command: e.command, Env: e.env, Dir: e.dir, Tty: e.tty, Interactive: e.interactive}
	var restore func()
	if e.tty {
		f, ok := a.stdin.(*os.File)
		switch own := ok && term.IsTerminal(int(f.Fd())); {
		case !own && e.interactive:
			return errors.New("-t with -i needs a terminal, and standard input is none: leave -t out")
		case own:
			start.Size = windowSize(f)
			if e.interactive {
				state, err := term.MakeRaw(int(f.Fd()))
				if err != nil {
					return fmt.Errorf("cannot use the terminal: %w", err)
				}
				restore = func() { term.Restore(int(f.Fd()), state) } //nolint:errcheck // nothing can be done
				defer restore()
			}
		}
	}
	client, err := local.Exec(ctx)
	if err != nil {
		return err
	}
	stream := &execStream{Local_ExecClient: client}
	stream.mu.Lock() // a signal waits for the start
	stopSignals := forwardSignals(ctx, func(_ context.Context, name string) error {
		return stream.send(&pb.ExecRequest{Message: &pb.ExecRequest_Signal{Signal: name}})
	})
	err = client.Send(&pb.ExecRequest{Message: &pb.ExecRequest_Start{Start: start}})
	stream.mu.Unlock()
	defer stopSignals()
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the reason is received
		return err
	}
	if start.Size != nil {
		defer a.followSize(ctx, stream)()
	}
	if e.interactive {
		go a.feed(stream) // ends with standard input, or with the program
	}
	return a.collect(stream)
}

// collect copies the command's output until it ends, and returns its end.
func (a *app) collect(stream *execStream) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the daemon ended the session without the command's status: was it stopped? try again")
		}
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *pb.ExecResponse_Stdout:
			_, err = a.stdout.Write(m.Stdout)
		case *pb.ExecResponse_Stderr:
			_, err = a.stderr.Write(m.Stderr)
		case *pb.ExecResponse_Exit:
			code := int(m.Exit.GetCode())
			switch {
			case m.Exit.GetErr() != "" && code == 0:
				return errors.New(m.Exit.GetErr())
			case m.Exit.GetErr() != "":
				return exitError{errors.New(m.Exit.GetErr()), code}
			case code != 0:
				return exitStatus(code)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// feed passes standard input on.
func (a *app) feed(stream *execStream) {
	buf := make([]byte, 32<<10)
	for {
		n, err := a.stdin.Read(buf)
		if n > 0 {
			if stream.send(&pb.ExecRequest{Message: &pb.ExecRequest_Stdin{Stdin: append([]byte(nil), buf[:n]...)}}) != nil {
				return
			}
		}
		if err != nil {
			stream.send(&pb.ExecRequest{Message: &pb.ExecRequest_CloseStdin{CloseStdin: true}}) //nolint:errcheck // the command has ended
			return
		}
	}
}

func windowSize(f *os.File) *pb.WindowSize {
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return nil
	}
	return &pb.WindowSize{Rows: uint32(rows), Columns: uint32(columns)}
}

// followSize tells the command of every change of the terminal's size, until the function that it returns is called.
func (a *app) followSize(ctx context.Context, stream *execStream) func() {
	f, ok := a.stdin.(*os.File)
	if !ok {
		return func() {}
	}
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changes:
				if size := windowSize(f); size != nil {
					stream.send(&pb.ExecRequest{Message: &pb.ExecRequest_Resize{Resize: size}}) //nolint:errcheck // the command has ended
				}
			}
		}
	}()
	return func() {
		signal.Stop(changes)
		cancel()
		<-done
	}
}
