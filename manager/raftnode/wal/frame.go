package wal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
)

const (
	frameMagic  = 0x4c4e5753 // "SWNL"
	headerSize  = 48
	frameAlign  = 8
	maxFrameLen = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the part of a frame that is not sealed (but authenticated).
type header struct {
	length uint32 // of the sealed part
	seq    uint64
	synced uint64
	prev   [16]byte
}

// frameSize is the size in the file of a frame with n bytes in it.
func frameSize(n int) int64 {
	return int64(headerSize+n+seal.Overhead+frameAlign-1) / frameAlign * frameAlign
}

func appendFrame(dst []byte, h header, s seal.File, position uint64, plain []byte) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, frameMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(plain)+seal.Overhead))
	dst = binary.LittleEndian.AppendUint64(dst, h.seq)
	dst = binary.LittleEndian.AppendUint64(dst, h.synced)
	dst = append(dst, h.prev[:]...)
	dst = append(dst, 0, 0, 0, 0) // kind
	dst = append(dst, 0, 0, 0, 0) // CRC, below
	dst = s.Seal(dst, position, plain, dst[at:at+headerSize-4])
	binary.LittleEndian.PutUint32(dst[at+headerSize-4:], frameCRC(dst[at:]))
	for len(dst)%frameAlign != 0 {
		dst = append(dst, 0)
	}
	return dst
}

// frameCRC covers all of the frame but the CRC itself.
func frameCRC(frame []byte) uint32 {
	c := crc32.Update(0, castagnoli, frame[:headerSize-4])
	return crc32.Update(c, castagnoli, frame[headerSize:])
}

// frameTag is the tag of the cipher, with which the next frame names this one.
func frameTag(frame []byte, plainLen int) (tag [16]byte) {
	copy(tag[:], frame[headerSize+plainLen:])
	return tag
}

// parseFrame reads the frame at the start of b and returns its size in the file. False when there is none, or a damaged one.
func parseFrame(b []byte) (h header, size int, ok bool) {
	if len(b) < headerSize || binary.LittleEndian.Uint32(b) != frameMagic {
		return h, 0, false
	}
	h.length = binary.LittleEndian.Uint32(b[4:])
	if h.length < seal.Overhead || h.length > maxFrameLen || int(h.length) > len(b)-headerSize {
		return h, 0, false
	}
	h.seq = binary.LittleEndian.Uint64(b[8:])
	h.synced = binary.LittleEndian.Uint64(b[16:])
	copy(h.prev[:], b[24:])
	end := headerSize + int(h.length)
	if binary.LittleEndian.Uint32(b[headerSize-4:]) != frameCRC(b[:end]) {
		return h, 0, false
	}
	return h, (end + frameAlign - 1) / frameAlign * frameAlign, true
}

// openFrame returns what is sealed in a frame that parseFrame has accepted.
func openFrame(s seal.File, h header, position uint64, b []byte) ([]byte, error) {
	return s.Open(nil, position, b[headerSize:headerSize+int(h.length)], b[:headerSize-4])
}

// witness looks in b, which starts at a damaged place, for a later frame that says that the frame seq was durable.
func witness(b []byte, seq uint64) bool {
	for off := 0; off+headerSize <= len(b); off += frameAlign {
		if h, _, ok := parseFrame(b[off:]); ok && h.seq > seq && h.synced >= seq {
			return true
		}
	}
	return false
}
