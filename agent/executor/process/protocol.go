package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The control protocol: a SOCK_SEQPACKET unix socket, each packet one JSON message. The shim speaks first: its record, and with it, as
// SCM_RIGHTS, the resolver's two sockets (UDP, TCP) if the sandbox has them. It sends its record again whenever that changes, and
// answers each request by its number. The connection ends when the shim does: the last word is then in state.json.

// request is what a daemon asks. Op is "stop", "probe", "exec" (with the command's three files), "signal" (of the command that the
// request numbered Exec started; 0: the workload's own), "attach" (with two files for its output; the answer comes with a file for its
// input, if that is open) or "eof" (of its input).
type request struct {
	Seq    uint64        `json:"seq"`
	Op     string        `json:"op"`
	Signal int           `json:"signal,omitempty"`
	Grace  time.Duration `json:"grace,omitempty"`
	// For a probe: a command or an address to connect to.
	Command []string      `json:"command,omitempty"`
	Addr    string        `json:"addr,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"`
	// For exec, beside Command.
	Env  []string `json:"env,omitempty"`
	Dir  string   `json:"dir,omitempty"`
	TTY  bool     `json:"tty,omitempty"`
	User string   `json:"user,omitempty"`
	Exec uint64   `json:"exec,omitempty"`
}

// message is what a shim says: a record, the answer to a request, or the exit status of the command that request Exec started.
type message struct {
	Record *record `json:"record,omitempty"`
	Reply  uint64  `json:"reply,omitempty"`
	Err    string  `json:"err,omitempty"`
	Exec   uint64  `json:"exec,omitempty"`
	Code   int     `json:"code,omitempty"`
}

const (
	maxRequest   = 64 << 10 // octets: a command of exec and its environment may be long
	maxMessage   = 4 << 10  // a daemon has a buffer of this for every workload
	maxErr       = 1 << 10
	writeTimeout = 2 * time.Second
)

func send(c *net.UnixConn, v any, files ...*os.File) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, _, err = c.WriteMsgUnix(b, oob, nil)
	return err
}

// receive reads one packet of at most most octets into v and returns the files that came with it.
func receive(c *net.UnixConn, v any, most int) ([]*os.File, error) {
	buf, oob := make([]byte, most), make([]byte, unix.CmsgSpace(3*4))
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, err
	}
	files, err := files(oob[:oobn])
	if err != nil {
		return nil, err
	}
	if n == 0 { // SOCK_SEQPACKET has no other sign of the end
		closeAll(files)
		return nil, net.ErrClosed
	}
	if err := json.Unmarshal(buf[:n], v); err != nil {
		closeAll(files)
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return files, nil
}

func files(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var out []*os.File
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // another kind of control message
		}
		for _, fd := range fds {
			out = append(out, os.NewFile(uintptr(fd), "handed over"))
		}
	}
	return out, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// listen makes the control socket of a task's directory; dial connects to it. Both name it through an open directory, since the
// path of a socket may have 107 octets only.
func listen(dir string) (*net.UnixListener, error) {
	return viaFD(dir, func(addr *net.UnixAddr) (*net.UnixListener, error) {
		if err := os.Remove(addr.Name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		l, err := net.ListenUnix("unixpacket", addr)
		if err != nil {
			return nil, err
		}
		l.SetUnlinkOnClose(false)
		return l, nil
	})
}

func dial(dir string) (*net.UnixConn, error) {
	return viaFD(dir, func(addr *net.UnixAddr) (*net.UnixConn, error) { return net.DialUnix("unixpacket", nil, addr) })
}

func viaFD[T any](dir string, use func(*net.UnixAddr) (T, error)) (T, error) {
	d, err := os.Open(dir)
	if err != nil {
		var none T
		return none, err
	}
	defer d.Close()
	return use(&net.UnixAddr{Net: "unixpacket", Name: filepath.Join(fmt.Sprintf("/proc/self/fd/%d", d.Fd()), sockFile)})
}
