package nft

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// field loads one field of a concatenated key into a register and says how many 4-octet registers it took.
type field struct {
	load func(register uint32) expr.Any
	regs uint32
}

// Fields of keys.
var (
	// FieldProto is `meta l4proto`.
	FieldProto = field{func(r uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: r} }, 1}
	// FieldPort is `th dport`: the ports of TCP, UDP and SCTP stand at the same place.
	FieldPort = field{func(r uint32) expr.Any {
		return &expr.Payload{DestRegister: r, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
	}, 1}
	// FieldMAC is `ether saddr`.
	FieldMAC = field{func(r uint32) expr.Any {
		return &expr.Payload{DestRegister: r, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6}
	}, 2}
	// FieldMark is `meta mark`.
	FieldMark = field{func(r uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyMARK, Register: r} }, 1}
)

// KeyIface is an interface's name as the kernel has it, with zeroes to the full length.
func KeyIface(name string) string { return string(ifname(name)) }

// FieldIIFName is `iifname`.
var FieldIIFName = field{func(r uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: r} }, 4}

// FieldDaddr is `ip daddr` or `ip6 daddr`.
func FieldDaddr(v6 bool) field {
	_, n := addrAt(v6, true)
	return field{func(r uint32) expr.Any { return loadAddr(v6, true, r) }, n / 4}
}

// FieldRandom is `numgen random mod N`, of the host's byte order.
func FieldRandom(n uint32) field {
	return field{func(r uint32) expr.Any { return &expr.Numgen{Register: r, Modulus: n, Type: unix.NFT_NG_RANDOM} }, 1}
}

func load(fields []field) []expr.Any {
	var out []expr.Any
	r := uint32(reg32)
	for _, f := range fields {
		out = append(out, f.load(r))
		r += f.regs
	}
	return out
}

// In is `FIELDS @set`.
func In(set string, fields ...field) Part {
	return part(append(load(fields), &expr.Lookup{SourceRegister: reg32, SetName: set})...)
}

// Jump is `FIELDS vmap @set`: on to the chain that the map names, and back when that decides nothing.
func Jump(set string, fields ...field) Part {
	return part(append(load(fields), &expr.Lookup{SourceRegister: reg32, SetName: set, IsDestRegSet: true, DestRegister: unix.NFT_REG_VERDICT})...)
}

// lookup puts what the map has for the fields into the first registers.
func lookup(set string, fields []field) []expr.Any {
	return append(load(fields), &expr.Lookup{SourceRegister: reg32, SetName: set, IsDestRegSet: true, DestRegister: reg0})
}

// DNATMap is `dnat to FIELDS map @set`: to the address in the map and, with port, the port after it.
func DNATMap(v6, port bool, set string, fields ...field) Part {
	nat := dnat(v6)
	if port {
		nat.RegProtoMin = reg32 + 1
		if v6 {
			nat.RegProtoMin = reg32 + 4
		}
		nat.Specified = true
	}
	return part(append(lookup(set, fields), nat)...)
}

func dnat(v6 bool) *expr.NAT {
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg0}
	if v6 {
		nat.Family = unix.NFPROTO_IPV6
	}
	return nat
}

// DNATPortMap is `dnat to ADDR : FIELDS map @set`: to a fixed address and the port in the map.
func DNATPortMap(addr []byte, set string, fields ...field) Part {
	const second = unix.NFT_REG_2
	nat := dnat(len(addr) == 16)
	nat.RegAddrMin, nat.RegProtoMin, nat.Specified = second, reg0, true
	return part(append(lookup(set, fields), &expr.Immediate{Register: second, Data: addr}, nat)...)
}

// DNAT is `dnat to ADDR`, the port is kept.
func DNAT(addr []byte) Part {
	return part(&expr.Immediate{Register: reg0, Data: addr}, dnat(len(addr) == 16))
}

// Masquerade is `masquerade`.
func Masquerade() Part { return part(&expr.Masq{}) }

// MasqueradeTo is `masquerade to :FIRST-LAST`: the source port is kept where it is one of these, and one of them else. The packet must be of a protocol
// with ports. The kernel heeds the ports only with a flag, which the library's expression leaves out.
func MasqueradeTo(first, last uint16) Part {
	const second = unix.NFT_REG_2
	port := func(register uint32, p uint16) expr.Any {
		return &expr.Immediate{Register: register, Data: binary.BigEndian.AppendUint16(nil, p)}
	}
	masq := slices.Concat(text(unix.NFTA_EXPR_NAME, "masq"), nest(unix.NFTA_EXPR_DATA,
		num(unix.NFTA_MASQ_FLAGS, unix.NF_NAT_RANGE_PROTO_SPECIFIED), num(unix.NFTA_MASQ_REG_PROTO_MIN, reg0), num(unix.NFTA_MASQ_REG_PROTO_MAX, second)))
	return func(f Family) [][]byte { return append(build(f, port(reg0, first), port(second, last)), masq) }
}

// Accept is `accept`, Drop `drop`.
func Accept() Part { return part(&expr.Verdict{Kind: expr.VerdictAccept}) }
func Drop() Part   { return part(&expr.Verdict{Kind: expr.VerdictDrop}) }

// GotoChain is `goto CHAIN`.
func GotoChain(chain string) Part {
	return part(&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain})
}

// RejectTCP is `reject with tcp reset`; the packet must be TCP.
func RejectTCP() Part { return part(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}) }

// Reject is `reject with icmpx port-unreachable`.
func Reject() Part {
	return part(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH})
}

// CTMarkMap is `ct mark set FIELD map @set`.
func CTMarkMap(set string, f field) Part {
	return part(append(lookup(set, []field{f}), &expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: reg0})...)
}

// MarkMap is `meta mark set FIELD map @set`.
func MarkMap(set string, f field) Part {
	return part(append(lookup(set, []field{f}), &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg0})...)
}

// CTOriginalZoneMap is `ct original zone set FIELD map @set`.
func CTOriginalZoneMap(set string, f field) Part {
	return func(family Family) [][]byte {
		zone := append(text(unix.NFTA_EXPR_NAME, "ct"), nest(unix.NFTA_EXPR_DATA,
			num(unix.NFTA_CT_KEY, unix.NFT_CT_ZONE), num(unix.NFTA_CT_SREG, reg0), attr(unix.NFTA_CT_DIRECTION, []byte{0}))...)
		return append(build(family, lookup(set, []field{f})...), zone)
	}
}

// EtherDaddrMap is `ether daddr set FIELD map @set`.
func EtherDaddrMap(set string, f field) Part {
	return part(append(lookup(set, []field{f}),
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: reg0, Base: expr.PayloadBaseLLHeader, Offset: 0, Len: 6})...)
}

// InProtoPortDaddr is `meta l4proto . th dport . ip daddr @set`.
func InProtoPortDaddr(set string, v6 bool) Part {
	return In(set, FieldProto, FieldPort, FieldDaddr(v6))
}

// SaddrLoopback6 is `ip6 saddr ::1`; the packet must be IPv6.
func SaddrLoopback6() Part {
	one := make([]byte, 16)
	one[15] = 1
	return part(loadAddr(true, false, reg0), compare(expr.CmpOpEq, one))
}
