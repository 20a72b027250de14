package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Where a node's daemon listens and keeps what a reboot may lose, on the node's own /run.
const (
	runDir       = "/run/swarmnet"
	daemonSocket = runDir + "/swarmnet.sock"
)

// daemonProcess is the node's daemon, if it runs.
type daemonProcess struct {
	pid  int
	gone chan struct{} // closed when it has ended
	last string        // how it ended
}

func (n *nodeInit) daemonStatus() DaemonStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	return DaemonStatus{PID: n.daemon.pid, Last: n.daemon.last}
}

// startDaemon starts the daemon and waits until its socket answers.
func (n *nodeInit) startDaemon(args []string) error {
	gone, err := n.forkDaemon(args)
	if err != nil {
		return err
	}
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("unix", daemonSocket); err == nil {
			return conn.Close()
		}
		select {
		case <-gone:
			return fmt.Errorf("the daemon of %s ended at once (%s)%s", n.Name, n.daemonStatus().Last, lastLine(daemonLogPath(n.Dir, n.Name)))
		case <-deadline.C:
			return fmt.Errorf("the daemon of %s does not answer on %s%s", n.Name, daemonSocket, lastLine(daemonLogPath(n.Dir, n.Name)))
		case <-tick.C:
		}
	}
}

func (n *nodeInit) forkDaemon(args []string) (<-chan struct{}, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.daemon.pid != 0 {
		return nil, fmt.Errorf("the daemon of %s runs already", n.Name)
	}
	log, err := os.OpenFile(daemonLogPath(n.Dir, n.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	argv := append([]string{n.Binary, "daemon",
		"--data-dir", filepath.Join(nodeDir(n.Dir, n.Name), "data"), "--run-dir", runDir, "--advertise-addr", n.Addr(n.Name).String()}, args...)
	pid, done, err := n.children.start(n.Binary, argv, &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{null.Fd(), log.Fd(), log.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot start the daemon of %s: %w", n.Name, err)
	}
	gone := make(chan struct{})
	n.daemon = daemonProcess{pid: pid, gone: gone}
	go func() { // ends with the daemon
		status := <-done
		n.mu.Lock()
		n.daemon.pid = 0
		n.daemon.last = fmt.Sprintf("exit status %d", status.ExitStatus())
		if status.Signaled() {
			n.daemon.last = status.Signal().String()
		}
		n.mu.Unlock()
		close(gone)
	}()
	return gone, nil
}

// stopDaemon signals the daemon alone, its workloads go on, and waits until it has ended.
func (n *nodeInit) stopDaemon(sig syscall.Signal) error {
	n.mu.Lock()
	d := n.daemon
	n.mu.Unlock()
	if d.pid == 0 {
		return fmt.Errorf("the daemon of %s does not run", n.Name)
	}
	if err := n.children.signal(d.pid, sig, false); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-d.gone:
		return nil
	case <-time.After(20 * time.Second):
		return fmt.Errorf("the daemon of %s does not end on %v: `lab stop --kill` ends it", n.Name, sig)
	}
}

// lastLine is the end of a log, for an error message.
func lastLine(path string) string {
	b, err := os.ReadFile(path)
	b = bytes.TrimSpace(b)
	if err != nil || len(b) == 0 {
		return ""
	}
	b = b[bytes.LastIndexByte(b, '\n')+1:]
	return ": " + string(b[:min(len(b), 400)])
}
