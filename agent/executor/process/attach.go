package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
)

// Attach implements executor.Executor.
func (e *Executor) Attach(id swarmnet.TaskID, stdout, stderr *os.File) (executor.Attachment, error) {
	h, err := e.get(id)
	if err != nil {
		return executor.Attachment{}, err
	}
	x, answer, err := h.askWith(request{Op: "attach"}, writeTimeout, true, stdout, stderr)
	if err != nil {
		closeAll(answer.files)
		return executor.Attachment{}, err
	}
	a := executor.Attachment{Process: attached{x}, CloseInput: func() error { return h.ask(request{Op: "eof"}, writeTimeout) }}
	if len(answer.files) == 1 {
		a.Input = answer.files[0]
	}
	return a, nil
}

// attached is somebody's part in a workload.
type attached struct{ execution }

func (a attached) Signal(name string) error {
	sig, err := parseSignal(name)
	if err != nil {
		return err
	}
	return a.h.ask(request{Op: "signal", Signal: int(sig)}, writeTimeout)
}

func (a attached) Wait(ctx context.Context) int {
	select {
	case code := <-a.exit:
		return code
	case <-ctx.Done():
		a.h.forget(a.seq) // the shim finds out when it next has something to say
		return 0
	}
}

const (
	backlogTime = 10 * time.Second
	backlogSize = 64 << 10
)

// listeners are those that are attached: they get what the command writes. What an interactive command writes in its first seconds is kept for
// the first of them: whoever started it comes a moment later.
type listeners struct {
	mu      sync.Mutex
	to      map[execKey][2]*os.File
	backlog []chunk
	kept    int // octets in backlog
	keep    bool
	writing int // Writes in progress
}

type chunk struct {
	stream int // 0: standard output, 1: standard error
	data   []byte
}

// open is called when the command starts.
func (o *listeners) open(interactive bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to, o.keep = map[execKey][2]*os.File{}, interactive
	if interactive {
		time.AfterFunc(backlogTime, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.keep, o.backlog = false, nil
		})
	}
}

// stream is a writer that never fails: the log goes on whoever is attached.
func (o *listeners) stream(i int) io.Writer { return stream{o, i} }

type stream struct {
	o *listeners
	i int
}

// Write waits for slow readers, as a terminal would.
func (s stream) Write(b []byte) (int, error) {
	o := s.o
	o.mu.Lock()
	if o.keep && o.kept+len(b) <= backlogSize {
		o.backlog, o.kept = append(o.backlog, chunk{s.i, bytes.Clone(b)}), o.kept+len(b)
	}
	to := maps.Clone(o.to)
	o.writing++
	o.mu.Unlock()
	var failed []execKey
	for key, files := range to { // without the lock: end closes what nobody reads
		if _, err := files[s.i].Write(b); err != nil {
			failed = append(failed, key)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing--
	for _, key := range failed {
		o.remove(key)
	}
	return len(b), nil
}

// busy reports whether somebody who is attached has not read everything yet.
func (o *listeners) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writing > 0 && len(o.to) > 0
}

// remove is called with the lock held.
func (o *listeners) remove(key execKey) {
	f := o.to[key]
	closeAll(f[:])
	delete(o.to, key)
}

// add has a client take part, from the start if it is the first. The backlog fits into its pipes.
func (o *listeners) add(key execKey, files [2]*os.File) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil {
		return errGone
	}
	for _, c := range o.backlog {
		if _, err := files[c.stream].Write(c.data); err != nil {
			return err
		}
	}
	o.keep, o.backlog = false, nil
	o.to[key] = files
	return nil
}

// drop lets go of everything that a client attached.
func (o *listeners) drop(c *net.UnixConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.to {
		if key.client == c {
			o.remove(key)
		}
	}
}

// end closes the files of all, and then tells each.
func (o *listeners) end(tell func(execKey)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.to {
		o.remove(key)
		tell(key)
	}
	o.to = nil
}

// attach answers with the input, if it is open.
func (s *shim) attach(c *net.UnixConn, req request, files []*os.File) {
	if len(files) != 2 {
		closeAll(files)
		s.reply(c, req.Seq, fmt.Errorf("attach takes 2 files, %d came", len(files)))
		return
	}
	if err := s.out.add(execKey{c, req.Seq}, [2]*os.File(files)); err != nil {
		closeAll(files)
		s.reply(c, req.Seq, err)
		return
	}
	s.mu.Lock()
	var input []*os.File
	if s.input != nil {
		input = append(input, s.input)
	}
	s.mu.Unlock()
	s.reply(c, req.Seq, nil, input...)
}

// closeInput ends what the command reads; a terminal stays.
func (s *shim) closeInput() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spec.TTY || s.input == nil {
		return nil
	}
	err := s.input.Close()
	s.input = nil
	return err
}

// signalMain is called with the lock held.
func (s *shim) signalMain(sig syscall.Signal) error {
	if s.main == 0 {
		return errGone
	}
	return syscall.Kill(s.main, sig)
}
