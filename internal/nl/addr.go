package nl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addrs lists the addresses of an interface (0: of all) with their prefix lengths, without IPv6 link-local ones that the kernel made.
func (c *Conn) Addrs(index int) ([]netip.Prefix, error) {
	var link netlink.Link
	if index != 0 {
		link = ref(index)
	}
	return dump("addresses", func() ([]netip.Prefix, error) {
		list, err := c.h.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			return nil, err
		}
		var out []netip.Prefix
		for _, a := range list {
			if p, ok := given(a); ok {
				out = append(out, p)
			}
		}
		return out, nil
	})
}

// given leaves out what the kernel made.
func given(a netlink.Addr) (netip.Prefix, bool) {
	p, ok := fromIPNet(a.IPNet)
	return p, ok && (p.Addr().Is4() || !p.Addr().IsLinkLocalUnicast())
}

// LinkWith is the interface that has an address, as Addrs lists them.
func (c *Conn) LinkWith(addr netip.Addr) (l Link, ok bool, err error) {
	at, err := dump("addresses", func() (at []int, err error) {
		list, err := c.h.AddrList(nil, netlink.FAMILY_ALL)
		for _, a := range list {
			if p, ok := given(a); ok && p.Addr() == addr {
				at = append(at, a.LinkIndex)
			}
		}
		return at, err
	})
	if err != nil || len(at) == 0 {
		return Link{}, false, err
	}
	l, err = c.LinkByIndex(at[0])
	return l, err == nil, err
}

// AddAddr gives an interface an address; one that it has is kept. IPv6 addresses are usable at once: ours are unique by
// allocation, duplicate address detection (RFC 4862) would only delay them.
func (c *Conn) AddAddr(index int, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: toIPNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return c.adding(func() error {
		if err := c.h.AddrReplace(ref(index), a); err != nil {
			return fmt.Errorf("cannot add address %s: %w", p, err)
		}
		c.awaitOwn(p.Addr())
		return nil
	}, "addr %s dev %s", p, c.name(index))
}

// ownPatience bounds the waiting for an address to be the kernel's own: what asks for it is to be slower, not to fail.
const ownPatience = time.Second

// awaitOwn waits until the kernel takes an IPv6 address for its own. It does so in a work of its own some time after the address is given (addrconf_dad_work
// in net/ipv6/addrconf.c), which is long while its lock of devices is contended; who asks for the address before is sent to the link, to look for a neighbour
// for three seconds. The address is there in any case, so that neither an error of asking nor waiting in vain is one of AddAddr.
func (c *Conn) awaitOwn(a netip.Addr) {
	if !a.Is6() {
		return
	}
	for began := time.Now(); time.Since(began) < ownPatience; time.Sleep(time.Millisecond) {
		if own, err := c.isOwn(a); own || err != nil {
			return
		}
	}
}

// isOwn reports whether what is sent to an IPv6 address from here is delivered here.
func (c *Conn) isOwn(a netip.Addr) (own bool, err error) {
	msg := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofRtMsg)
	msg[unix.NLMSG_HDRLEN], msg[unix.NLMSG_HDRLEN+1] = unix.AF_INET6, 128 // rtm_family, rtm_dst_len
	// Not by the library: it sets RTM_F_LOOKUP_TABLE, which strict checking refuses for IPv6 (EINVAL).
	err = c.ask(appendAttr(msg, unix.RTA_DST, a.AsSlice()), unix.RTM_GETROUTE, func(body []byte) {
		own = len(body) >= unix.SizeofRtMsg && body[7] == unix.RTN_LOCAL // rtm_type
	})
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return false, nil
	}
	return own, err
}

// DelAddr takes an address from an interface; an absent one is gone already.
func (c *Conn) DelAddr(index int, p netip.Prefix) error {
	return c.removing(func() error {
		if err := c.h.AddrDel(ref(index), &netlink.Addr{IPNet: toIPNet(p)}); err != nil && !absent(err) {
			return fmt.Errorf("cannot remove address %s: %w", p, err)
		}
		return nil
	}, "addr %s dev %s", p, c.name(index))
}

func toIPNet(p netip.Prefix) *net.IPNet {
	if !p.IsValid() {
		return nil
	}
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func fromIPNet(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	ones, bits := n.Mask.Size()
	addr = addr.Unmap()
	if addr.Is4() && bits == 128 {
		ones -= 96
	}
	return netip.PrefixFrom(addr, ones), true
}
