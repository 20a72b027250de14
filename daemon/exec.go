package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/executor/process"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

type execServer = grpc.BidiStreamingServer[pb.ExecRequest, pb.ExecResponse]

func (s *localServer) Exec(stream execServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return badRequest(errors.New("the first message of an exec says what to start"))
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
	ends, err := openStdio(start)
	if err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	defer ends.close()
	x := executor.Exec{Command: start.GetCommand(), Env: start.GetEnv(), Dir: start.GetDir(), User: start.GetUser(), TTY: start.GetTty(), Stdin: ends.theirs[0], Stdout: ends.theirs[1], Stderr: ends.theirs[2]}
	p, err := a.Exec(sb.ID, x)
	ends.closeTheirs()
	switch {
	case errors.Is(err, executor.ErrNotFound):
		return exit(stream, 127, err.Error())
	case errors.Is(err, executor.ErrNotExecutable):
		return exit(stream, 126, err.Error())
	case err != nil:
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return ends.serve(stream, p)
}

// serve joins the stream and the process until either ends.
func (s *stdio) serve(stream execServer, p executor.Process) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() { // ends with the stream: Recv then fails
		if err := s.take(stream, p); err != nil {
			cancel()
		}
	}()
	go s.feed(ctx) // ends with ctx: close frees it from a Write
	copied := s.send(stream)
	code := p.Wait(ctx)
	s.drain()
	copied.Wait()
	if err := stream.Context().Err(); err != nil {
		return err
	}
	return exit(stream, code, "")
}

func exit(stream execServer, code int, why string) error {
	return stream.Send(&pb.ExecResponse{Message: &pb.ExecResponse_Exit{Exit: &pb.ExecExit{Code: int32(code), Err: why}}})
}

// stdio are both ends of a command's standard files.
type stdio struct {
	tty      bool
	theirs   [3]*os.File  // the command's ends
	terminal *os.File     // with tty, what is resized
	input    *os.File     // where what it reads is written; nil: it reads nothing
	eof      func() error // ends what it reads, beyond closing input; nil: that does
	typed    chan []byte  // on its way to input: a command that does not read must not keep signals from it
	ended    atomic.Bool  // the command has
	output   []*os.File   // what it writes: standard output, and standard error unless both are one terminal
	mu       sync.Mutex   // held around sends: two outputs, one stream
}

func openStdio(start *pb.ExecStart) (s *stdio, err error) {
	s = &stdio{tty: start.GetTty(), typed: make(chan []byte, 64)}
	defer func() {
		if err != nil {
			s.closeTheirs()
			s.close()
		}
	}()
	if s.tty {
		master, tty, err := process.OpenTerminal()
		if err != nil {
			return s, err
		}
		s.theirs = [3]*os.File{tty, tty, tty}
		s.output, s.terminal = []*os.File{master}, master
		if start.GetInteractive() {
			s.input = master
		}
		s.resize(start.GetSize())
		return s, nil
	}
	if !start.GetInteractive() {
		if s.theirs[0], err = os.Open(os.DevNull); err != nil {
			return s, err
		}
	} else if s.theirs[0], s.input, err = os.Pipe(); err != nil {
		return s, err
	}
	return s, s.openOutput()
}

func (s *stdio) openOutput() error {
	for i := 1; i < 3; i++ {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		s.theirs[i], s.output = w, append(s.output, r)
	}
	return nil
}

func (s *stdio) resize(w *pb.WindowSize) {
	if s.terminal != nil && w.GetRows() != 0 {
		_ = process.ResizeTerminal(s.terminal, uint16(w.GetRows()), uint16(w.GetColumns())) // it has ended
	}
}

func (s *stdio) closeTheirs() {
	for _, f := range s.theirs {
		if f != nil {
			f.Close()
		}
	}
}

func (s *stdio) close() {
	for _, f := range []*os.File{s.input, s.terminal} {
		if f != nil {
			f.Close()
		}
	}
	for _, f := range s.output {
		f.Close()
	}
}

// drain bounds how long output is read after the command's end: something that it started may hold the files open, and is nobody's to
// wait for.
func (s *stdio) drain() {
	s.ended.Store(true)
	for _, f := range s.output {
		_ = f.SetReadDeadline(time.Now().Add(drainTime))
	}
}

// send copies the command's output to the client until it has all closed.
func (s *stdio) send(stream execServer) *sync.WaitGroup {
	var wg sync.WaitGroup
	for i, f := range s.output {
		wg.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				if s.ended.Load() {
					_ = f.SetReadDeadline(time.Now().Add(drainTime)) // the client may be slow: what is there is still its
				}
				n, err := f.Read(buf)
				if n > 0 {
					m := &pb.ExecResponse{Message: &pb.ExecResponse_Stdout{Stdout: buf[:n]}}
					if i == 1 {
						m.Message = &pb.ExecResponse_Stderr{Stderr: buf[:n]}
					}
					s.mu.Lock()
					sendErr := stream.Send(m)
					s.mu.Unlock()
					if sendErr != nil {
						return
					}
				}
				if err != nil {
					return // the end; of a terminal, EIO
				}
			}
		})
	}
	return &wg
}

// take carries out what the client says, until it has no more to say (nil) or is gone.
func (s *stdio) take(stream execServer, p executor.Process) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *pb.ExecRequest_Stdin:
			s.queue(stream.Context(), m.Stdin)
		case *pb.ExecRequest_CloseStdin:
			s.queue(stream.Context(), nil)
		case *pb.ExecRequest_Resize:
			s.resize(m.Resize)
		case *pb.ExecRequest_Signal:
			_ = p.Signal(m.Signal) // one that has ended hears none
		}
	}
}

// queue hands on what the command is to read; nil: the end.
func (s *stdio) queue(ctx context.Context, b []byte) {
	select {
	case s.typed <- b:
	case <-ctx.Done():
	}
}

// feed writes what was queued until its end or ctx's. A command that reads no more is no error.
func (s *stdio) feed(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-s.typed:
			switch {
			case s.input == nil || b == nil && s.tty:
			case b == nil:
				s.input.Close()
				if s.eof != nil {
					_ = s.eof() // it has ended
				}
			default:
				_, _ = s.input.Write(b)
			}
		}
	}
}

const drainTime = 500 * time.Millisecond
