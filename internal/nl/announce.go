package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
)

// announcements is how often each is sent (RFC 5227 section 1.1, ANNOUNCE_NUM).
const announcements = 2

// allNodes is where IPv6 hosts of a link listen (RFC 4291 section 2.7.1), and what that is on Ethernet (RFC 2464 section 7).
var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = swarmnet.MAC{0x33, 0x33, 0, 0, 0, 1}
	broadcast   = swarmnet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

// Announce tells those on the link of each entry's interface that its address is at its MAC, whatever they have believed: by a gratuitous ARP
// request (RFC 5227 section 3) or an unsolicited neighbour advertisement (RFC 4861 section 7.2.6). It puts their neighbour tables right and adds
// nothing to them. The frames bear the entry's MAC, whoever sends them. What cannot be sent at the moment is left out: it only makes others find
// out later, by themselves.
func (c *Conn) Announce(list []Neigh) error {
	if len(list) == 0 {
		return nil
	}
	return c.ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // 0: it receives nothing
		if errors.Is(err, unix.EAFNOSUPPORT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot open a packet socket: %w", err)
		}
		// Whoever closes a packet socket waits in the kernel for an RCU grace period (packet_release in net/packet/af_packet.c), 10 ms and more: that is
		// left to the background.
		defer func() { go unix.Close(fd) }()
		for range announcements {
			for _, n := range list {
				frame, err := announcement(n.MAC, n.Addr)
				if err != nil {
					return err
				}
				err = unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: n.Index, Halen: 6})
				if err != nil && !unsent(err) {
					return fmt.Errorf("cannot announce %s: %w", n, err)
				}
			}
		}
		return nil
	})
}

// unsent says that an interface is down or gone, or takes nothing more just now.
func unsent(err error) bool {
	return errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOBUFS)
}

// announcement is the Ethernet frame that says where an address is.
func announcement(mac swarmnet.MAC, addr netip.Addr) ([]byte, error) {
	if addr.Is4() {
		return gratuitousARP(mac, addr), nil
	}
	return unsolicitedNA(mac, addr)
}

func ethernet(to, from swarmnet.MAC, kind uint16) []byte {
	return binary.BigEndian.AppendUint16(append(append(make([]byte, 0, 96), to[:]...), from[:]...), kind)
}

// gratuitousARP is a request (RFC 826) for the address that it comes from.
func gratuitousARP(mac swarmnet.MAC, addr netip.Addr) []byte {
	out := ethernet(broadcast, mac, unix.ETH_P_ARP)
	out = append(out, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, their lengths, request
	out = append(append(out, mac[:]...), addr.AsSlice()...)
	return append(append(out, make([]byte, 6)...), addr.AsSlice()...)
}

// unsolicitedNA overrides what others have cached.
func unsolicitedNA(mac swarmnet.MAC, addr netip.Addr) ([]byte, error) {
	message, err := ndp.MarshalMessageChecksum(&ndp.NeighborAdvertisement{
		Override: true, TargetAddress: addr,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac[:]}},
	}, addr, allNodes)
	if err != nil {
		return nil, fmt.Errorf("neighbour advertisement of %s: %w", addr, err)
	}
	out := ethernet(allNodesMAC, mac, unix.ETH_P_IPV6)
	out = append(out, 6<<4, 0, 0, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(len(message)))
	out = append(out, unix.IPPROTO_ICMPV6, 255) // the hop limit shows that it was not forwarded
	out = append(append(out, addr.AsSlice()...), allNodes.AsSlice()...)
	return append(out, message...), nil
}
