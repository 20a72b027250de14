package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

// mostBeyond is how many octets more than its MTU a device might take: the 4 of a VLAN tag (IEEE 802.1Q), twice.
const mostBeyond = 8

// carries is how large IPv4 packets get from one host to another, in octets, though some device between has an MTU of mtu: what a veth and a bridge
// take beyond that depends on the kernel, its settings and the direction. So it is tried out, by datagrams that nothing answers.
func carries(from, to *host, mtu int) int {
	from.site.t.Helper()
	seen, dst := to.Capture("eth0"), netip.AddrPortFrom(from.site.set.Nodes[to.id].Description.VTEP, 9)
	out := unbounded(from.NS)
	defer out.Close()
	const headers = 14 + 20 + 8 // Ethernet, IPv4, UDP
	arrived := func(number int) func([]byte) bool {
		return func(f []byte) bool {
			return len(f) >= headers+4 && string(f[30:34]) == string(dst.Addr().AsSlice()) && binary.BigEndian.Uint16(f[36:]) == dst.Port() &&
				binary.BigEndian.Uint32(f[headers:]) == uint32(number)
		}
	}
	send := func(number, size int) {
		body := binary.BigEndian.AppendUint32(nil, uint32(number))
		_, err := out.WriteToUDPAddrPort(append(body, make([]byte, size-len(body)-headers+14)...), dst)
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EMSGSIZE) { // dropped by the peer's end, or by the device itself
			from.site.t.Fatal(err)
		}
	}
	most := 0
	for i := range 3 * (mostBeyond + 1) { // each thrice: a small one might overtake the large one before it, which then counts as lost
		size := mtu + i%(mostBeyond+1)
		send(2*i, size)
		send(2*i+1, 64)
		seen.Await(fmt.Sprintf("small ones that follow one of %d", size), 1, arrived(2*i+1))
		if seen.Count(arrived(2*i)) > 0 {
			most = max(most, size)
		}
	}
	return most
}

// unbounded is a socket of a host that never fragments, and ignores what the kernel has heard of the way (ip(7), IP_PMTUDISC_PROBE).
func unbounded(ns *kerneltest.NS) (out *net.UDPConn) {
	ns.Do(func() error {
		lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			cerr := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
			})
			return errors.Join(cerr, err)
		}}
		c, err := lc.ListenPacket(context.Background(), "udp4", "0.0.0.0:0")
		if err == nil {
			out = c.(*net.UDPConn)
		}
		return err
	})
	return out
}
