package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// Event is that something changed which may be ours, in one namespace.
type Event struct {
	// NSID names the namespace, as the one that listens numbers it; Here is the listening one's own.
	NSID int
	// Lost says that the kernel could not tell all: anything may have changed, anywhere.
	Lost bool
	// Renumbered says that the numbers of namespaces mean others now.
	Renumbered bool
	// Alias is that of an interface that changed, where it has one.
	Alias string
	// Index is that of the interface that the change is of: of itself, or of its neighbour and forwarding entries; 0: of none, or it is not told.
	Index int
	// Link says that an interface changed, Gone that it is there no more.
	Link, Gone bool
}

// Here is the NSID of the listening namespace itself.
const Here = -1

// Listen says what of a namespace is to be heard.
type Listen struct {
	// Peers has the namespaces heard, too, that the listening one has a number for: those with the other end of a pair.
	Peers bool
	// Neighbours has neighbour and forwarding entries heard.
	Neighbours bool
}

// Events hears of changes: rtnetlink(7)'s links, addresses, routes, rules, neighbours and settings, or nftables' tables whose names begin
// with TablePrefix.
type Events struct {
	f   *os.File
	raw interface {
		Read(func(fd uintptr) bool) error
	}
	nft      bool
	buf, oob []byte
}

// TablePrefix begins the names of all our tables.
const TablePrefix = "swarmnet_"

// eventBuffer is asked for the sockets, in octets: a burst that does not fit costs a full pass.
const eventBuffer = 1 << 20

// ListenLinks hears rtnetlink.
func ListenLinks(path string, l Listen) (*Events, error) {
	groups := []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_NSID,
	}
	if l.Neighbours {
		groups = append(groups, unix.RTNLGRP_NEIGH)
	}
	return listen(path, unix.NETLINK_ROUTE, l.Peers, groups)
}

// ListenTables hears nftables.
func ListenTables(path string, l Listen) (*Events, error) {
	return listen(path, unix.NETLINK_NETFILTER, l.Peers, []int{unix.NFNLGRP_NFTABLES})
}

func listen(path string, proto int, peers bool, groups []int) (*Events, error) {
	fd := -1
	err := netns.Do(path, func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot listen to the kernel: %w", err)
	}
	fail := func(err error) (*Events, error) {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot listen to the kernel: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, eventBuffer) // as much as is allowed
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fail(err)
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			return fail(err)
		}
	}
	if peers {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1); err != nil {
			return fail(err)
		}
	}
	f := os.NewFile(uintptr(fd), "netlink")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot listen to the kernel: %w", err)
	}
	return &Events{f: f, raw: raw, nft: proto == unix.NETLINK_NETFILTER, buf: make([]byte, 32<<10), oob: make([]byte, 64)}, nil
}

// Close ends Next with os.ErrClosed.
func (e *Events) Close() error { return e.f.Close() }

// Next waits for changes and gives each to fn.
func (e *Events) Next(fn func(Event)) error {
	var n, oobn int
	var rerr error
	err := e.raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, rerr = unix.Recvmsg(int(fd), e.buf, e.oob, 0)
		return !errors.Is(rerr, unix.EAGAIN)
	})
	switch {
	case err != nil:
		return err
	case errors.Is(rerr, unix.ENOBUFS):
		fn(Event{NSID: Here, Lost: true})
		return nil
	case errors.Is(rerr, unix.EINTR):
		return nil
	case rerr != nil:
		return fmt.Errorf("cannot listen to the kernel: %w", rerr)
	}
	nsid := nsidOf(e.oob[:oobn])
	for b := e.buf[:n]; len(b) >= unix.NLMSG_HDRLEN; {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			break
		}
		typ, flags, body := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), b[unix.NLMSG_HDRLEN:length]
		if e.nft {
			if ourTable(body) {
				fn(Event{NSID: nsid})
			}
		} else if ev, ok := linkEvent(typ, flags, body); ok {
			ev.NSID = nsid
			fn(ev)
		}
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// nsidOf reads the control message that names the namespace (netlink(7), NETLINK_LISTEN_ALL_NSID).
func nsidOf(oob []byte) int {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return Here
	}
	for _, m := range list {
		if m.Header.Level == unix.SOL_NETLINK && m.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(m.Data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(m.Data)))
		}
	}
	return Here
}

// ourTable reports whether a message of nftables is about one of our tables: the first attribute of all of them is the table's name, after a
// struct nfgenmsg.
func ourTable(body []byte) (ours bool) {
	if len(body) < 4 {
		return false
	}
	eachAttr(body[4:], func(typ uint16, data []byte) {
		ours = ours || typ == unix.NFTA_TABLE_NAME && strings.HasPrefix(string(data), TablePrefix)
	})
	return ours
}

// linkEvent leaves out what is nothing of ours: the neighbours that the kernel finds and forgets by itself, and others' routes that replace none.
func linkEvent(typ, flags uint16, body []byte) (ev Event, ok bool) {
	switch typ {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		ev.Link = true
		if len(body) >= unix.SizeofIfInfomsg {
			ev.Index = int(int32(binary.NativeEndian.Uint32(body[4:])))
			ev.Gone = typ == unix.RTM_DELLINK && body[0] != unix.AF_BRIDGE // that is how a bridge says that a port left it
			eachAttr(body[unix.SizeofIfInfomsg:], func(typ uint16, data []byte) {
				if typ == unix.IFLA_IFALIAS {
					ev.Alias = strings.TrimRight(string(data), "\x00")
				}
			})
		}
		return ev, true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return ev, len(body) >= unix.SizeofRtMsg && (body[5] == RouteProtocol || flags&unix.NLM_F_REPLACE != 0)
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		const byItself = unix.NUD_INCOMPLETE | unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE
		if len(body) < unix.SizeofNdMsg || binary.NativeEndian.Uint16(body[8:])&byItself != 0 {
			return ev, false
		}
		ev.Index = int(int32(binary.NativeEndian.Uint32(body[4:])))
		return ev, true
	case unix.RTM_NEWNSID, unix.RTM_DELNSID:
		ev.Renumbered = true
		return ev, true
	}
	return ev, true
}

// EnsureNSID has the connection's namespace have a number for another one, so that its listeners can hear of that.
func (c *Conn) EnsureNSID(of *netns.Handle) error {
	if id, err := c.h.GetNetNsIdByFd(of.FD()); err == nil && id >= 0 {
		return nil
	}
	if err := c.h.SetNetNsIdByFd(of.FD(), -1); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cannot number a network namespace: %w", err)
	}
	return nil
}

// NSID is the number that the connection's namespace has for another one; ok is false when it has none.
func (c *Conn) NSID(path string) (id int, ok bool) {
	h, err := netns.Open(path)
	if err != nil {
		return 0, false
	}
	defer h.Close()
	id, err = c.h.GetNetNsIdByFd(h.FD())
	return id, err == nil && id >= 0
}
