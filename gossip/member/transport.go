package member

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// udpSize is the largest datagram over IP, in octets.
	udpSize = 1 << 16
	// receiveBuffer is asked of the kernel, in octets: bursts wait there. It gives what it may.
	receiveBuffer = 2 << 20
	acceptRetry   = 100 * time.Millisecond
)

// transport carries memberlist's packets and streams: one socket of each kind. memberlist's own makes 64 KiB of garbage of each packet, which is most of
// what an idle daemon has to collect.
type transport struct {
	tcp     *net.TCPListener
	udp     *net.UDPConn
	log     func(format string, args ...any)
	packets chan *memberlist.Packet
	streams chan net.Conn
	ended   chan struct{}
	end     sync.Once
	wg      sync.WaitGroup
}

// newTransport listens where a configuration says.
func newTransport(c *memberlist.Config) (*transport, error) {
	ip, err := netip.ParseAddr(c.BindAddr)
	if err != nil {
		return nil, fmt.Errorf("gossip: address to listen on: %w", err)
	}
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(c.BindPort))))
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(tcp.Addr().(*net.TCPAddr).Port))))
	if err != nil {
		tcp.Close()
		return nil, err
	}
	if err := udp.SetReadBuffer(receiveBuffer); err != nil {
		tcp.Close()
		udp.Close()
		return nil, err
	}
	t := &transport{tcp: tcp, udp: udp, log: c.Logger.Printf, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), ended: make(chan struct{})}
	t.wg.Go(t.accept)
	t.wg.Go(t.receive)
	return t, nil
}

// FinalAdvertiseAddr is what the configuration says, or else where we listen.
func (t *transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip == "" {
		own := t.tcp.Addr().(*net.TCPAddr)
		return own.IP, own.Port, nil
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return nil, 0, fmt.Errorf("gossip: address to advertise: %w", err)
	}
	return a.Unmap().AsSlice(), port, nil
}

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress returns when the packet left.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.udp.WriteToUDPAddrPort(b, to)
	return time.Now(), err
}

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return (&net.Dialer{Timeout: timeout}).Dial("tcp", addr)
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown closes the sockets, and returns when nothing is read any more.
func (t *transport) Shutdown() error {
	t.end.Do(func() { close(t.ended) })
	err := errors.Join(t.tcp.Close(), t.udp.Close())
	t.wg.Wait()
	if errors.Is(err, net.ErrClosed) { // a second time
		return nil
	}
	return err
}

func (t *transport) accept() {
	for {
		c, err := t.tcp.AcceptTCP()
		switch {
		case err == nil:
			select {
			case t.streams <- c:
			case <-t.ended:
				c.Close()
				return
			}
		case !t.waits(err, "stream"):
			return
		}
	}
}

func (t *transport) receive() {
	buf := make([]byte, udpSize)
	for {
		n, from, err := t.udp.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil && n > 0:
			p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), Timestamp: time.Now(), From: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))}
			select {
			case t.packets <- p:
			case <-t.ended:
				return
			}
		case err != nil && !t.waits(err, "packet"):
			return
		}
	}
}

// waits lets a moment pass after an error, such as that there are too many open files. It reports whether to go on.
func (t *transport) waits(err error, what string) bool {
	select {
	case <-t.ended:
		return false
	default:
	}
	t.log("[ERR] memberlist: no %s: %v", what, err)
	select {
	case <-t.ended:
		return false
	case <-time.After(acceptRetry):
		return true
	}
}
