package pathmtu

import (
	"encoding/binary"
	"net/netip"

	"github.com/swarmnet/swarmnet"
)

// Headers, in octets.
const (
	vxlanHeader = 8
	etherHeader = 14
	ipHeader    = 20
	icmpHeader  = 8
	// udpHeader and the outer IP header are the kernel's to write.
	udpHeader = 8
)

// Echo is an ICMP echo request (RFC 792) from one node's address on the ingress network to another's, in an Ethernet frame, in VXLAN (RFC 7348):
// the payload of a UDP packet that is size octets with its outer IP header. Its sequence number is seq.
func Echo(vni swarmnet.VNI, from, to Peer, size int, id, seq uint16) []byte {
	outer := ipHeader + udpHeader
	if to.VTEP.Is6() {
		outer = 40 + udpHeader
	}
	b := make([]byte, max(size-outer, vxlanHeader+etherHeader+ipHeader+icmpHeader))
	b[0] = 0x08 // the VNI counts
	binary.BigEndian.PutUint32(b[4:], uint32(vni)<<8)
	frame := b[vxlanHeader:]
	copy(frame, to.MAC[:])
	copy(frame[6:], from.MAC[:])
	binary.BigEndian.PutUint16(frame[12:], 0x0800)
	ip := frame[etherHeader:]
	writeIPv4(ip, from.Addr, to.Addr)
	icmp := ip[ipHeader:]
	icmp[0] = 8
	binary.BigEndian.PutUint16(icmp[4:], id)
	binary.BigEndian.PutUint16(icmp[6:], seq)
	binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
	return b
}

// EchoReply reads the id and the sequence number of an echo reply, without IP header.
func EchoReply(b []byte) (id, seq uint16, ok bool) {
	if len(b) < icmpHeader || b[0] != 0 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), true
}

// writeIPv4 fills in the header of an ICMP packet. It may be fragmented: so is the answer, where the other node's network is smaller.
func writeIPv4(b []byte, from, to netip.Addr) {
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[8], b[9] = 64, 1 // hops, ICMP
	src, dst := from.As4(), to.As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	binary.BigEndian.PutUint16(b[10:], checksum(b[:ipHeader]))
}

// checksum is that of RFC 1071, over b with its checksum field zero.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
