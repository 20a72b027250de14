package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
)

var errGone = errors.New("the task has ended")

// holding is what the daemon knows of one shim: what the shim last said, and the connection to it.
type holding struct {
	id   swarmnet.TaskID
	dir  string
	conn *net.UnixConn // nil: the shim was gone before

	gone chan struct{} // closed when the shim is

	mu      sync.Mutex
	rec     record
	dns     []*os.File
	seq     uint64
	replies map[uint64]chan reply
	execs   map[uint64]chan int // exit statuses to come, by the number of the request
	closing bool
	news    chan struct{} // closed at the next change of rec
}

// reply is the answer to a request, with the files that came with it.
type reply struct {
	err   error
	files []*os.File
}

func newHolding(id swarmnet.TaskID, dir string, conn *net.UnixConn) *holding {
	return &holding{id: id, dir: dir, conn: conn, gone: make(chan struct{}), replies: map[uint64]chan reply{}, execs: map[uint64]chan int{}, news: make(chan struct{})}
}

// hello reads the shim's first word.
func (h *holding) hello() error {
	if err := h.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	var m message
	files, err := receive(h.conn, &m, maxMessage)
	if err != nil {
		return err
	}
	if m.Record == nil || len(files) != 0 && len(files) != 2 {
		closeAll(files)
		return errors.New("the shim speaks another language")
	}
	h.rec, h.dns = *m.Record, files
	return h.conn.SetReadDeadline(time.Time{})
}

// follow reads until the shim is gone or let go of.
func (h *holding) follow(changed func()) {
	changed()
	for {
		var m message
		files, err := receive(h.conn, &m, maxMessage)
		h.mu.Lock()
		switch {
		case h.closing:
			h.mu.Unlock()
			return
		case err != nil:
			shim := h.rec.ShimPID
			h.mu.Unlock()
			go reapShim(shim) // its connection has ended, and with it, or in a moment, it has
			rec, recErr := readRecord(h.dir)
			if recErr != nil {
				rec = record{Err: recErr.Error()}
			}
			h.finish(rec)
			changed()
			return
		case m.Record != nil:
			h.set(*m.Record)
			h.mu.Unlock()
			changed()
		case m.Exec != 0:
			if ch := h.execs[m.Exec]; ch != nil {
				delete(h.execs, m.Exec)
				ch <- m.Code
			}
			h.mu.Unlock()
		default:
			if ch := h.replies[m.Reply]; ch != nil {
				delete(h.replies, m.Reply)
				answer := reply{files: files}
				if m.Err != "" {
					answer.err = errors.New(m.Err)
				}
				ch <- answer
				files = nil
			}
			h.mu.Unlock()
		}
		closeAll(files) // nobody waits for them
	}
}

// finish takes down the last record of a shim that is gone.
func (h *holding) finish(rec record) {
	if rec.Phase != executor.Ended {
		rec.Phase = executor.Lost
		if rec.BootID != bootID() {
			rec.Err = "the node was restarted"
		} else if rec.Err == "" {
			rec.Err = "the process that held the task was killed"
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set(rec)
	h.release()
	close(h.gone)
}

// release is called with the lock held.
func (h *holding) release() {
	closeAll(h.dns)
	h.dns = nil
	for seq, ch := range h.replies {
		delete(h.replies, seq)
		ch <- reply{err: errGone}
	}
	for seq, ch := range h.execs {
		delete(h.execs, seq)
		ch <- 128 + int(syscall.SIGKILL)
	}
	if h.conn != nil {
		h.conn.Close()
	}
}

func (h *holding) letGo() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closing = true
	h.release()
}

// set is called with the lock held.
func (h *holding) set(rec record) {
	h.rec = rec
	close(h.news)
	h.news = make(chan struct{})
}

func (h *holding) status() executor.Status {
	st, _ := h.watch()
	return st
}

// watch returns the status and a channel that is closed when it changes.
func (h *holding) watch() (executor.Status, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rec
	return executor.Status{
		ID: h.id, Run: r.Run, Phase: r.Phase, PID: r.PID, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
		ExitCode: r.ExitCode, Err: r.Err, Stopping: r.Stopping,
	}, h.news
}

// ask sends a request and waits for its answer.
func (h *holding) ask(req request, timeout time.Duration) error {
	_, answer, err := h.askWith(req, timeout, false)
	closeAll(answer.files)
	return err
}

// askWith sends files along. With exec, the exit status of a command will arrive. The caller closes the files of the answer.
func (h *holding) askWith(req request, timeout time.Duration, exec bool, files ...*os.File) (execution, reply, error) {
	answer := make(chan reply, 1)
	h.mu.Lock()
	if h.conn == nil || h.rec.Phase >= executor.Ended {
		h.mu.Unlock()
		return execution{}, reply{}, errGone
	}
	h.seq++
	req.Seq = h.seq
	h.replies[req.Seq] = answer
	var exit chan int
	if exec {
		exit = make(chan int, 1)
		h.execs[req.Seq] = exit
	}
	err := send(h.conn, req, files...)
	if err != nil {
		delete(h.replies, req.Seq)
		delete(h.execs, req.Seq)
	}
	h.mu.Unlock()
	if err != nil {
		return execution{}, reply{}, err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case got := <-answer:
		if got.err != nil && exec {
			h.forget(req.Seq)
		}
		return execution{h, req.Seq, exit}, got, got.err
	case <-timer.C:
		h.mu.Lock()
		delete(h.replies, req.Seq)
		delete(h.execs, req.Seq)
		h.mu.Unlock()
		return execution{}, reply{}, fmt.Errorf("the shim of task %s did not answer within %s", swarmnet.ShortID(h.id), timeout)
	}
}

// forget waits for no exit status any more.
func (h *holding) forget(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.execs, seq)
}

func (h *holding) sockets() (*executor.Sockets, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.dns) != 2 {
		return nil, fmt.Errorf("task %s has no resolver sockets", swarmnet.ShortID(h.id))
	}
	dup := make([]*os.File, 2)
	for i, f := range h.dns {
		fd, err := syscall.Dup(int(f.Fd()))
		if err != nil {
			closeAll(dup[:i])
			return nil, err
		}
		syscall.CloseOnExec(fd)
		dup[i] = os.NewFile(uintptr(fd), f.Name())
	}
	return executor.NewSockets(dup[0], dup[1])
}

// kill ends the workload at once and waits until its shim is gone.
func (h *holding) kill(ctx context.Context) error {
	if err := h.ask(request{Op: "stop", Signal: int(syscall.SIGKILL)}, writeTimeout); err != nil && !errors.Is(err, errGone) {
		h.killShim()
	}
	if h.conn == nil {
		return nil
	}
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	for {
		select {
		case <-h.gone:
			return nil
		case <-timer.C:
			h.killShim()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// killShim kills the shim, and with it all of its PID namespace. The open connection vouches for the process id.
func (h *holding) killShim() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.gone:
		return
	default:
	}
	if h.rec.ShimPID > 1 {
		_ = syscall.Kill(h.rec.ShimPID, syscall.SIGKILL)
	}
}
