package ipvs

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// Conn works in one network namespace. It may be used by one goroutine at a time.
type Conn struct {
	h *ipvs.Handle // changes
	g *nl.Generic  // looks
}

// Open opens the IPVS of the namespace at path. On a kernel without it the error says what is missing.
func Open(path string) (*Conn, error) {
	number, err := family()
	if err != nil {
		return nil, err
	}
	g, err := nl.OpenGeneric(path, number, readMost)
	if err != nil {
		return nil, fmt.Errorf("cannot open IPVS: %w", err)
	}
	h, err := ipvs.New(path)
	if err != nil {
		g.Close()
		return nil, fmt.Errorf("cannot open IPVS: %w", err)
	}
	return &Conn{h, g}, nil
}

// Close closes the sockets; what was made stays.
func (c *Conn) Close() {
	c.h.Close()
	c.g.Close()
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
	d := &ipvs.Destination{Address: o.Addr.Addr().AsSlice(), Port: o.Addr.Port(), Weight: o.Dest.Weight, ConnectionFlags: o.Dest.Method,
		UpperThreshold: o.Dest.Upper, LowerThreshold: o.Dest.Lower}
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
