package ipvs

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/nl"
)

// What is asked, and the attributes of answers (linux/ip_vs.h). Statistics are left out: nothing of them is wanted.
const (
	version    = 1
	getService = 4
	getDest    = 8

	cmdService = 1 // attributes of a message
	cmdDest    = 2

	svcFamily    = 1
	svcProto     = 2
	svcAddr      = 3
	svcPort      = 4
	svcMark      = 5
	svcScheduler = 6
	svcFlags     = 7

	destAddr     = 1
	destPort     = 2
	destMethod   = 3
	destWeight   = 4
	destUpper    = 5
	destLower    = 6
	destActive   = 7
	destInactive = 8
	destFamily   = 11

	methodMask = 0x7 // IP_VS_CONN_F_FWD_MASK
)

// appendKey appends what names a service in a request.
func appendKey(b []byte, k Key) []byte {
	attrs := nl.AppendAttr(make([]byte, 0, 44), svcFamily, native16(uint16(protoOf(k.V6))))
	if k.Mark != 0 {
		attrs = nl.AppendAttr(attrs, svcMark, binary.NativeEndian.AppendUint32(nil, k.Mark))
	} else {
		attrs = nl.AppendAttr(attrs, svcProto, native16(uint16(k.Proto)))
		attrs = nl.AppendAttr(attrs, svcAddr, k.Addr.Addr().AsSlice())
		attrs = nl.AppendAttr(attrs, svcPort, binary.BigEndian.AppendUint16(nil, k.Addr.Port()))
	}
	return nl.AppendAttr(b, cmdService, attrs)
}

func native16(n uint16) []byte { return binary.NativeEndian.AppendUint16(nil, n) }

// parseService reads a service of a message, without its destinations.
func parseService(msg []byte) (k Key, s Service) {
	nl.EachAttr(msg, func(typ uint16, data []byte) {
		if typ != cmdService {
			return
		}
		var addr []byte
		var port uint16
		nl.EachAttr(data, func(typ uint16, data []byte) {
			switch typ {
			case svcFamily:
				k.V6 = uint16At(binary.NativeEndian, data) == unix.AF_INET6
			case svcProto:
				k.Proto = uint8(uint16At(binary.NativeEndian, data))
			case svcAddr:
				addr = data
			case svcPort:
				port = uint16At(binary.BigEndian, data)
			case svcMark:
				k.Mark = uint32At(data)
			case svcScheduler:
				s.Scheduler = schedulerOf(data)
			case svcFlags:
				s.Flags = uint32At(data) &^ flagHashed
			}
		})
		if k.Mark == 0 {
			k.Addr = addrPort(addr, k.V6, port)
		} else {
			k.Proto = 0
		}
	})
	return k, s
}

// schedulerOf is a scheduler's name, which ends with a zero.
func schedulerOf(data []byte) Scheduler {
	name, _, _ := bytes.Cut(data, []byte{0})
	for _, s := range Schedulers {
		if string(name) == string(s) {
			return s
		}
	}
	return Scheduler(name)
}

// parseDest reads a destination of a message. Kernels before 3.18 do not say of which family it is: of its service's, which is v6 or not.
func parseDest(msg []byte, v6 bool) (a netip.AddrPort, d Dest) {
	nl.EachAttr(msg, func(typ uint16, data []byte) {
		if typ != cmdDest {
			return
		}
		var addr []byte
		var port uint16
		nl.EachAttr(data, func(typ uint16, data []byte) {
			switch typ {
			case destFamily:
				v6 = uint16At(binary.NativeEndian, data) == unix.AF_INET6
			case destAddr:
				addr = data
			case destPort:
				port = uint16At(binary.BigEndian, data)
			case destMethod:
				d.Method = uint32At(data) & methodMask
			case destWeight:
				d.Weight = int(int32(uint32At(data)))
			case destUpper:
				d.Upper = uint32At(data)
			case destLower:
				d.Lower = uint32At(data)
			case destActive, destInactive:
				d.Conns += int(uint32At(data))
			}
		})
		a = addrPort(addr, v6, port)
	})
	return a, d
}

// addrPort reads a union nf_inet_addr: 16 octets, of which IPv4 fills the first four.
func addrPort(b []byte, v6 bool, port uint16) netip.AddrPort {
	switch {
	case v6 && len(b) >= 16:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)), port)
	case !v6 && len(b) >= 4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), port)
	}
	return netip.AddrPort{}
}

func uint16At(order binary.ByteOrder, b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return order.Uint16(b)
}

func uint32At(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}
