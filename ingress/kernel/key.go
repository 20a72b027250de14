package kernel

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress/kernel/nft"
)

// Types of keys and data; the numbers are nft(8)'s own (nftables' include/datatype.h).
var (
	typeAddr4 = nft.Type{Magic: 7, Len: 4}
	typeAddr6 = nft.Type{Magic: 8, Len: 16}
	typeMAC   = nft.Type{Magic: 9, Len: 6}
	typeProto = nft.Type{Magic: 12, Len: 1}
	typePort  = nft.Type{Magic: 13, Len: 2}
	typeMark  = nft.Type{Magic: 19, Len: 4}
	typeZone  = nft.Type{Magic: 4, Len: 2}
	typeIface = nft.Type{Magic: 41, Len: 16}
)

func typeAddr(v6 bool) nft.Type {
	if v6 {
		return typeAddr6
	}
	return typeAddr4
}

// concat is the type of a concatenation: each field takes whole 4-octet registers.
func concat(types ...nft.Type) nft.Type {
	var out nft.Type
	for _, t := range types {
		out.Magic = out.Magic<<6 | t.Magic
		out.Len += (t.Len + 3) &^ 3
	}
	return out
}

// protoNumber is the protocol's number in the IP header.
func protoNumber(p swarmnet.Protocol) byte {
	switch p {
	case swarmnet.UDP:
		return unix.IPPROTO_UDP
	case swarmnet.SCTP:
		return unix.IPPROTO_SCTP
	}
	return unix.IPPROTO_TCP
}

// Fields of keys and data, padded to whole registers.
func keyProto(p swarmnet.Protocol) string { return string([]byte{protoNumber(p), 0, 0, 0}) }
func keyPort(p uint16) string             { return string(binary.BigEndian.AppendUint16(nil, p)) + "\x00\x00" }
func keySlot(i int) string                { return keyNative(uint32(i)) }
func keyNative(v uint32) string           { return string(binary.NativeEndian.AppendUint32(nil, v)) }
func keyAddr(a netip.Addr) string         { return string(a.AsSlice()) }
func dataPort(p uint16) string            { return keyPort(p) }

// keyMAC, dataZone and dataPortAlone are not concatenated, so they are as long as they are.
func dataPortAlone(p uint16) string { return string(binary.BigEndian.AppendUint16(nil, p)) }
func keyMAC(m swarmnet.MAC) string  { return string(m[:]) }
func dataZone(node uint16) string   { return string(binary.NativeEndian.AppendUint16(nil, node)) }

// keyIface is a name as the kernel has it, with zeroes to the full length.
func keyIface(name string) string { return name + strings.Repeat("\x00", int(typeIface.Len)-len(name)) }

func suffix(v6 bool) string {
	if v6 {
		return "6"
	}
	return "4"
}
