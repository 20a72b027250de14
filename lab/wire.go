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
)

// request is what a client asks of the supervisor or of a node's pid 1. One sequenced packet (unix(7)) holds one message.
type request struct {
	Op   string
	Node string `json:",omitempty"`
	// Of exec.
	Argv []string `json:",omitempty"`
	Env  []string `json:",omitempty"`
	Dir  string   `json:",omitempty"`
	// Of signal and daemon-stop.
	Signal syscall.Signal `json:",omitempty"`
	// Of daemon-start.
	Args []string `json:",omitempty"`
	// Of narrow: the largest packet that gets through, in octets.
	MTU int `json:",omitempty"`
}

// reply answers a request.
type reply struct {
	Err string `json:",omitempty"`
	// Code goes with Err: the exit status that exec owes its caller.
	Code   int          `json:",omitempty"`
	PID    int          `json:",omitempty"`
	Exited bool         `json:",omitempty"`
	Nodes  []NodeStatus `json:",omitempty"`
	Daemon DaemonStatus `json:",omitzero"`
}

// NodeStatus is what the lab knows of one of its nodes.
type NodeStatus struct {
	Name   string
	On     bool // it has power
	Cut    bool // its underlay link is cut
	Daemon DaemonStatus
}

// DaemonStatus is what a node knows of its daemon.
type DaemonStatus struct {
	PID  int    `json:",omitempty"` // 0: it does not run
	Last string `json:",omitempty"` // how it ended
}

const maxMessage = 160 << 10 // octets; below the default send buffer of a unix socket

// channel is one connection of client and server.
type channel struct{ conn *net.UnixConn }

func dial(socket string) (channel, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socket, Net: "unixpacket"})
	return channel{conn}, err
}

func listen(socket string) (*net.UnixListener, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnix("unixpacket", &net.UnixAddr{Name: socket, Net: "unixpacket"})
}

func (c channel) send(m any, files ...*os.File) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return fmt.Errorf("command and environment are %d octets long: %d is the most that the lab can pass on", len(b), maxMessage)
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = syscall.UnixRights(fds...)
	}
	_, _, err = c.conn.WriteMsgUnix(b, oob, nil)
	return err
}

// receive reads one message into m, and the descriptors that came with it, which are the caller's to close.
func (c channel) receive(m any) ([]*os.File, error) {
	b, oob := make([]byte, maxMessage), make([]byte, syscall.CmsgSpace(4*8))
	n, oobn, _, _, err := c.conn.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	msgs, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	for _, msg := range msgs {
		fds, err := syscall.ParseUnixRights(&msg)
		if err != nil {
			continue
		}
		for i, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("stdio%d", i)))
		}
	}
	if n == 0 {
		closeAll(files)
		return nil, net.ErrClosed
	}
	if err := json.Unmarshal(b[:n], m); err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// ask sends one request and waits for its answer.
func ask(socket string, q request, timeout time.Duration) (reply, error) {
	c, err := dial(socket)
	if err != nil {
		return reply{}, err
	}
	defer c.conn.Close()
	if err := c.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return reply{}, err
	}
	if err := c.send(q); err != nil {
		return reply{}, err
	}
	var r reply
	if _, err := c.receive(&r); err != nil {
		return reply{}, fmt.Errorf("%s: no answer: %w", q.Op, err)
	}
	if r.Err != "" {
		return r, errors.New(r.Err)
	}
	return r, nil
}

func supervisorSocket(dir string) string    { return filepath.Join(dir, "lab.sock") }
func nodeDir(dir, node string) string       { return filepath.Join(dir, node) }
func nodeSocket(dir, node string) string    { return filepath.Join(dir, node, "init.sock") }
func daemonLogPath(dir, node string) string { return filepath.Join(dir, node, "daemon.log") }
