// Package kernel sees and tries for package trace: a sandbox's resolver, the fabric's forwarding entries, connections from inside a sandbox.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
	"github.com/swarmnet/swarmnet/trace"
)

const (
	dialTimeout    = 2 * time.Second
	resolveTimeout = 5 * time.Second
	// resolver is where every sandbox's resolver answers.
	resolver = "127.0.0.11:53"
)

// Prober implements trace.Prober.
type Prober struct {
	// Fabric is the path of the fabric's namespace.
	Fabric string
	// Stack returns the path of the namespace that a sandbox's network stack is in; empty: the host's.
	Stack func(swarmnet.TaskID) (string, error)
}

var _ trace.Prober = Prober{}

// Resolve asks the sandbox's resolver for addresses of both families.
func (p Prober) Resolve(ctx context.Context, from swarmnet.TaskID, name string) ([]netip.Addr, error) {
	path, err := p.Stack(from)
	if err != nil {
		return nil, err
	}
	if path == "" {
		return resolveAsHost(ctx, name)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var out []netip.Addr
	err = netns.Do(path, func() error {
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			addrs, err := query(ctx, name, kind)
			if err != nil {
				return err
			}
			out = append(out, addrs...)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = told(err)
	}
	return out, err
}

func query(ctx context.Context, name string, kind uint16) ([]netip.Addr, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	conn, err := new(net.Dialer).DialContext(ctx, "udp", resolver)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r, _, err := (&dns.Client{Timeout: resolveTimeout}).ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: conn})
	switch {
	case err != nil:
		return nil, told(err)
	case r.Rcode == dns.RcodeNameError:
		return nil, trace.ErrNoName
	case r.Rcode != dns.RcodeSuccess:
		return nil, fmt.Errorf("it answers %s", dns.RcodeToString[r.Rcode])
	}
	var out []netip.Addr
	for _, rr := range r.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, addrOf(rr.A))
		case *dns.AAAA:
			out = append(out, addrOf(rr.AAAA))
		}
	}
	return out, nil
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func resolveAsHost(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	var no *net.DNSError
	if errors.As(err, &no) && no.IsNotFound {
		return nil, trace.ErrNoName
	}
	return addrs, err
}

// Forwarding reads the neighbour entry for addr and the VXLAN device's forwarding entry for its MAC, or for mac.
func (p Prober) Forwarding(vni swarmnet.VNI, mac swarmnet.MAC, addr netip.Addr) (trace.Forwarding, error) {
	var out trace.Forwarding
	c, err := nl.Open(p.Fabric)
	if errors.Is(err, fs.ErrNotExist) {
		return out, errors.New("this node has no fabric: the daemon has not made it yet, or its log says why not")
	}
	if err != nil {
		return out, err
	}
	defer c.Close()
	vx, ok, err := c.Link(overlay.VXLANName(vni))
	if err != nil {
		return out, err
	}
	if !ok {
		return out, fmt.Errorf("the fabric has no VXLAN device %s: see the daemon's log", overlay.VXLANName(vni))
	}
	if !vx.Up {
		return out, fmt.Errorf("the fabric's device %s is down", vx.Name)
	}
	for _, name := range []string{overlay.VXLANName(vni), overlay.BridgeName(vni)} {
		l, ok, err := c.Link(name)
		if err != nil || !ok {
			continue
		}
		neighs, err := c.Neighs(l.Index)
		if err != nil {
			return out, err
		}
		for _, n := range neighs {
			if n.Addr == addr && out.MAC.IsZero() {
				out.MAC = n.MAC
			}
		}
	}
	if !out.MAC.IsZero() {
		mac = out.MAC
	}
	fdb, err := c.FDB(vx.Index)
	if err != nil {
		return out, err
	}
	for _, n := range fdb {
		if n.MAC == mac && n.VTEP.IsValid() {
			out.VTEP = n.VTEP.Unmap()
		}
	}
	return out, nil
}

// Dial connects from inside a sandbox.
func (p Prober) Dial(ctx context.Context, from swarmnet.TaskID, to netip.AddrPort) (string, error) {
	path, err := p.Stack(from)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	began := time.Now()
	err = netns.Do(path, func() error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", to.String())
		if err != nil {
			return err
		}
		return c.Close()
	})
	return time.Since(began).Round(100 * time.Microsecond).String(), told(err)
}

// told sorts an error into those that package trace tells apart.
func told(err error) error {
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ECONNREFUSED):
		return trace.ErrRefused
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("its network namespace is not there: see the daemon's log")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return trace.ErrSilent
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return fmt.Errorf("there is no way to it: %w", cause(err))
	}
	return cause(err)
}

// cause leaves out what the caller knows: the operation and the addresses.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
