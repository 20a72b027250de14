package nl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
)

// macvlanModes are the modes of a macvlan device (ip-link(8)) that give each sandbox a life of its own on the parent's network.
var macvlanModes = map[string]netlink.MacvlanMode{
	"bridge":   netlink.MACVLAN_MODE_BRIDGE,
	"vepa":     netlink.MACVLAN_MODE_VEPA,
	"private":  netlink.MACVLAN_MODE_PRIVATE,
	"passthru": netlink.MACVLAN_MODE_PASSTHRU,
}

// MacvlanModes names them, in order.
func MacvlanModes() []string {
	var out []string
	for m := range macvlanModes {
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}

// Macvlan is a device with an address of its own on another device's network.
type Macvlan struct {
	Name   string
	Parent int    // index, in the connection's namespace
	Mode   string // one of MacvlanModes; empty: bridge
	MAC    swarmnet.MAC
	MTU    int // octets; 0: the parent's
}

// AddMacvlan makes a macvlan device, down, in the namespace into, in one step: no half-moved one is ever left behind.
func (c *Conn) AddMacvlan(m Macvlan, into *netns.Handle) error {
	if m.Mode == "" {
		m.Mode = "bridge"
	}
	mode, ok := macvlanModes[m.Mode]
	if !ok {
		return fmt.Errorf("%q is not a macvlan mode: one of %s", m.Mode, strings.Join(MacvlanModes(), ", "))
	}
	a := attrs(m.Name, m.MAC, m.MTU)
	a.ParentIndex = m.Parent
	a.Namespace = netlink.NsFd(into.FD())
	return c.add(&netlink.Macvlan{LinkAttrs: a, Mode: mode})
}

// AddVLAN makes an IEEE 802.1Q device, down, that carries the frames of one VLAN (1 to 4094) of its parent.
func (c *Conn) AddVLAN(name string, parent, id int) error {
	a := attrs(name, swarmnet.MAC{}, 0)
	a.ParentIndex = parent
	err := c.add(&netlink.Vlan{LinkAttrs: a, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("VLAN %d of the parent has a device of another name already: use that as parent: %w", id, err)
	}
	return err
}
