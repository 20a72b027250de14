package nl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
)

// Link is a network interface.
type Link struct {
	Index int
	Name  string
	Kind  string // "bridge", "vxlan", "veth", …; empty for a device of the hardware
	MAC   swarmnet.MAC
	MTU   int // octets
	Up    bool
	// Running says that frames pass: the carrier is there, and the kernel has taken notice of it (IFF_RUNNING).
	Running bool
	Master  int // index of the bridge that it is a port of; 0: none
	Alias   string
	VXLAN   *VXLAN // of a VXLAN device
	// FiltersVLANs is of a bridge that keeps VLANs apart, which ours do not.
	FiltersVLANs bool
}

// VXLAN is what is particular to a VXLAN device. All of ours neither learn nor flood, and answer ARP and neighbour
// solicitations out of their neighbour table (`proxy`).
type VXLAN struct {
	VNI   swarmnet.VNI
	Local netip.Addr
	Port  uint16
	Proxy bool
	Learn bool
}

// Links lists the namespace's interfaces.
func (c *Conn) Links() ([]Link, error) {
	return dump("links", func() ([]Link, error) {
		list, err := c.h.LinkList()
		if err != nil {
			return nil, err
		}
		out := make([]Link, len(list))
		for i, l := range list {
			out[i] = fromLink(l)
		}
		return out, nil
	})
}

// Link finds an interface by name; ok is false when there is none.
func (c *Conn) Link(name string) (l Link, ok bool, err error) {
	got, err := c.h.LinkByName(name)
	if err != nil {
		if absent(err) {
			return Link{}, false, nil
		}
		return Link{}, false, fmt.Errorf("cannot look up link %s: %w", name, err)
	}
	return fromLink(got), true, nil
}

// AwaitRunning waits until frames pass an interface that was set up just now: the kernel takes notice of a carrier some time after, and drops what
// is sent before. It gives up after a second, without an error: the other end may be down.
func (c *Conn) AwaitRunning(index int) error {
	for began := time.Now(); time.Since(began) < time.Second; time.Sleep(time.Millisecond) {
		l, err := c.h.LinkByIndex(index)
		if err != nil {
			return wrapLink("look up", index, err)
		}
		if l.Attrs().RawFlags&unix.IFF_RUNNING != 0 {
			return nil
		}
	}
	return nil
}

// LinkByIndex finds an interface by its index.
func (c *Conn) LinkByIndex(index int) (Link, error) {
	l, err := c.h.LinkByIndex(index)
	if err != nil {
		return Link{}, fmt.Errorf("cannot look up link %d: %w", index, err)
	}
	return fromLink(l), nil
}

func fromLink(l netlink.Link) Link {
	a := l.Attrs()
	out := Link{
		Index: a.Index, Name: a.Name, Kind: l.Type(), MTU: a.MTU, Master: a.MasterIndex, Alias: a.Alias,
		Up: a.Flags&net.FlagUp != 0, Running: a.RawFlags&unix.IFF_RUNNING != 0,
	}
	if out.Kind == "device" {
		out.Kind = ""
	}
	if len(a.HardwareAddr) == 6 {
		out.MAC = swarmnet.MAC(a.HardwareAddr)
	}
	if b, ok := l.(*netlink.Bridge); ok {
		out.FiltersVLANs = b.VlanFiltering != nil && *b.VlanFiltering
	}
	if v, ok := l.(*netlink.Vxlan); ok {
		local, _ := netip.AddrFromSlice(v.SrcAddr)
		out.VXLAN = &VXLAN{VNI: swarmnet.VNI(v.VxlanId), Local: local.Unmap(), Port: uint16(v.Port), Proxy: v.Proxy, Learn: v.Learning}
	}
	return out
}

// AddBridge makes a bridge, down, with a fixed MAC. Spanning tree is off: our bridges have no loops.
func (c *Conn) AddBridge(name string, mac swarmnet.MAC, mtu int) error {
	off := false
	b := &netlink.Bridge{LinkAttrs: attrs(name, mac, mtu), MulticastSnooping: &off}
	return c.add(b)
}

// AddVXLAN makes a VXLAN device, down, in the namespace into; its UDP socket stays in the connection's own, the underlay. It is made
// there in one step, so that no half-moved one is ever left behind. What it has no forwarding entry for it drops.
func (c *Conn) AddVXLAN(name string, mtu int, v VXLAN, into *netns.Handle) error {
	a := attrs(name, swarmnet.MAC{}, mtu)
	a.Namespace = netlink.NsFd(into.FD())
	return c.add(&netlink.Vxlan{
		LinkAttrs: a, VxlanId: int(v.VNI), SrcAddr: v.Local.AsSlice(), Port: int(v.Port), Learning: v.Learn, Proxy: v.Proxy,
	})
}

// Veth is one end of a pair.
type Veth struct {
	Name string
	MAC  swarmnet.MAC  // zero: the kernel chooses
	NS   *netns.Handle // nil: the connection's own
}

// AddVeth makes a pair of connected interfaces, both down: the first in the connection's namespace.
func (c *Conn) AddVeth(mtu int, a, b Veth) error {
	v := &netlink.Veth{LinkAttrs: attrs(a.Name, a.MAC, mtu), PeerName: b.Name, PeerMTU: uint32(mtu)}
	if !b.MAC.IsZero() {
		v.PeerHardwareAddr = net.HardwareAddr(b.MAC[:])
	}
	if b.NS != nil {
		v.PeerNamespace = netlink.NsFd(b.NS.FD())
	}
	return c.add(v)
}

func attrs(name string, mac swarmnet.MAC, mtu int) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU = name, mtu
	if !mac.IsZero() {
		a.HardwareAddr = net.HardwareAddr(mac[:])
	}
	return a
}

func (c *Conn) add(l netlink.Link) error {
	return c.adding(func() error { return c.linkAdd(l) }, "link %s type %s", l.Attrs().Name, l.Type())
}

func (c *Conn) linkAdd(l netlink.Link) error {
	if err := c.h.LinkAdd(l); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("cannot make %s %s: %w: this kernel lacks it, load its module", l.Type(), l.Attrs().Name, err)
		}
		if v, ok := l.(*netlink.Vxlan); ok && errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("cannot make vxlan %s: VNI %d on UDP port %d is used by another device of this host: %w: remove it, or choose another --data-path-port", v.Name, v.VxlanId, v.Port, err)
		}
		return fmt.Errorf("cannot make %s %s: %w", l.Type(), l.Attrs().Name, err)
	}
	return nil
}

// DelLink removes an interface; an absent one is removed already.
func (c *Conn) DelLink(name string) error {
	l, ok, err := c.Link(name)
	if err != nil || !ok {
		return err
	}
	return c.removing(func() error {
		if err := c.h.LinkDel(ref(l.Index)); err != nil && !absent(err) {
			return fmt.Errorf("cannot remove link %s: %w", name, err)
		}
		return nil
	}, "link %s", name)
}

// ref names an interface by its index alone.
func ref(index int) netlink.Link {
	return &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// setLink changes an interface; what says how, in ip-link(8)'s words.
func (c *Conn) setLink(index int, act func() error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	return c.adding(func() error {
		if err := act(); err != nil {
			return fmt.Errorf("cannot set link %d %s: %w", index, what, err)
		}
		return nil
	}, "link %s %s", c.name(index), what)
}

// SetUp brings an interface up.
func (c *Conn) SetUp(index int) error {
	return c.setLink(index, func() error { return c.h.LinkSetUp(ref(index)) }, "up")
}

// SetMTU sets an interface's MTU in octets.
func (c *Conn) SetMTU(index, mtu int) error {
	return c.setLink(index, func() error { return c.h.LinkSetMTU(ref(index), mtu) }, "mtu %d", mtu)
}

// SetSegments sets of how many segments at most a packet that leaves by an interface may be, to be cut later (generic segmentation offload).
func (c *Conn) SetSegments(index, segments int) error {
	return c.setLink(index, func() error { return c.h.LinkSetGSOMaxSegs(ref(index), segments) }, "gso_max_segs %d", segments)
}

// SetMAC sets an interface's Ethernet address.
func (c *Conn) SetMAC(index int, mac swarmnet.MAC) error {
	return c.setLink(index, func() error { return c.h.LinkSetHardwareAddr(ref(index), mac[:]) }, "address %s", mac)
}

// SetMaster makes an interface a port of a bridge; 0: of none.
func (c *Conn) SetMaster(index, bridge int) error {
	return c.setLink(index, func() error { return c.h.LinkSetMasterByIndex(ref(index), bridge) }, "master %s", c.name(bridge))
}

// FilterVLANs says whether a bridge keeps VLANs apart. It goes by the bridge's name alone: the library would say the name beside the index, which kernels
// before 6.2 take for a wish to rename what is up, and refuse (EBUSY, dev_change_name in net/core/dev.c).
func (c *Conn) FilterVLANs(bridge Link, on bool) error {
	word := map[bool]string{false: "0", true: "1"}[on]
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	b.Name = bridge.Name
	return c.setLink(bridge.Index, func() error { return c.h.BridgeSetVlanFiltering(b, on) }, "type bridge vlan_filtering %s", word)
}

// SetAlias sets an interface's ifalias, the mark that says whose it is.
func (c *Conn) SetAlias(index int, alias string) error {
	return c.setLink(index, func() error { return c.h.LinkSetAlias(ref(index), alias) }, "alias %q", alias)
}

// Rename gives an interface another name; it must be down.
func (c *Conn) Rename(index int, name string) error {
	return c.setLink(index, func() error { return c.h.LinkSetName(ref(index), name) }, "name %s", name)
}

// Move gives an interface to another namespace.
func (c *Conn) Move(index int, to *netns.Handle) error {
	return c.setLink(index, func() error { return c.h.LinkSetNsFd(ref(index), to.FD()) }, "netns")
}

// SetPortLearning says whether a bridge learns addresses from a port.
func (c *Conn) SetPortLearning(index int, on bool) error {
	word := map[bool]string{false: "off", true: "on"}[on]
	return c.setLink(index, func() error { return c.h.LinkSetLearning(ref(index), on) }, "type bridge_slave learning %s", word)
}
