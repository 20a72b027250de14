package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/netns"
)

// patience bounds a single exchange.
const patience = 5 * time.Second

// serve answers each line and each datagram on the port with "NAME ADDRESS-OF-THE-CLIENT LINE".
func serve(t *testing.T, ns *kerneltest.NS, name string, port int) {
	t.Helper()
	var ln net.Listener
	var pc net.PacketConn
	ns.Do(func() (err error) {
		if ln, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); err != nil {
			return err
		}
		pc, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		return err
	})
	t.Cleanup(func() { ln.Close(); pc.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				for s := bufio.NewScanner(c); s.Scan(); {
					fmt.Fprintf(c, "%s %s %s\n", name, c.RemoteAddr(), s.Text())
				}
				c.Close()
			}()
		}
	}()
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(pcTo{pc, from}, "%s %s %s\n", name, from, buf[:n])
		}
	}()
}

type pcTo struct {
	net.PacketConn
	to net.Addr
}

func (p pcTo) Write(b []byte) (int, error) { return p.WriteTo(b, p.to) }

// dial opens a connection from a namespace; from may be ":0".
func dial(ns *kerneltest.NS, network, from, to string) (c net.Conn, err error) {
	d, local := net.Dialer{Timeout: patience}, addrPort(from)
	if addrPort(to).Addr().Is6() {
		network += "6"
		if local.Addr().IsUnspecified() {
			local = netip.AddrPortFrom(netip.IPv6Unspecified(), local.Port())
		}
	} else {
		network += "4"
	}
	if strings.HasPrefix(network, "udp") {
		d.LocalAddr = net.UDPAddrFromAddrPort(local)
	} else {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
		d.Control = func(_, _ string, raw syscall.RawConn) error { // one source port to two destinations
			var err error
			return errors.Join(raw.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
			}), err)
		}
	}
	err = netns.Do(ns.Path, func() error { c, err = d.Dial(network, to); return err })
	return c, err
}

func addrPort(s string) netip.AddrPort {
	if strings.HasPrefix(s, ":") {
		s = "0.0.0.0" + s
	}
	return netip.MustParseAddrPort(s)
}

var said atomic.Uint64

// say sends a line and returns the name of the task that answered and the address that it saw.
func say(c net.Conn) (name string, saw netip.AddrPort, err error) {
	return sayLine(c, fmt.Sprintf("hello-%d", said.Add(1)))
}

func sayLine(c net.Conn, line string) (name string, saw netip.AddrPort, err error) {
	// A datagram may be lost, as in the second in which a bridge takes notice of a new port: ask again, as clients do.
	tries, each := 1, patience
	if c.LocalAddr().Network() == "udp" {
		tries, each = 5, patience/5
	}
	for ; tries > 0; tries-- {
		_ = c.SetDeadline(time.Now().Add(each))
		if _, err = fmt.Fprintln(c, line); err != nil {
			return "", saw, err
		}
		if name, saw, err = answerTo(c, line); !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return name, saw, err
}

// answerTo reads the answer to a line. Those to others, which came late, are passed over.
func answerTo(c net.Conn, line string) (name string, saw netip.AddrPort, err error) {
	buf := make([]byte, 1500)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return "", saw, err
		}
		f := strings.Fields(string(buf[:n]))
		if len(f) < 2 {
			return "", saw, fmt.Errorf("odd answer %q", buf[:n])
		}
		if len(f) == 3 && f[2] != line {
			continue
		}
		saw, err = netip.ParseAddrPort(f[1])
		return f[0], saw, err
	}
}

// ask makes one exchange and fails the test when there is no answer.
func ask(t *testing.T, ns *kerneltest.NS, network, to string) (name string, saw netip.AddrPort) {
	t.Helper()
	return askFrom(t, ns, network, ":0", to)
}

// askFrom asks from a port of the client's choice: one that it had before may still belong to a flow of datagrams, and to that one's task.
func askFrom(t *testing.T, ns *kerneltest.NS, network, from, to string) (name string, saw netip.AddrPort) {
	t.Helper()
	c, err := dial(ns, network, from, to)
	if err != nil {
		t.Fatalf("%s %s: %v", network, to, err)
	}
	defer c.Close()
	name, saw, err = say(c)
	if err != nil {
		t.Fatalf("%s %s: %v", network, to, err)
	}
	return name, saw
}

// refused checks that a connection is refused at once.
func refused(t *testing.T, ns *kerneltest.NS, network, to string) {
	t.Helper()
	begun := time.Now()
	c, err := dial(ns, network, ":0", to)
	if err == nil {
		defer c.Close()
		_, _, err = say(c)
	}
	// What a program's own namespace rejects, its send call answers for with EPERM when the socket is not connected by a handshake.
	if !errors.Is(err, syscall.ECONNREFUSED) && !(network == "udp" && errors.Is(err, syscall.EPERM)) || time.Since(begun) > patience/2 {
		t.Fatalf("%s %s: %v after %v, want it refused", network, to, err, time.Since(begun))
	}
}
