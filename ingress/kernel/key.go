package kernel

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nft"
)

func typeAddr(v6 bool) nft.Type {
	if v6 {
		return nft.TypeIPv6
	}
	return nft.TypeIPv4
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

func suffix(v6 bool) string {
	if v6 {
		return "6"
	}
	return "4"
}
