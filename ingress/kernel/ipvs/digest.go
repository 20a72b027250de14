package ipvs

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
)

// Digest tells tables apart: two have the same if Diff finds nothing between them, and if it does, with a chance of 1 in 2⁶⁴. It means nothing
// to another process.
type Digest uint64

var seed = maphash.MakeSeed()

// Digest returns the table's.
func (t Table) Digest() Digest {
	var d digester
	for k, s := range t {
		d.service(k, s)
		for a, dest := range s.Dests {
			d.dest(k, a, dest)
		}
	}
	return d.sum
}

// digester adds up the hashes of all services and of all destinations, in whatever order they come. Nothing comes twice.
type digester struct {
	sum Digest
	buf []byte
}

func (d *digester) service(k Key, s Service) {
	d.buf = append(k.append(append(d.buf[:0], 's')), s.Scheduler...)
	d.add(binary.BigEndian.AppendUint32(d.buf, s.Flags))
}

func (d *digester) dest(k Key, a netip.AddrPort, dest Dest) {
	b := appendAddrPort(k.append(append(d.buf[:0], 'd')), a)
	b = binary.BigEndian.AppendUint64(b, uint64(dest.Weight))
	b = binary.BigEndian.AppendUint32(b, dest.Method)
	b = binary.BigEndian.AppendUint32(b, dest.Upper)
	d.add(binary.BigEndian.AppendUint32(b, dest.Lower))
}

func (d *digester) add(b []byte) {
	d.buf = b
	d.sum += Digest(maphash.Bytes(seed, b))
}

// append appends the key, always in the same number of octets.
func (k Key) append(b []byte) []byte {
	b = appendAddrPort(append(b, k.Proto, byte(protoOf(k.V6))), k.Addr)
	return binary.BigEndian.AppendUint32(b, k.Mark)
}

func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	octets := a.Addr().As16()
	b = append(append(b, byte(a.Addr().BitLen())), octets[:]...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}
