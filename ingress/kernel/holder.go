package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/hostport"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// PortKey tells the published ports of a node apart.
type PortKey struct {
	Protocol  swarmnet.Protocol
	Published uint16
	HostIP    netip.Addr // zero: all of the host's
}

func (k PortKey) String() string {
	s := strconv.Itoa(int(k.Published)) + "/" + k.Protocol.String()
	if k.HostIP.IsValid() {
		s = k.HostIP.String() + ":" + s
	}
	return s
}

func keyOf(p ingress.Port) PortKey { return PortKey{p.Protocol, p.Published, p.HostIP} }

// Holder binds the published ports in the host's namespace, so that no other program takes one and none is taken from another
// program. Its sockets get no traffic: translation comes before them.
type Holder struct {
	ns string

	mu       sync.Mutex
	held     map[PortKey]io.Closer
	degraded map[PortKey]error
}

// NewHolder returns a holder for the namespace at the path; empty: the caller's own.
func NewHolder(ns string) *Holder {
	return &Holder{ns: ns, held: map[PortKey]io.Closer{}, degraded: map[PortKey]error{}}
}

// Hold binds those of the ports that are not held yet and returns the ports that are held now. Why the others are not, Degraded says.
func (h *Holder) Hold(ports []ingress.Port) ([]ingress.Port, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.degraded)
	if !slices.ContainsFunc(ports, func(p ingress.Port) bool { return h.held[keyOf(p)] == nil }) {
		return ports, nil
	}
	var out []ingress.Port
	err := netns.Do(h.ns, func() error {
		for _, p := range ports {
			k := keyOf(p)
			if h.held[k] == nil {
				sock, err := bind(k)
				if err != nil {
					h.degraded[k] = h.explain(k, err)
					continue
				}
				h.held[k] = sock
			}
			out = append(out, p)
		}
		return nil
	})
	return out, err
}

// compare returns those of the ports that are held or would be, and tells p which Hold would bind and Release let go of. What is degraded is not
// as wished, but that it is so is known.
func (h *Holder) compare(p *plan.Plan, ports []ingress.Port) (out []ingress.Port) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := map[PortKey]bool{}
	for _, port := range ports {
		k := keyOf(port)
		wanted[k] = true
		if h.degraded[k] != nil {
			continue
		}
		if h.held[k] == nil {
			p.Add("socket %s", k)
		}
		out = append(out, port)
	}
	for _, k := range slices.SortedFunc(maps.Keys(h.held), func(a, b PortKey) int { return strings.Compare(a.String(), b.String()) }) {
		if !wanted[k] {
			p.Remove("socket %s", k)
		}
	}
	return out
}

// Release lets go of all ports but these, which are held.
func (h *Holder) Release(but []ingress.Port) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(but) == len(h.held) {
		return
	}
	keep := map[PortKey]bool{}
	for _, p := range but {
		keep[keyOf(p)] = true
	}
	for k, sock := range h.held {
		if !keep[k] {
			sock.Close()
			delete(h.held, k)
		}
	}
}

// Held are the ports that are held, in no order.
func (h *Holder) Held() []PortKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.held))
}

// Degraded says which ports this node does not publish, and why.
func (h *Holder) Degraded() map[PortKey]error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.degraded)
}

func bind(k PortKey) (io.Closer, error) {
	host := ""
	if k.HostIP.IsValid() {
		host = k.HostIP.String()
	}
	addr := net.JoinHostPort(host, strconv.Itoa(int(k.Published)))
	var lc net.ListenConfig
	switch k.Protocol {
	case swarmnet.TCP:
		// Bound and not listening: until the rules are in place, whoever connects is refused and not left waiting.
		sock, err := bindTCP(k)
		if errors.Is(err, syscall.EADDRINUSE) {
			// Perhaps only by connections of an ended program in TIME_WAIT. A listener may have the port all the same.
			return lc.Listen(context.Background(), "tcp", addr)
		}
		return sock, err
	case swarmnet.UDP:
		return lc.ListenPacket(context.Background(), "udp", addr)
	}
	return bindSCTP(k)
}

// bindTCP binds a port without SO_REUSEADDR: nobody else can then bind it, with or without.
func bindTCP(k PortKey) (io.Closer, error) {
	family := unix.AF_INET6 // the wildcard of both families
	if k.HostIP.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) && !k.HostIP.IsValid() {
		family = unix.AF_INET
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	var sa unix.Sockaddr
	if family == unix.AF_INET {
		sa4 := &unix.SockaddrInet4{Port: int(k.Published)}
		if k.HostIP.IsValid() {
			sa4.Addr = k.HostIP.As4()
		}
		sa = sa4
	} else {
		sa6 := &unix.SockaddrInet6{Port: int(k.Published)}
		if k.HostIP.IsValid() {
			sa6.Addr = k.HostIP.As16()
		}
		sa = sa6
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return fileDescriptor(fd), nil
}

// bindSCTP binds what net cannot. On a kernel without SCTP nobody can take the port.
func bindSCTP(k PortKey) (io.Closer, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return nothing{}, nil
	}
	sa := &unix.SockaddrInet4{Port: int(k.Published)}
	if k.HostIP.Is4() {
		sa.Addr = k.HostIP.As4()
	}
	if err := unix.Bind(fd, sa); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return fileDescriptor(fd), nil
}

type nothing struct{}

func (nothing) Close() error { return nil }

type fileDescriptor int

func (f fileDescriptor) Close() error { return unix.Close(int(f)) }

// holderOf names who has a port, as far as the system tells.
func holderOf(k PortKey) string {
	if who, _ := hostport.Find(k.Protocol, k.HostIP, k.Published); who.PID != 0 {
		return who.String()
	}
	return "another program"
}

func (h *Holder) explain(k PortKey, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		for held := range h.held {
			if held.Protocol == k.Protocol && held.Published == k.Published && (held.HostIP == k.HostIP || !held.HostIP.IsValid() || !k.HostIP.IsValid()) {
				return fmt.Errorf("port %s is published on this node already, as %s", k, held)
			}
		}
		return fmt.Errorf("port %s is held by %s", k, holderOf(k))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("port %s cannot be held: %s is no address of this node", k, k.HostIP)
	}
	return fmt.Errorf("port %s cannot be held on this node: %w", k, err)
}
