// Package kernel sends what package pathmtu asks for: VXLAN packets of chosen sizes, made by hand so that no device's MTU bounds them, over the
// same way and through the same firewalls as those of the kernel. The other node's kernel answers; its daemon need not run.
package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/pathmtu"
)

// A size is taken for lost when none of tries packets was answered, sent a pause apart. Late answers count.
const (
	tries = 5
	pause = 400 * time.Millisecond
)

// Prober sends from one node.
type Prober struct {
	HostNS string // path of the host's namespace; empty: the caller's own
	Fabric string // path of the fabric's
	Self   pathmtu.Peer
	Port   uint16        // of VXLAN
	VNI    swarmnet.VNI  // of the ingress network
	Pause  time.Duration // between two packets of a size; 0: 400 ms
}

// Search returns what the host's route to a peer takes and how much of that arrives, in octets of the outer IP packet. last is what arrived
// the last time, 0: not known. The error is pathmtu.ErrSilent when nothing is answered.
func (p Prober) Search(ctx context.Context, to pathmtu.Peer, last int) (route, size int, err error) {
	w, err := p.open(to)
	if err != nil {
		return 0, 0, fmt.Errorf("probe the way to %s: %w", to.VTEP, err)
	}
	defer w.close()
	defer context.AfterFunc(ctx, w.close)()
	if route, err = w.route(); err != nil {
		return 0, 0, fmt.Errorf("probe the way to %s: %w", to.VTEP, err)
	}
	size, err = pathmtu.Search(route, last, func(sizes []int) (int, error) { return w.answered(ctx, sizes) })
	if err != nil && !errors.Is(err, pathmtu.ErrSilent) {
		err = fmt.Errorf("probe the way to %s: %w", to.VTEP, err)
	}
	return route, size, err
}

// way is the two sockets of a search: packets leave by the host's, answers come to the fabric's.
type way struct {
	Prober
	to  pathmtu.Peer
	out *net.UDPConn
	in  *net.IPConn
	id  uint16
	seq uint16
}

func (p Prober) open(to pathmtu.Peer) (*way, error) {
	w := &way{Prober: p, to: to, id: uint16(rand.Uint32()), seq: uint16(rand.Uint32())}
	err := netns.Do(p.HostNS, func() (err error) {
		w.out, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Self.VTEP, 0)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.VTEP, p.Port)))
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := w.neverFragment(); err != nil {
		w.out.Close()
		return nil, err
	}
	err = netns.Do(p.Fabric, func() (err error) {
		w.in, err = net.ListenIP("ip4:icmp", &net.IPAddr{IP: p.Self.Addr.AsSlice()})
		return err
	})
	if err != nil {
		w.out.Close()
		return nil, err
	}
	return w, nil
}

func (w *way) close() {
	w.out.Close()
	w.in.Close()
}

// option calls fn with the socket, and with the numbers of options of its family.
func (w *way) option(fn func(fd, level, discover, mtu, probe int) error) error {
	raw, err := w.out.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		if w.to.VTEP.Is6() {
			serr = fn(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_MTU, unix.IPV6_PMTUDISC_PROBE)
		} else {
			serr = fn(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_MTU, unix.IP_PMTUDISC_PROBE)
		}
	})
	return errors.Join(err, serr)
}

// neverFragment sets "don't fragment" and has the kernel ignore what it has heard of the way (ip(7), IP_PMTUDISC_PROBE).
func (w *way) neverFragment() error {
	return w.option(func(fd, level, discover, _, probe int) error { return unix.SetsockoptInt(fd, level, discover, probe) })
}

// route is what the kernel's route to the peer takes: the device's MTU, the route's own, or what a router has said.
func (w *way) route() (mtu int, err error) {
	err = w.option(func(fd, level, _, option, _ int) (err error) {
		mtu, err = unix.GetsockoptInt(fd, level, option)
		return err
	})
	return mtu, err
}

// answered sends packets of all sizes, several times those that are not answered, and returns the largest that was. It ends as soon as the largest is.
func (w *way) answered(ctx context.Context, sizes []int) (int, error) {
	first := w.seq // of the smallest; the others' follow
	w.seq += uint16(len(sizes))
	got := make([]bool, len(sizes))
	for range tries {
		for i, size := range sizes {
			if got[i] {
				continue
			}
			_, err := w.out.Write(pathmtu.Echo(w.VNI, w.Self, w.to, size, w.id, first+uint16(i)))
			// Too large for the device, or a refusal of an earlier one: there is no answer to either.
			if err != nil && !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.ECONNREFUSED) {
				return 0, err
			}
		}
		if err := w.listen(first, got); err != nil {
			return 0, errors.Join(ctx.Err(), err)
		}
		if got[len(got)-1] {
			break
		}
	}
	for i, size := range slices.Backward(sizes) {
		if got[i] {
			return size, nil
		}
	}
	return 0, nil
}

// listen notes what is answered until the largest is, or for a while.
func (w *way) listen(first uint16, got []bool) error {
	if err := w.in.SetReadDeadline(time.Now().Add(cmp.Or(w.Pause, pause))); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for !got[len(got)-1] {
		n, _, err := w.in.ReadFromIP(buf) // without the IP header
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		id, seq, ok := pathmtu.EchoReply(buf[:n])
		if i := int(seq - first); ok && id == w.id && i < len(got) {
			got[i] = true
		}
	}
	return nil
}
