package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
)

// nodeFlags are the namespaces that a node has of its own. The user namespace is the lab's: in it, all of them belong to it.
const nodeFlags = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// bootProcess starts a node's pid 1, plugs it into the switch and waits until it serves.
func (s *supervisor) bootProcess(name string, n *node) error {
	arg, err := json.Marshal(initSpec{Dir: s.Dir, Name: name, Binary: s.Binary, Underlay: s.Underlay})
	if err != nil {
		return err
	}
	parent, child, err := syncPair()
	if err != nil {
		return err
	}
	defer parent.Close()
	defer child.Close()
	log, err := os.OpenFile(filepath.Join(nodeDir(s.Dir, name), "init.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	pid, done, err := s.children.start(s.Binary, []string{s.Binary, initCommand, string(arg)}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd(), child.Fd()},
		Sys:   &syscall.SysProcAttr{Cloneflags: nodeFlags, Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("cannot start it in namespaces of its own: %w", err)
	}
	child.Close()
	gone := make(chan struct{})
	go func() { <-done; close(gone) }() // ends with the node
	if err := s.plug(name, pid, n.cut, parent); err != nil {
		s.children.signal(pid, syscall.SIGKILL, false) //nolint:errcheck // it may have ended by itself
		return errors.Join(err, s.links.remove(name))
	}
	n.pid, n.gone = pid, gone
	return nil
}

func (s *supervisor) plug(name string, pid int, cut bool, sync net.Conn) error {
	if err := s.links.createVeth(name, underlayDevice, underlayMAC(name), pid); err != nil {
		return err
	}
	if err := s.links.up(name); err != nil {
		return err
	}
	if !cut {
		if err := s.links.setMaster(name, bridge); err != nil {
			return err
		}
	}
	return handshake(sync, 20*time.Second)
}

// underlayMAC is a node's Ethernet address, the same at every boot, as a machine's is: its neighbours need not learn it anew.
func underlayMAC(name string) swarmnet.MAC {
	a := Addr(name).As4()
	return swarmnet.MAC{0x02, 0x00, a[0], a[1], a[2], a[3]}
}

// handshake lets the child at the other end go and waits for its report.
func handshake(conn net.Conn, timeout time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		return err
	}
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil || n == 0 {
		return errors.New("its process ended at once")
	}
	if msg := string(b[:n]); msg != "ok" {
		return errors.New(msg)
	}
	return nil
}

// syncPair is the pair of sockets for await and handshake.
func syncPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "sync"), os.NewFile(uintptr(fds[1]), "sync")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}
