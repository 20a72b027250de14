package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/internal/timerslack"
)

// ShimArg is the first argument of a process that is to be a shim: main hands over to ShimMain before it does anything else.
const ShimArg = "shim"

// listenerFD is the control socket, listening already: the daemon can connect before the shim has begun.
const listenerFD = 3

// drainMost is how long the end waits for somebody who is attached and reads slowly.
const drainMost = time.Minute

// shim holds one workload. It is process 1 of its PID namespace.
type shim struct {
	spec shimSpec
	dns  []*os.File
	log  *logWriter

	mu      sync.Mutex
	rec     record
	clients map[*net.UnixConn]bool
	main    int                             // the command's process id, in this namespace; 0: not running
	probes  map[int]chan syscall.WaitStatus // running health checks and commands of exec, by process id
	execs   map[execKey]int                 // process ids of the commands of exec
	input   *os.File                        // what is written here the command reads, or its terminal; nil: neither
	out     listeners                       // those that are attached
	kill    *time.Timer                     // when a stop's grace ends, which is killAt
	killAt  time.Time
}

// ShimMain is a shim's whole life; args are those after ShimArg. The working directory is the task's. It returns the exit code.
func ShimMain(args []string) int {
	if os.Getpid() != 1 || len(args) != 0 {
		fmt.Fprintln(os.Stderr, "swarmnet shim: only the daemon starts a shim; use `swarmnet run` or `swarmnet service create`")
		return 2
	}
	debug.SetGCPercent(20)                                     // it allocates next to nothing: small counts more than fast
	if err := timerslack.Set(timerslack.Default); err != nil { // the daemon's is not the workload's
		fmt.Fprintln(os.Stderr, "swarmnet shim:", err)
	}
	s := &shim{clients: map[*net.UnixConn]bool{}, probes: map[int]chan syscall.WaitStatus{}, execs: map[execKey]int{}}
	s.rec = record{BootID: bootID(), Phase: executor.Starting}
	if pid, err := os.Readlink("/proc/self"); err == nil { // still the daemon's /proc, so the daemon's number
		s.rec.ShimPID, _ = strconv.Atoi(pid)
	}
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "swarmnet shim:", err)
		s.end(125, err.Error())
		return 1
	}
	return 0
}

func (s *shim) run() error {
	l, err := net.FileListener(os.NewFile(listenerFD, "control"))
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if err := readJSON(specFile, &s.spec); err != nil {
		return err
	}
	s.rec.Run = s.spec.Run
	children, err := os.OpenRoot("/proc/self/task") // before a new /proc hides it: see daemonPID
	if err != nil {
		return err
	}
	if s.spec.DNS.IsValid() {
		if s.dns, err = openDNS(s.spec.DNS); err != nil {
			return err
		}
	}
	if s.log, err = newLogWriter(logFile); err != nil {
		return err
	}
	if err := s.save(false); err != nil {
		return err
	}
	go s.accept(l.(*net.UnixListener))
	s.onSignals()

	if err := syscall.Sethostname([]byte(s.spec.Hostname)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := mountEtc(dir); err != nil {
		return err
	}
	output, code, err := s.start(children)
	if err != nil {
		s.end(code, err.Error())
		return nil
	}
	debug.FreeOSMemory()
	status := s.reap()
	s.killAll()
	for since := time.Now(); !output.wait(2*time.Second) && s.out.busy() && time.Since(since) < drainMost; {
	}
	s.out.end(func(key execKey) { s.say(key.client, message{Exec: key.seq, Code: exitCode(status)}) })
	s.end(exitCode(status), "")
	return nil
}

// onSignals takes a signal from the outside (a host that shuts down) for a wish to stop. Notified signals, other than ignored
// ones, are not inherited by the command.
func (s *shim) onSignals() {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		for range ch {
			s.stop(syscall.SIGTERM, 10*time.Second)
		}
	}()
}

// end writes the last record, tells it and lets go of all clients.
func (s *shim) end(code int, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	closeAll(s.dns) // whoever hears of the end may start another shim in the same sandbox
	s.dns = nil
	s.rec.Phase, s.rec.ExitCode, s.rec.Err, s.rec.EndedAt = executor.Ended, code, why[:min(len(why), maxErr)], time.Now()
	if err := s.save(true); err != nil {
		fmt.Fprintln(os.Stderr, "swarmnet shim:", err)
	}
	s.tell()
	for c := range s.clients {
		c.Close()
	}
}

// save writes the record. A failure of the last word is told on the control socket nevertheless.
func (s *shim) save(sync bool) error { return writeJSON(recordFile, s.rec, sync) }

// tell sends the record to every client; one that does not take it is dropped, it reads state.json instead.
func (s *shim) tell() {
	for c := range s.clients {
		if err := send(c, message{Record: &s.rec}); err != nil {
			c.Close()
			delete(s.clients, c)
		}
	}
}

func (s *shim) accept(l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		s.mu.Lock()
		if err := send(c, message{Record: &s.rec}, s.dns...); err == nil && s.rec.Phase != executor.Ended {
			s.clients[c] = true
			go s.serve(c)
		} else {
			c.Close()
		}
		s.mu.Unlock()
	}
}

// serve answers one client until it goes away.
func (s *shim) serve(c *net.UnixConn) {
	defer func() {
		s.mu.Lock()
		delete(s.clients, c)
		s.mu.Unlock()
		s.killExecs(c)
		s.out.drop(c)
		c.Close()
	}()
	for {
		var req request
		files, err := receive(c, &req, maxRequest)
		if req.Op != "exec" && req.Op != "attach" || err != nil {
			closeAll(files)
		}
		if err != nil {
			var bad *json.SyntaxError
			if errors.As(err, &bad) {
				continue
			}
			return
		}
		switch req.Op {
		case "stop":
			s.stop(syscall.Signal(req.Signal), req.Grace)
			s.reply(c, req.Seq, nil)
		case "probe":
			go func() { s.reply(c, req.Seq, s.probe(req)) }()
		case "exec":
			go s.exec(c, req, files)
		case "attach":
			go s.attach(c, req, files)
		case "eof":
			s.reply(c, req.Seq, s.closeInput())
		case "signal":
			s.reply(c, req.Seq, s.signalExec(c, req))
		default:
			s.reply(c, req.Seq, fmt.Errorf("a shim of this version does not know %q", req.Op))
		}
	}
}

func (s *shim) reply(c *net.UnixConn, seq uint64, err error, files ...*os.File) {
	m := message{Reply: seq}
	if err != nil {
		m.Err = err.Error()
	}
	s.say(c, m, files...)
}

func (s *shim) say(c *net.UnixConn, m message, files ...*os.File) {
	m.Err = m.Err[:min(len(m.Err), maxErr)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if send(c, m, files...) != nil {
		c.Close()
	}
}
