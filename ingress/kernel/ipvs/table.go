package ipvs

import (
	"cmp"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Key names a service: what packets are balanced. It is an address, a port and a protocol, or a firewall mark of one address family.
type Key struct {
	Proto uint8 // of the IP header; 0 with a mark
	Addr  netip.AddrPort
	Mark  uint32 // 0: by the address
	V6    bool
}

// At is the service at an address.
func At(proto uint8, addr netip.AddrPort) Key {
	return Key{Proto: proto, Addr: addr, V6: addr.Addr().Is6()}
}

// Marked is the service of the packets with a mark.
func Marked(mark uint32, v6 bool) Key { return Key{Mark: mark, V6: v6} }

// String is "tcp 169.254.77.2:8080", or "fwmark 0x77000002".
func (k Key) String() string {
	if k.Mark == 0 {
		return protoName(k.Proto) + " " + k.Addr.String()
	}
	if k.V6 {
		return fmt.Sprintf("fwmark %#x ipv6", k.Mark)
	}
	return fmt.Sprintf("fwmark %#x", k.Mark)
}

func (k Key) compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Proto, o.Proto), k.Addr.Compare(o.Addr), cmp.Compare(k.Mark, o.Mark), cmp.Compare(protoOf(k.V6), protoOf(o.V6)))
}

func protoOf(v6 bool) int {
	if v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func protoName(p uint8) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	return fmt.Sprint(p)
}

// Service is how packets are balanced, and over what.
type Service struct {
	Scheduler Scheduler
	Flags     uint32
	Dests     map[netip.AddrPort]Dest // port 0: the port that was asked
}

// NewService is one without destinations.
func NewService(s Scheduler) Service {
	return Service{Scheduler: s, Flags: s.flags(), Dests: map[netip.AddrPort]Dest{}}
}

// Dest is a destination.
type Dest struct {
	// Weight is the share of new connections; 0: none, established ones go on.
	Weight int
	// Method is how packets get there; 0 is masquerading, the only one that we use.
	Method uint32
	// Upper and Lower are how many connections it may have before it gets no new ones, and until it does again; 0: any number, all that we use.
	Upper, Lower uint32
	// Conns is how many connections it has. It is observed, never wanted.
	Conns int
}

// same reports whether two are the same but for their connections.
func (d Dest) same(o Dest) bool {
	d.Conns = o.Conns
	return d == o
}

// Table is all services of ours.
type Table map[Key]Service

// Retired is what is to be left of a table when nothing new is to be balanced by it: the destinations that have connections still.
func Retired(have Table) Table {
	out := Table{}
	for k, s := range have {
		left := Service{Scheduler: s.Scheduler, Flags: s.Flags, Dests: map[netip.AddrPort]Dest{}}
		for a, d := range s.Dests {
			if d.Conns > 0 {
				left.Dests[a] = Dest{Method: d.Method}
			}
		}
		if len(left.Dests) > 0 {
			out[k] = left
		}
	}
	return out
}
