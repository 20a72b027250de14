package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/doctor"
	"github.com/swarmnet/swarmnet/internal/netns"
	fabric "github.com/swarmnet/swarmnet/overlay/kernel"
	"github.com/swarmnet/swarmnet/pathmtu"
	pathkernel "github.com/swarmnet/swarmnet/pathmtu/kernel"
)

const (
	reachTimeout = 2 * time.Second
	// parallel bounds how many ways are tried at the same time.
	parallel = 64
)

// reachManagers opens a connection to each manager's API.
func reachManagers(ctx context.Context, cfg Config) []doctor.Path {
	return eachPath(cfg.Managers, func(addr string) doctor.Path {
		p := doctor.Path{Addr: addr}
		if err := dialTCP(ctx, cfg.HostNS, addr); err != nil {
			p.Err = reason(err)
		}
		return p
	})
}

func reachNodes(ctx context.Context, cfg Config) []doctor.Path {
	return eachPath(cfg.Nodes, func(n swarmnet.Node) doctor.Path {
		p := reachNode(ctx, cfg, n)
		if p.Err == "" {
			p.Route, p.Arrives = largest(ctx, cfg, n)
			p.Told = n.Description.UnderlayMTU
		}
		return p
	})
}

// largest is what the route to a node takes and how much of that arrives; 0 where it cannot be told.
func largest(ctx context.Context, cfg Config, n swarmnet.Node) (route, arrives int) {
	self, ok := pathmtu.PeerOf(cfg.Self)
	peer, has := pathmtu.PeerOf(n)
	if !ok || !has || cfg.Ingress == 0 || self.VTEP.Is4() != peer.VTEP.Is4() {
		return 0, 0
	}
	prober := pathkernel.Prober{HostNS: cfg.HostNS, Fabric: filepath.Join(cfg.NetnsDir, fabric.FabricName), Self: self, Port: cfg.Port, VNI: cfg.Ingress}
	route, arrives, err := prober.Search(ctx, peer, 0)
	if err != nil {
		return 0, 0
	}
	return route, arrives
}

func eachPath[T any](list []T, reach func(T) doctor.Path) []doctor.Path {
	out := make([]doctor.Path, len(list))
	var wg sync.WaitGroup
	places := make(chan struct{}, parallel)
	for i, x := range list {
		places <- struct{}{}
		wg.Go(func() {
			out[i] = reach(x)
			<-places
		})
	}
	wg.Wait()
	return out
}

// reachNode tries a node's VXLAN port. VXLAN answers nothing: a port that nobody listens on is refused by its host (RFC 1122 section
// 3.2.2.1), and a host that is there answers pings, or its gossip port does.
func reachNode(ctx context.Context, cfg Config, n swarmnet.Node) doctor.Path {
	vtep := n.Description.VTEP
	p := doctor.Path{Name: n.Name(), Addr: netip.AddrPortFrom(vtep, cfg.Port).String()}
	if !vtep.IsValid() {
		p.Addr, p.Remark = "no data path address", "it has not yet said where its VXLAN traffic goes"
		return p
	}
	if len(n.Ingress) > 0 && keepsRefusing(ctx, cfg.HostNS, netip.AddrPortFrom(vtep, cfg.Port)) {
		p.Err = "its host is there, but nothing listens on the data path port: is its daemon running?"
		return p
	}
	pingErr := Ping(ctx, cfg.HostNS, vtep)
	if pingErr == nil {
		return p
	}
	if g := n.Description.GossipAddr; g.IsValid() {
		if err := dialTCP(ctx, cfg.HostNS, g.String()); err == nil || errors.Is(err, unix.ECONNREFUSED) {
			p.Remark = "it answers, but no pings: something between filters them, and perhaps more"
			return p
		}
	}
	p.Err = reason(pingErr)
	return p
}

func dialTCP(ctx context.Context, ns, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	return netns.Do(ns, func() error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// keepsRefusing reports whether a port is refused three times in two seconds: a node that has just joined or booted makes its data path in less. To
// ask more often would be no use: a host refuses so often and then goes silent (Linux: once a second, net.ipv4.icmp_ratelimit).
func keepsRefusing(ctx context.Context, ns string, to netip.AddrPort) bool {
	for again := range 3 {
		if again > 0 {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return true
			}
		}
		if !refused(ns, to) {
			return false
		}
	}
	return true
}

// refused sends a datagram that no VXLAN device takes for one of its network's, and waits a moment for the refusal.
func refused(ns string, to netip.AddrPort) bool {
	err := netns.Do(ns, func() error {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := c.Write([]byte{0}); err != nil { // shorter than a VXLAN header: dropped
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	})
	return errors.Is(err, unix.ECONNREFUSED)
}

// Ping sends ICMP echo requests from the namespace at path ns (empty: the caller's own) until one is answered, for two seconds. It needs
// a raw socket.
func Ping(ctx context.Context, ns string, to netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	network, request, reply := "ip4:icmp", byte(8), byte(0) // RFC 792
	if to.Is6() && !to.Is4In6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129 // RFC 4443
	}
	return netns.Do(ns, func() error {
		c, err := net.DialIP(network, nil, &net.IPAddr{IP: to.Unmap().AsSlice(), Zone: to.Zone()})
		if err != nil {
			return err
		}
		defer c.Close()
		id := uint16(os.Getpid())
		buf := make([]byte, 1500)
		for seq := uint16(1); ctx.Err() == nil; seq++ {
			if _, err := c.Write(echo(request, id, seq)); err != nil {
				return err
			}
			if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
				return err
			}
			for {
				n, _, err := c.ReadFrom(buf) // without the IP header, unlike Read
				if errors.Is(err, os.ErrDeadlineExceeded) {
					break
				}
				if err != nil {
					return err
				}
				if n >= 8 && buf[0] == reply && binary.BigEndian.Uint16(buf[4:]) == id {
					return nil
				}
			}
		}
		return ctx.Err()
	})
}

// echo is an echo request; the kernel fills in the checksum of ICMPv6.
func echo(kind byte, id, seq uint16) []byte {
	b := make([]byte, 8)
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], seq)
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	return b
}

// reason says in a few words why there is no way.
func reason(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return "its host is there, but nothing listens: is its daemon running?"
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return "there is no way to it: " + unwrapped(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within " + reachTimeout.String() + ": it is down or cut off, or something between drops packets"
	}
	return unwrapped(err)
}

func unwrapped(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}
