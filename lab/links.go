package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// rtnl speaks rtnetlink(7) in the process's own network namespace: the few link operations of a lab.
type rtnl struct{ conn *netlink.Conn }

func dialRtnl() (rtnl, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return rtnl{}, fmt.Errorf("cannot open rtnetlink: %w", err)
	}
	return rtnl{conn}, nil
}

func (r rtnl) close() { r.conn.Close() }

func (r rtnl) do(typ netlink.HeaderType, flags netlink.HeaderFlags, head []byte, attrs func(*netlink.AttributeEncoder)) error {
	ae := netlink.NewAttributeEncoder()
	if attrs != nil {
		attrs(ae)
	}
	b, err := ae.Encode()
	if err != nil {
		return err
	}
	_, err = r.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: typ, Flags: netlink.Request | netlink.Acknowledge | flags},
		Data:   append(head, b...),
	})
	return err
}

// ifinfomsg is struct ifinfomsg of linux/rtnetlink.h.
func ifinfomsg(index int, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return b
}

func (r rtnl) create(name, kind string, data func(*netlink.AttributeEncoder) error) error {
	err := r.do(unix.RTM_NEWLINK, netlink.Create|netlink.Excl, ifinfomsg(0, 0, 0), func(ae *netlink.AttributeEncoder) {
		ae.String(unix.IFLA_IFNAME, name)
		ae.Nested(unix.IFLA_LINKINFO, func(info *netlink.AttributeEncoder) error {
			info.String(unix.IFLA_INFO_KIND, kind)
			if data != nil {
				info.Nested(unix.IFLA_INFO_DATA, data)
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("cannot create %s %s: %w", kind, name, err)
	}
	return nil
}

// createVeth makes a pair: one end here, the other, with a given Ethernet address, in the network namespace of a process.
func (r rtnl) createVeth(name, peer string, mac net.HardwareAddr, pid int) error {
	return r.create(name, "veth", func(ae *netlink.AttributeEncoder) error {
		sub := netlink.NewAttributeEncoder()
		sub.String(unix.IFLA_IFNAME, peer)
		sub.Bytes(unix.IFLA_ADDRESS, mac)
		sub.Uint32(unix.IFLA_NET_NS_PID, uint32(pid))
		b, err := sub.Encode()
		if err != nil {
			return err
		}
		const vethInfoPeer = 1 // linux/veth.h
		ae.Bytes(vethInfoPeer, append(ifinfomsg(0, 0, 0), b...))
		return nil
	})
}

// probeVXLAN reports whether the kernel can make a VXLAN device.
func (r rtnl) probeVXLAN() error {
	const name = "probe"
	err := r.create(name, "vxlan", func(ae *netlink.AttributeEncoder) error {
		ae.Uint32(unix.IFLA_VXLAN_ID, 1)
		return nil
	})
	if err != nil {
		return fmt.Errorf("this kernel has no VXLAN (%w): load it with `modprobe vxlan`, or run a kernel built with CONFIG_VXLAN", errors.Unwrap(err))
	}
	return r.remove(name)
}

func index(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	return i.Index, nil
}

func (r rtnl) up(name string) error {
	i, err := index(name)
	if err != nil {
		return err
	}
	return wrap("set up "+name, r.do(unix.RTM_NEWLINK, 0, ifinfomsg(i, unix.IFF_UP, unix.IFF_UP), nil))
}

// setMaster makes a link a port of a bridge; no bridge: of none.
func (r rtnl) setMaster(name, bridge string) error {
	i, err := index(name)
	if err != nil {
		return err
	}
	m := 0
	if bridge != "" {
		if m, err = index(bridge); err != nil {
			return err
		}
	}
	return wrap("set the bridge of "+name, r.do(unix.RTM_NEWLINK, 0, ifinfomsg(i, 0, 0), func(ae *netlink.AttributeEncoder) {
		ae.Uint32(unix.IFLA_MASTER, uint32(m))
	}))
}

// remove deletes a link; that it is gone already is no error.
func (r rtnl) remove(name string) error {
	i, err := index(name)
	if err != nil {
		return nil
	}
	err = r.do(unix.RTM_DELLINK, 0, ifinfomsg(i, 0, 0), nil)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return wrap("remove "+name, err)
}

func (r rtnl) addAddr(name string, p netip.Prefix) error {
	i, err := index(name)
	if err != nil {
		return err
	}
	head := make([]byte, unix.SizeofIfAddrmsg)
	head[0], head[1] = unix.AF_INET, byte(p.Bits())
	if p.Addr().Is6() {
		head[0], head[2] = unix.AF_INET6, unix.IFA_F_NODAD
	}
	binary.NativeEndian.PutUint32(head[4:], uint32(i))
	return wrap("give "+name+" the address "+p.String(), r.do(unix.RTM_NEWADDR, netlink.Create|netlink.Excl, head, func(ae *netlink.AttributeEncoder) {
		ae.Bytes(unix.IFA_LOCAL, p.Addr().AsSlice())
		ae.Bytes(unix.IFA_ADDRESS, p.Addr().AsSlice())
	}))
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	return nil
}
