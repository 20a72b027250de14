package state

import (
	"encoding/binary"
	"net/netip"
)

// Keys of indexes are parts that sort as they should: ids end with a zero octet, numbers are big-endian.

const sep = "\x00"

func join[A, B ~string](a A, b B) string { return string(a) + sep + string(b) }

func be16(v uint16) string { return string(binary.BigEndian.AppendUint16(nil, v)) }
func be32(v uint32) string { return string(binary.BigEndian.AppendUint32(nil, v)) }
func be64(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }

func fromBE16(s string) uint16 { return binary.BigEndian.Uint16([]byte(s)) }
func fromBE64(s string) uint64 { return binary.BigEndian.Uint64([]byte(s)) }
func fromBE32(s string) uint32 { return binary.BigEndian.Uint32([]byte(s)) }

// addrKey sorts the addresses of one family in their order.
func addrKey(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	b := a.As16()
	return string(b[:])
}

func keyAddr(k string) netip.Addr {
	if len(k) != 16 {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte([]byte(k))).Unmap()
}

// lastPart is the id at the end of a key.
func lastPart(k string) string {
	for i := len(k) - 1; i >= 0; i-- {
		if k[i] == 0 {
			return k[i+1:]
		}
	}
	return k
}

// wildHost is the key of "every address of the host".
var wildHost = string(make([]byte, 16))
