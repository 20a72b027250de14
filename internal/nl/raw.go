package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// rawTimeout is how long an answer may take. The kernel answers within the call that asks; the bound is against waiting for ever.
const rawTimeout = 10 * time.Second

// raw is a socket for neighbour and forwarding entries, routes and flows, of which there can be tens of thousands: many changes travel in one
// system call, and a dump is read without a heap object for each attribute. The library's own dump also leaves the padding of struct ndmsg as it
// finds it, which the kernel's strict checking refuses (EINVAL) when that is not zero.
type raw struct {
	fd   int
	buf  *[64 << 10]byte
	most int // octets that are read at once
}

// buffers are what answers are read into: a pass opens a connection after the other, and each would be garbage as large as all that it does.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// openRaw opens a socket of a netlink family in the namespace.
func openRaw(ns *netns.Handle, family int) (*raw, error) {
	r := &raw{fd: -1}
	err := ns.Do(func() (err error) {
		r.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open netlink: %w", err)
	}
	tv := unix.NsecToTimeval(int64(rawTimeout))
	err = errors.Join(
		unix.Bind(r.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		// Errors repeat the header of what they are about and not its body.
		unix.SetsockoptInt(r.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
	)
	if err != nil {
		unix.Close(r.fd)
		return nil, fmt.Errorf("cannot set up netlink: %w", err)
	}
	// Kernels before 4.20 do not know it and dump everything; what was not asked for is left out here.
	_ = unix.SetsockoptInt(r.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	r.buf = buffers.Get().(*[64 << 10]byte)
	r.most = len(r.buf)
	return r, nil
}

func (r *raw) close() error {
	buffers.Put(r.buf)
	r.buf = nil
	return unix.Close(r.fd)
}

func (r *raw) send(msg []byte) error {
	for {
		err := unix.Sendto(r.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// answer is one message from the kernel.
type answer struct {
	typ, flags uint16
	seq        uint32
	body       []byte // valid until the next receive
}

// errno is the code of an NLMSG_ERROR (0: an acknowledgement) or NLMSG_DONE.
func (a answer) errno() unix.Errno {
	if len(a.body) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(a.body)))
}

// receive reads one datagram and gives its messages to fn until fn says that it has all that it waits for.
func (r *raw) receive(fn func(answer) (done bool, err error)) error {
	for {
		n, _, err := unix.Recvfrom(r.fd, r.buf[:r.most], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot read netlink's answer: %w", err)
		}
		for b := r.buf[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			length := int(binary.NativeEndian.Uint32(b))
			if length < unix.NLMSG_HDRLEN || length > len(b) {
				return errors.New("netlink's answer is malformed")
			}
			done, err := fn(answer{
				typ: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]), seq: binary.NativeEndian.Uint32(b[8:]),
				body: b[unix.NLMSG_HDRLEN:length],
			})
			if done || err != nil {
				return err
			}
			b = b[min(align(length), len(b)):]
		}
	}
}

func align(n int) int { return (n + 3) &^ 3 }
