package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// probe carries out one health check in the sandbox.
func (s *shim) probe(req request) error {
	if req.Addr != "" {
		c, err := net.DialTimeout("tcp", req.Addr, req.Timeout)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return s.probeCommand(req.Command, req.Timeout)
}

func (s *shim) probeCommand(command []string, timeout time.Duration) error {
	spec := s.spec
	spec.Command = command
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	ended := make(chan syscall.WaitStatus, 1)

	s.mu.Lock()
	if s.main == 0 {
		s.mu.Unlock()
		return errors.New("the command does not run")
	}
	path, _, err := lookup(spec)
	var pid int
	if err == nil {
		pid, err = forkQuiet(path, spec, null, null)
	}
	if err != nil {
		s.mu.Unlock()
		return err
	}
	s.probes[pid] = ended
	s.mu.Unlock()

	select {
	case ws := <-ended:
		if code := exitCode(ws); code != 0 {
			return fmt.Errorf("%s ended with status %d", command[0], code)
		}
		return nil
	case <-time.After(timeout):
		s.mu.Lock()
		if s.probes[pid] != nil { // not reaped, so the number is still its own
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
		s.mu.Unlock()
		return fmt.Errorf("%s took longer than %s", command[0], timeout)
	}
}
