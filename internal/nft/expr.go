package nft

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Expressions, named as nft(8) spells them. Each works in register 1 unless it says otherwise.

// Match joins parts of a rule.
func Match(parts ...[]expr.Any) Rule { return slices.Concat(parts...) }

// Base returns the pointers that a chain's hook and priority want.
func Base(hook *nftables.ChainHook, priority nftables.ChainPriority) (*nftables.ChainHook, *nftables.ChainPriority) {
	return hook, &priority
}

func ifname(key expr.MetaKey, op expr.CmpOp, name string, wildcard bool) []expr.Any {
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, name)
	if wildcard {
		data = data[:len(name)]
	}
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: data}}
}

// IIF matches packets that came in by an interface; IIFPrefix by any whose name begins so.
func IIF(name string) []expr.Any       { return ifname(expr.MetaKeyIIFNAME, expr.CmpOpEq, name, false) }
func IIFNot(name string) []expr.Any    { return ifname(expr.MetaKeyIIFNAME, expr.CmpOpNeq, name, false) }
func IIFPrefix(name string) []expr.Any { return ifname(expr.MetaKeyIIFNAME, expr.CmpOpEq, name, true) }

// OIF matches packets that go out by an interface.
func OIF(name string) []expr.Any       { return ifname(expr.MetaKeyOIFNAME, expr.CmpOpEq, name, false) }
func OIFNot(name string) []expr.Any    { return ifname(expr.MetaKeyOIFNAME, expr.CmpOpNeq, name, false) }
func OIFPrefix(name string) []expr.Any { return ifname(expr.MetaKeyOIFNAME, expr.CmpOpEq, name, true) }

// Family matches IPv4 (unix.NFPROTO_IPV4) or IPv6 in an inet table.
func Family(nfproto byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{nfproto}}}
}

// FamilyOf is Family for an address's family.
func FamilyOf(is6 bool) []expr.Any {
	if is6 {
		return Family(unix.NFPROTO_IPV6)
	}
	return Family(unix.NFPROTO_IPV4)
}

// L4Proto matches a transport protocol.
func L4Proto(p byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{p}}}
}

func network(is6, dest bool, reg uint32) *expr.Payload {
	offset, size := uint32(12), uint32(4)
	if is6 {
		offset, size = 8, 16
	}
	if dest {
		offset += size
	}
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}
}

// LoadSaddr and LoadDaddr load the packet's address into a register.
func LoadSaddr(is6 bool, reg uint32) expr.Any { return network(is6, false, reg) }
func LoadDaddr(is6 bool, reg uint32) expr.Any { return network(is6, true, reg) }

// LoadDport loads the destination port of TCP, UDP or SCTP into a register.
func LoadDport(reg uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

// Saddr and Daddr match a prefix of the packet's address, or with not anything else.
func Saddr(p netip.Prefix, not bool) []expr.Any { return prefix(p, false, not) }
func Daddr(p netip.Prefix, not bool) []expr.Any { return prefix(p, true, not) }

func prefix(p netip.Prefix, dest, not bool) []expr.Any {
	p = p.Masked()
	size := p.Addr().BitLen() / 8
	mask := make([]byte, size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	op := expr.CmpOpEq
	if not {
		op = expr.CmpOpNeq
	}
	return Match(FamilyOf(p.Addr().Is6()), []expr.Any{
		network(p.Addr().Is6(), dest, 1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size), Mask: mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: op, Register: 1, Data: p.Addr().AsSlice()},
	})
}

// Reply matches packets that go against the direction of their connection's first one; Original the others.
func Reply() []expr.Any    { return direction(1) }
func Original() []expr.Any { return direction(0) }

func direction(d byte) []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{d}}}
}

// CtNew matches the first packet of a connection.
func CtNew() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: U32(expr.CtStateBitNEW), Xor: U32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: U32(0)},
	}
}

// CtDNAT matches packets, of both directions, of connections whose destination was translated: `ct status dnat`.
func CtDNAT() []expr.Any {
	const ipsDstNAT = 1 << 5 // linux/netfilter/nf_conntrack_common.h
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATUS, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: U32(ipsDstNAT), Xor: U32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: U32(0)},
	}
}

// LoadEtherSaddr loads the Ethernet address that a packet came from into register 1; one that did not come by Ethernet leaves the rule.
func LoadEtherSaddr() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_ETHER)},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
	}
}

// LocalDaddr matches packets to an address of the host itself: `fib daddr type local`.
func LocalDaddr() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: U32(unix.RTN_LOCAL)},
	}
}

// InSet matches what is in register 1 against a set of the table.
func InSet(name string) []expr.Any { return []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: name}} }

// MapTo looks register src up in a map and puts what it finds into register dst; a packet without an entry leaves the rule.
func MapTo(name string, src, dst uint32) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: src, DestRegister: dst, IsDestRegSet: true, SetName: name}}
}

// VerdictMap goes where a verdict map says for what is in register 1.
func VerdictMap(name string) []expr.Any { return MapTo(name, 1, 0) }

// Verdicts.
func Drop() []expr.Any       { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
func Accept() []expr.Any     { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func Masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

// RejectTCP answers with a reset, Reject with an ICMP port unreachable of either family.
func RejectTCP() []expr.Any { return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}} }
func Reject() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}}
}

// DNAT translates to the address in register 1 and, if withPort, the port in register 2 (the 32-bit registers of the kernel are
// numbered from NFT_REG32_00; see Reg32).
func DNAT(is6 bool, addrReg, portReg uint32) []expr.Any {
	family := uint32(unix.NFPROTO_IPV4)
	if is6 {
		family = unix.NFPROTO_IPV6
	}
	return []expr.Any{&expr.NAT{Type: expr.NATTypeDestNAT, Family: family, RegAddrMin: addrReg, RegProtoMin: portReg, Specified: portReg != 0}}
}

// DNATTo translates to a fixed address and keeps the port.
func DNATTo(a netip.Addr) []expr.Any {
	return Match([]expr.Any{&expr.Immediate{Register: 1, Data: a.AsSlice()}}, DNAT(a.Is6(), 1, 0))
}

// ClampMSS lowers the MSS of TCP's first packets to what the route takes: `tcp flags syn / syn,rst … size set rt mtu`.
func ClampMSS() []expr.Any {
	return Match(L4Proto(unix.IPPROTO_TCP), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x06}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x02}},
		&expr.Rt{Register: 1, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 2, Size: 2},
		&expr.Exthdr{SourceRegister: 1, Type: 2, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt}, // option 2: MSS, RFC 9293 3.2
	})
}

// Reg32 is the i-th of the kernel's 32-bit registers. Register 1, of 128 bits, is the first four of them.
func Reg32(i uint32) uint32 { return unix.NFT_REG32_00 + i }

// U32 is a number in the machine's byte order, as marks and states are.
func U32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// Pad fills a field of a concatenation up to a multiple of four octets.
func Pad(b []byte) []byte { return append(slices.Clone(b), make([]byte, (4-len(b)%4)%4)...) }

// Port is a port as it stands in packets, padded.
func Port(p uint16) []byte { return Pad(binary.BigEndian.AppendUint16(nil, p)) }
