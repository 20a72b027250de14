package nl

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
)

// Neigh is one entry of a neighbour table (an address and its MAC) or of a forwarding database (a MAC and where it is).
type Neigh struct {
	Index int // of the interface
	MAC   swarmnet.MAC
	// Addr is the neighbour's address; zero for a forwarding entry.
	Addr netip.Addr
	// VTEP is the remote endpoint of a VXLAN device's own forwarding entry; zero for a bridge's entry for the port.
	VTEP netip.Addr
}

// FDB reports whether n is a forwarding entry.
func (n Neigh) FDB() bool { return !n.Addr.IsValid() }

// String is the entry as bridge(8) or ip-neighbour(8) has it, without its interface.
func (n Neigh) String() string {
	switch {
	case !n.FDB():
		return n.Addr.String() + " lladdr " + n.MAC.String()
	case n.VTEP.IsValid():
		return n.MAC.String() + " dst " + n.VTEP.String() + " self"
	}
	return n.MAC.String() + " master"
}

func (n Neigh) words() string {
	if n.FDB() {
		return "fdb " + n.String()
	}
	return "neigh " + n.String()
}

// Neighs lists the permanent neighbour entries of an interface, both families.
func (c *Conn) Neighs(index int) ([]Neigh, error) {
	return dump("neighbours", func() ([]Neigh, error) {
		var out []Neigh
		for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
			err := c.dumpNeigh(family, index, func(e entry) {
				if e.addr.IsValid() && e.state&unix.NUD_PERMANENT != 0 {
					out = append(out, Neigh{Index: index, MAC: e.mac, Addr: e.addr})
				}
			})
			if err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

// FDB lists the permanent forwarding entries of an interface: those of a VXLAN device itself, which have a VTEP, and those
// that its bridge holds for it.
func (c *Conn) FDB(index int) ([]Neigh, error) {
	return dump("forwarding entries", func() ([]Neigh, error) {
		var out []Neigh
		err := c.dumpNeigh(unix.AF_BRIDGE, index, func(e entry) {
			if e.state&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 || e.index != index {
				return
			}
			if e.vlan != 0 { // kernels with VLAN filtering repeat each entry for the default VLAN
				return
			}
			if !e.addr.IsValid() && (e.flags&unix.NTF_SELF != 0 || e.master == 0 && e.flags&unix.NTF_MASTER == 0) {
				return // the device's own address
			}
			out = append(out, Neigh{Index: index, MAC: e.mac, VTEP: e.addr})
		})
		return out, err
	})
}

// entry is a struct ndmsg with the attributes that count here.
type entry struct {
	index, master int
	state, vlan   uint16
	flags         uint8
	addr          netip.Addr
	mac           swarmnet.MAC
}

// dumpNeigh gives each entry of an interface that has a MAC to fn.
func (c *Conn) dumpNeigh(family byte, index int, fn func(entry)) error {
	msg := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofNdMsg)
	msg[unix.NLMSG_HDRLEN] = family
	seq := c.seq
	c.seq++
	if family == unix.AF_BRIDGE {
		binary.NativeEndian.PutUint32(msg[unix.NLMSG_HDRLEN+4:], uint32(index))
	} else {
		// Neighbour dumps are narrowed by an attribute; their header must be zero.
		var i [4]byte
		binary.NativeEndian.PutUint32(i[:], uint32(index))
		msg = appendAttr(msg, unix.NDA_IFINDEX, i[:])
	}
	putHeader(msg, unix.RTM_GETNEIGH, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, seq)
	if err := c.sendRaw(msg); err != nil {
		return err
	}
	interrupted := false
	err := c.raw.receive(func(a answer) (bool, error) {
		if a.seq != seq {
			return false, nil
		}
		interrupted = interrupted || a.flags&unix.NLM_F_DUMP_INTR != 0
		switch a.typ {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			if e := a.errno(); e != 0 {
				return true, e
			}
			return true, nil
		case unix.RTM_NEWNEIGH:
			if e, ok := parseEntry(a.body); ok && e.index == index {
				fn(e)
			}
		}
		return false, nil
	})
	if err == nil && interrupted {
		err = netlink.ErrDumpInterrupted
	}
	return err
}

// parseEntry reads a struct ndmsg and its attributes; ok is false for one without a MAC.
func parseEntry(b []byte) (e entry, ok bool) {
	if len(b) < unix.SizeofNdMsg {
		return e, false
	}
	e.index, e.state, e.flags = int(binary.NativeEndian.Uint32(b[4:])), binary.NativeEndian.Uint16(b[8:]), b[10]
	for b = b[unix.SizeofNdMsg:]; len(b) >= 4; {
		length := int(binary.NativeEndian.Uint16(b))
		if length < 4 || length > len(b) {
			return e, false
		}
		data := b[4:length]
		switch binary.NativeEndian.Uint16(b[2:]) {
		case unix.NDA_DST:
			if a, is := netip.AddrFromSlice(data); is {
				e.addr = a.Unmap()
			}
		case unix.NDA_LLADDR:
			if ok = len(data) == len(e.mac); ok {
				e.mac = swarmnet.MAC(data)
			}
		case unix.NDA_VLAN:
			if len(data) == 2 {
				e.vlan = binary.NativeEndian.Uint16(data)
			}
		case unix.NDA_MASTER:
			if len(data) == 4 {
				e.master = int(binary.NativeEndian.Uint32(data))
			}
		}
		b = b[min(align(length), len(b)):]
	}
	return e, ok
}
