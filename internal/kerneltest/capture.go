package kerneltest

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Capture is what passes an interface, both ways.
type Capture struct {
	t testing.TB

	mu     sync.Mutex
	frames [][]byte
}

// Capture notes all Ethernet frames that pass an interface from now until the test ends.
func (n *NS) Capture(link string) *Capture {
	n.t.Helper()
	c := &Capture{t: n.t}
	index, fd := n.Link(link).Index, -1
	n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index, Protocol: binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})})
	})
	f := os.NewFile(uintptr(fd), "capture")
	ended := make(chan struct{})
	n.t.Cleanup(func() {
		f.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for buf := make([]byte, 1<<16); ; {
			got, err := f.Read(buf)
			if err != nil {
				return // it was closed, or the interface is gone
			}
			c.mu.Lock()
			c.frames = append(c.frames, append([]byte(nil), buf[:got]...))
			c.mu.Unlock()
		}
	}()
	return c
}

// Count is how many frames there were of those that are meant.
func (c *Capture) Count(meant func(frame []byte) bool) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		if meant(f) {
			n++
		}
	}
	return n
}

// Await fails the test unless so many frames come of those that are meant.
func (c *Capture) Await(what string, n int, meant func(frame []byte) bool) {
	c.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); c.Count(meant) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%d frames are %s, want %d", c.Count(meant), what, n)
		}
	}
}

// SendsTo waits until what the namespace sends to an address goes, on the wire, to a MAC; each look sends a datagram. An entry of a neighbour table that
// nothing puts right is good for 15 s at least, and for 8 s more until the kernel gives it up: the test fails long before.
func (n *NS) SendsTo(wire *Capture, addr netip.Addr, mac [6]byte) {
	n.t.Helper()
	kind, at := "\x08\x00", 30
	if addr.Is6() {
		kind, at = "\x86\xdd", 38
	}
	to := string(addr.AsSlice())
	meant := func(f []byte) bool {
		return len(f) >= 90 && string(f[:6]) == string(mac[:]) && string(f[12:14]) == kind && string(f[at:at+len(to)]) == to && f[len(f)-1] == mark
	}
	for deadline := time.Now().Add(5 * time.Second); wire.Count(meant) == 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("nothing that is sent to %s goes to %x", addr, mac)
		}
		n.Say(addr)
	}
}

// mark is what the datagrams of Say are made of.
const mark = 0x77

// Say sends a datagram to an address; whether it gets anywhere is another matter.
func (n *NS) Say(to netip.Addr) {
	n.t.Helper()
	n.Do(func() error {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(bytes.Repeat([]byte{mark}, 64))
		return err
	})
}

// Frames of some kinds, for Count and Await.

// ARP reports whether a frame is an ARP packet (RFC 826) of an operation, 1 a request and 2 a reply, for an address.
func ARP(frame []byte, operation byte, target []byte) bool {
	return len(frame) >= 42 && string(frame[12:14]) == "\x08\x06" && frame[21] == operation && string(frame[38:42]) == string(target)
}

// NDP reports whether a frame is a neighbour solicitation (135) or advertisement (136, RFC 4861) of an address.
func NDP(frame []byte, kind byte, target []byte) bool {
	return len(frame) >= 78 && string(frame[12:14]) == "\x86\xdd" && frame[20] == unix.IPPROTO_ICMPV6 && frame[54] == kind && string(frame[62:78]) == string(target)
}
