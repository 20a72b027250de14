package ipvs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/plan"
)

// Conn works in one network namespace. It may be used by one goroutine at a time.
type Conn struct{ h *ipvs.Handle }

// Open opens the IPVS of the namespace at path. On a kernel without it the error says what is missing.
func Open(path string) (*Conn, error) {
	if err := present(); err != nil {
		return nil, err
	}
	h, err := ipvs.New(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open IPVS: %w", err)
	}
	return &Conn{h}, nil
}

// Close closes the socket; what was made stays.
func (c *Conn) Close() { c.h.Close() }

// Observe returns the services for which ours answers true.
func (c *Conn) Observe(ours func(Key) bool) (Table, error) {
	list, err := c.h.GetServices()
	if err != nil {
		return nil, fmt.Errorf("cannot list IPVS services: %w", err)
	}
	out := Table{}
	for _, s := range list {
		k := keyOf(s)
		if !ours(k) {
			continue
		}
		dests, err := c.h.GetDestinations(wire(k, Service{}))
		if errors.Is(err, unix.ESRCH) {
			continue // it has just gone
		}
		if err != nil {
			return nil, fmt.Errorf("cannot list the destinations of IPVS service %s: %w", k, err)
		}
		have := Service{Scheduler: Scheduler(s.SchedName), Flags: s.Flags &^ flagHashed, Dests: make(map[netip.AddrPort]Dest, len(dests))}
		for _, d := range dests {
			have.Dests[addrPort(d.Address, d.Port)] = Dest{
				Weight: d.Weight, Method: d.ConnectionFlags & ipvs.ConnFwdMask, Conns: d.ActiveConnections + d.InactiveConnections,
			}
		}
		out[k] = have
	}
	return out, nil
}

// Apply does the ops in their order and returns how many it did. The context's plan is told of them; when it is dry that is all.
func (c *Conn) Apply(ctx context.Context, ops []Op) (int, error) {
	p := plan.From(ctx)
	for i, o := range ops {
		if !p.IsDry() {
			if err := c.apply(o); err != nil {
				return i, fmt.Errorf("cannot change %s: %w", o, err)
			}
		}
		if o.Removes() {
			p.Remove("%s", o)
		} else {
			p.Add("%s", o)
		}
	}
	return len(ops), nil
}

func (c *Conn) apply(o Op) error {
	s := wire(o.Key, o.Service)
	d := &ipvs.Destination{Address: o.Addr.Addr().AsSlice(), Port: o.Addr.Port(), Weight: o.Dest.Weight, ConnectionFlags: o.Dest.Method}
	switch o.Kind {
	case AddService:
		return c.h.NewService(s)
	case SetService:
		return c.h.UpdateService(s)
	case DelService:
		return gone(c.h.DelService(s))
	case AddDest:
		return c.h.NewDestination(s, d)
	case DelDest:
		return gone(c.h.DelDestination(s, d))
	}
	return c.h.UpdateDestination(s, d)
}

// gone drops the error of a removal that says that there was nothing to remove.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// wire is a service as the library has it.
func wire(k Key, s Service) *ipvs.Service {
	out := &ipvs.Service{
		FWMark: k.Mark, AddressFamily: uint16(protoOf(k.V6)), SchedName: string(s.Scheduler), Flags: s.Flags,
		Netmask: 0xffffffff, // of persistence, which is not used: each client by itself
	}
	if k.V6 {
		out.Netmask = 128
	}
	if k.Mark == 0 {
		out.Protocol, out.Address, out.Port = uint16(k.Proto), k.Addr.Addr().AsSlice(), k.Addr.Port()
	}
	return out
}

func keyOf(s *ipvs.Service) Key {
	v6 := s.AddressFamily == unix.AF_INET6
	if s.FWMark != 0 {
		return Marked(s.FWMark, v6)
	}
	return Key{Proto: uint8(s.Protocol), Addr: addrPort(s.Address, s.Port), V6: v6}
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a, port)
}
