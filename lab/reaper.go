package lab

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// children are the processes of a pid 1, which must reap strangers too: whatever loses its parent in its pid namespace becomes its
// child (workloads whose daemon was killed, above all). So all waiting is done here, and os/exec is not used beside it.
type children struct {
	mu      sync.Mutex // held from fork to registration, so that no end is missed
	waiting map[int]chan<- syscall.WaitStatus
}

func newChildren() *children { return &children{waiting: map[int]chan<- syscall.WaitStatus{}} }

// start starts a process; done gets its end.
func (c *children) start(path string, argv []string, attr *syscall.ProcAttr) (pid int, done <-chan syscall.WaitStatus, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pid, err = syscall.ForkExec(path, argv, attr); err != nil {
		return 0, nil, err
	}
	ch := make(chan syscall.WaitStatus, 1)
	c.waiting[pid] = ch
	return pid, ch, nil
}

// signal sends a signal to a child's process group while the child is not yet reaped: a later process of that number is safe.
func (c *children) signal(pid int, s syscall.Signal, group bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.waiting[pid]; !ok {
		return syscall.ESRCH
	}
	if group {
		pid = -pid
	}
	return syscall.Kill(pid, s)
}

// run reaps until stop is closed.
func (c *children) run(stop <-chan struct{}) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGCHLD)
	defer signal.Stop(ch)
	for {
		c.reap()
		select {
		case <-ch:
		case <-stop:
			return
		}
	}
}

func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if ch, ok := c.waiting[pid]; ok {
			delete(c.waiting, pid)
			ch <- status // buffered
		}
	}
}

// exitCode is the status that a shell would give.
func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
