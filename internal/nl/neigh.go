package nl

import (
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

// Neighs lists the permanent neighbour entries of an interface, both families.
func (c *Conn) Neighs(index int) ([]Neigh, error) {
	return dump("neighbours", func() ([]Neigh, error) {
		var out []Neigh
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			list, err := c.h.NeighList(index, family)
			if err != nil {
				return nil, err
			}
			for _, n := range list {
				addr, ok := netip.AddrFromSlice(n.IP)
				if !ok || n.State&unix.NUD_PERMANENT == 0 || len(n.HardwareAddr) != 6 {
					continue
				}
				out = append(out, Neigh{Index: index, MAC: swarmnet.MAC(n.HardwareAddr), Addr: addr.Unmap()})
			}
		}
		return out, nil
	})
}

// FDB lists the permanent forwarding entries of an interface: those of a VXLAN device itself, which have a VTEP, and those
// that its bridge holds for it.
func (c *Conn) FDB(index int) ([]Neigh, error) {
	return dump("forwarding entries", func() ([]Neigh, error) {
		list, err := c.h.NeighList(index, unix.AF_BRIDGE)
		if err != nil {
			return nil, err
		}
		var out []Neigh
		for _, n := range list {
			if n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 || len(n.HardwareAddr) != 6 || n.LinkIndex != index {
				continue
			}
			e := Neigh{Index: index, MAC: swarmnet.MAC(n.HardwareAddr)}
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				e.VTEP = addr.Unmap()
			} else if n.Flags&unix.NTF_SELF != 0 || n.MasterIndex == 0 && n.Flags&unix.NTF_MASTER == 0 {
				continue // the device's own address
			}
			out = append(out, e)
		}
		return out, nil
	})
}
