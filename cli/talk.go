package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/term"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// execStream is the client's side of Exec and of Attach: sends come from several goroutines.
type execStream struct {
	pb.Local_ExecClient
	mu sync.Mutex
}

func (s *execStream) send(m *pb.ExecRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Send(m)
}

// conversation is an Exec or an Attach with standard input, output and signals passed on.
type conversation struct {
	open       func(context.Context) (pb.Local_ExecClient, error)
	start      *pb.ExecStart
	detachable bool
}

// talk goes on until the command ends, with this terminal as its own if it has one.
func (a *app) talk(ctx context.Context, c conversation) error {
	// An interrupt is the command's to handle.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if c.start.GetTty() {
		restore, err := a.handOver(c.start)
		if err != nil {
			return err
		}
		defer restore()
	}
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	stream := &execStream{Local_ExecClient: client}
	stream.mu.Lock() // a signal waits for the start
	stopSignals := forwardSignals(ctx, func(_ context.Context, name string) error {
		return stream.send(&pb.ExecRequest{Message: &pb.ExecRequest_Signal{Signal: name}})
	})
	err = client.Send(&pb.ExecRequest{Message: &pb.ExecRequest_Start{Start: c.start}})
	stream.mu.Unlock()
	defer stopSignals()
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the reason is received
		return err
	}
	if c.start.Size != nil {
		defer a.followSize(ctx, stream)()
	}
	var keys detachKeys
	if c.start.GetInteractive() {
		go func() { // ends with standard input, or with the program
			if a.feed(stream, c.detachable, &keys) {
				cancel()
			}
		}()
	}
	err = a.collect(stream)
	if keys.seen.Load() {
		return errDetached
	}
	return err
}

// handOver makes this terminal the command's, until the function that it returns is called.
func (a *app) handOver(start *pb.ExecStart) (restore func(), err error) {
	f, ok := a.stdin.(*os.File)
	own := ok && term.IsTerminal(int(f.Fd()))
	switch {
	case !own && start.GetInteractive():
		return nil, errors.New("-t with -i needs a terminal, and standard input is none: leave -t out")
	case !own:
		return func() {}, nil
	}
	start.Size = windowSize(f)
	if !start.GetInteractive() {
		return func() {}, nil
	}
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("cannot use the terminal: %w", err)
	}
	return func() { term.Restore(int(f.Fd()), state) }, nil //nolint:errcheck // nothing can be done
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

// detachKeys finds Ctrl-P Ctrl-Q in what is typed.
type detachKeys struct {
	held bool // a Ctrl-P, until the next key
	seen atomic.Bool
}

// pass returns what of the input goes to the command.
func (k *detachKeys) pass(in []byte) []byte {
	const ctrlP, ctrlQ = 0x10, 0x11
	out := make([]byte, 0, len(in)+1)
	for _, b := range in {
		switch {
		case k.held && b == ctrlQ:
			k.seen.Store(true)
			return out
		case k.held:
			out = append(out, ctrlP)
		}
		if k.held = b == ctrlP; !k.held {
			out = append(out, b)
		}
	}
	return out
}

// feed passes standard input on. It reports whether the keys to detach were typed.
func (a *app) feed(stream *execStream, detachable bool, keys *detachKeys) bool {
	buf := make([]byte, 32<<10)
	for {
		n, err := a.stdin.Read(buf)
		in := bytes.Clone(buf[:n])
		if detachable {
			in = keys.pass(in)
		}
		if len(in) > 0 && stream.send(&pb.ExecRequest{Message: &pb.ExecRequest_Stdin{Stdin: in}}) != nil {
			return false
		}
		if keys.seen.Load() {
			return true
		}
		if err != nil {
			stream.send(&pb.ExecRequest{Message: &pb.ExecRequest_CloseStdin{CloseStdin: true}}) //nolint:errcheck // the command has ended
			return false
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
