package nft

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers: the first 16 octets of the register file, and its 4-octet parts.
const (
	reg0 = unix.NFT_REG_1
	// reg32 is the register of the first 4 octets; the others follow.
	reg32 = 8
)

// build joins expressions to a rule. Those of this package always marshal: they come from fixed code, so an error is a rule without it
// and the kernel's word shows up in the first test.
func build(family Family, exprs ...expr.Any) [][]byte {
	out := make([][]byte, 0, len(exprs))
	for _, e := range exprs {
		if b, err := expr.Marshal(byte(family), e); err == nil {
			out = append(out, b)
		}
	}
	return out
}

// Part is a piece of a rule, as nft(8) writes it.
type Part func(Family) [][]byte

// R is the rule of a table of a family that consists of parts.
func R(family Family, parts ...Part) Rule {
	var exprs [][]byte
	for _, p := range parts {
		exprs = append(exprs, p(family)...)
	}
	return NewRule(exprs...)
}

func part(exprs ...expr.Any) Part {
	return func(f Family) [][]byte { return build(f, exprs...) }
}

func ifname(s string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, s)
	return b
}

func compare(op expr.CmpOp, data []byte) expr.Any {
	return &expr.Cmp{Op: op, Register: reg0, Data: data}
}

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// IIFName is `iifname NAME`, IIFNot `iifname != NAME`.
func IIFName(name string) Part { return iif(expr.CmpOpEq, ifname(name)) }
func IIFNot(name string) Part  { return iif(expr.CmpOpNeq, ifname(name)) }

// IIFPrefix is `iifname "PREFIX*"`.
func IIFPrefix(prefix string) Part { return iif(expr.CmpOpEq, []byte(prefix)) }

func iif(op expr.CmpOp, data []byte) Part {
	return part(&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0}, compare(op, data))
}

// IIFIsNot is `iif != NAME`, of the interface that has the index now: a name costs each packet several times as much. OIFIsNot is `oif != NAME`.
func IIFIsNot(index int) Part { return ifindex(expr.MetaKeyIIF, index) }
func OIFIsNot(index int) Part { return ifindex(expr.MetaKeyOIF, index) }

func ifindex(key expr.MetaKey, index int) Part {
	return part(&expr.Meta{Key: key, Register: reg0}, compare(expr.CmpOpNeq, native(uint32(index))))
}

// OIFName is `oifname NAME`, OIFNot `oifname != NAME`.
func OIFName(name string) Part { return oif(expr.CmpOpEq, ifname(name)) }
func OIFNot(name string) Part  { return oif(expr.CmpOpNeq, ifname(name)) }

func oif(op expr.CmpOp, data []byte) Part {
	return part(&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg0}, compare(op, data))
}

// NFProto is `meta nfproto ipv4` or `ipv6`.
func NFProto(v6 bool) Part {
	proto := byte(unix.NFPROTO_IPV4)
	if v6 {
		proto = unix.NFPROTO_IPV6
	}
	return part(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg0}, compare(expr.CmpOpEq, []byte{proto}))
}

// L4Proto is `meta l4proto N`.
func L4Proto(proto byte) Part {
	return part(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0}, compare(expr.CmpOpEq, []byte{proto}))
}

// DaddrLocal is `fib daddr type local`.
func DaddrLocal() Part {
	return part(&expr.Fib{Register: reg0, FlagDADDR: true, ResultADDRTYPE: true}, compare(expr.CmpOpEq, native(unix.RTN_LOCAL)))
}

func addrAt(v6, dst bool) (offset, length uint32) {
	switch {
	case v6 && dst:
		return 24, 16
	case v6:
		return 8, 16
	case dst:
		return 16, 4
	}
	return 12, 4
}

// loadAddr loads the packet's source or destination address.
func loadAddr(v6, dst bool, register uint32) expr.Any {
	offset, length := addrAt(v6, dst)
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}
}

// Daddr is `ip daddr ADDR` or `ip6 daddr ADDR`; the packet must be of the family.
func Daddr(addr []byte) Part {
	return part(loadAddr(len(addr) == 16, true, reg0), compare(expr.CmpOpEq, addr))
}

// SaddrLoopback and DaddrLoopback are `ip saddr 127.0.0.0/8` and `ip daddr 127.0.0.0/8`; the packet must be IPv4.
func SaddrLoopback() Part { return loopback(false) }
func DaddrLoopback() Part { return loopback(true) }

func loopback(dst bool) Part {
	offset, _ := addrAt(false, dst)
	return part(&expr.Payload{DestRegister: reg0, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 1}, compare(expr.CmpOpEq, []byte{127}))
}

// SaddrIn and DaddrIn are `ip saddr PREFIX` and `ip daddr PREFIX`, or those of ip6; packets of the other family do not match.
func SaddrIn(p netip.Prefix) Part { return within(p, false) }
func DaddrIn(p netip.Prefix) Part { return within(p, true) }

func within(p netip.Prefix, dst bool) Part {
	p = p.Masked()
	addr := p.Addr().AsSlice()
	mask := make([]byte, len(addr))
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return func(f Family) [][]byte {
		return append(NFProto(p.Addr().Is6())(f), build(f, loadAddr(p.Addr().Is6(), dst, reg0),
			&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: uint32(len(addr)), Mask: mask, Xor: make([]byte, len(addr))},
			compare(expr.CmpOpEq, addr))...)
	}
}

// Ethernet is `meta iiftype ether`: what did not come by Ethernet has no such addresses.
func Ethernet() Part {
	return part(&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: reg0}, compare(expr.CmpOpEq, binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_ETHER)))
}

// ClampMSS is `tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu`: it lowers what both ends of a connection may send at once to what
// the way takes (RFC 9293 section 3.7.1). No option is made larger.
func ClampMSS() Part {
	const (
		syn, rst = 0x02, 0x04
		maxseg   = 2 // the option's kind
	)
	return func(f Family) [][]byte {
		return append(L4Proto(unix.IPPROTO_TCP)(f), build(f,
			&expr.Payload{DestRegister: reg0, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
			&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 1, Mask: []byte{syn | rst}, Xor: []byte{0}},
			compare(expr.CmpOpEq, []byte{syn}),
			&expr.Rt{Register: reg0, Key: expr.RtTCPMSS},
			&expr.Byteorder{SourceRegister: reg0, DestRegister: reg0, Op: expr.ByteorderHton, Len: 2, Size: 2},
			&expr.Exthdr{SourceRegister: reg0, Type: maxseg, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt})...)
	}
}

// CTNew is `ct state new`, CTNotNew `ct state != new`, CTReply `ct direction reply`.
func CTNew() Part    { return ctNew(expr.CmpOpNeq) }
func CTNotNew() Part { return ctNew(expr.CmpOpEq) }

func ctNew(op expr.CmpOp) Part {
	return part(&expr.Ct{Key: expr.CtKeySTATE, Register: reg0},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: native(expr.CtStateBitNEW), Xor: native(0)}, compare(op, native(0)))
}

func CTReply() Part {
	return part(&expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg0}, compare(expr.CmpOpEq, []byte{1}))
}

// A bit of a connection's status (linux/netfilter/nf_conntrack_common.h).
const ipsDstNAT = 1 << 5

// CTDNAT is `ct status dnat`: connections whose destination was translated; CTNotDNAT is `ct status ! dnat`.
func CTDNAT() Part    { return ctStatus(ipsDstNAT, expr.CmpOpNeq) }
func CTNotDNAT() Part { return ctStatus(ipsDstNAT, expr.CmpOpEq) }

func ctStatus(bit uint32, op expr.CmpOp) Part {
	return part(&expr.Ct{Key: expr.CtKeySTATUS, Register: reg0},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: native(bit), Xor: native(0)}, compare(op, native(0)))
}

// CTMarkHas is `ct mark and BIT == BIT`.
func CTMarkHas(bit uint32) Part {
	return part(&expr.Ct{Key: expr.CtKeyMARK, Register: reg0},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: native(bit), Xor: native(0)}, compare(expr.CmpOpEq, native(bit)))
}

// MarkIs is `meta mark and MASK == VALUE`.
func MarkIs(value, mask uint32) Part {
	return part(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: native(mask), Xor: native(0)}, compare(expr.CmpOpEq, native(value)))
}

// FlipProto is `ip protocol set ip protocol ^ BITS`, or `ip6 nexthdr …`, without mending checksums: whoever does it twice has changed nothing.
func FlipProto(v6 bool, bits byte) Part {
	offset := uint32(9)
	if v6 {
		offset = 6
	}
	return part(&expr.Payload{DestRegister: reg0, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 1},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 1, Mask: []byte{0xff}, Xor: []byte{bits}},
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: reg0, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 1})
}

// MarkFromCT is `meta mark set ct mark`.
func MarkFromCT() Part {
	return part(&expr.Ct{Key: expr.CtKeyMARK, Register: reg0}, &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg0})
}

// ClearMark is `meta mark set 0`.
func ClearMark() Part {
	return part(&expr.Immediate{Register: reg0, Data: native(0)}, &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg0})
}
