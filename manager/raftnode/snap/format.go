package snap

import (
	"encoding/binary"
	"hash/crc32"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
)

const (
	headSize      = 64
	frameHead     = 8
	frameData     = 64 << 10 // bytes of data in a frame
	kindMeta      = 1
	kindData      = 2
	kindFooter    = 3
	maxFramePlain = 16 << 20
)

var (
	magic      = []byte("SWNSNAP1")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func encodeHead(salt []byte) []byte {
	b := append(append(make([]byte, 0, headSize), magic...), salt...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, make([]byte, headSize-len(b))...)
}

// decodeHead returns the salt.
func decodeHead(b []byte) ([]byte, error) {
	const n = 8 + seal.SaltSize
	if string(b[:8]) != string(magic) || binary.LittleEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return nil, ErrDamaged
	}
	return b[8:n], nil
}

func appendFrame(dst []byte, s seal.File, position uint64, kind uint32, plain []byte) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(plain)+seal.Overhead))
	dst = binary.LittleEndian.AppendUint32(dst, kind)
	return s.Seal(dst, position, plain, dst[at:at+frameHead])
}

// encodeMeta: index, term, length of the configuration, the configuration, the members.
func encodeMeta(m Meta) ([]byte, error) {
	conf, err := proto.Marshal(pb.EnsureConfState(m.Conf))
	if err != nil {
		return nil, err
	}
	b := binary.AppendUvarint(nil, m.Index)
	b = binary.AppendUvarint(b, m.Term)
	b = binary.AppendUvarint(b, uint64(len(conf)))
	return append(append(b, conf...), m.Members...), nil
}

func decodeMeta(b []byte) (m Meta, err error) {
	var n [3]uint64
	for i := range n {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return m, ErrDamaged
		}
		n[i], b = v, b[size:]
	}
	if n[2] > uint64(len(b)) {
		return m, ErrDamaged
	}
	m = Meta{Index: n[0], Term: n[1], Conf: &pb.ConfState{}, Members: b[n[2]:]}
	if err := proto.Unmarshal(b[:n[2]], m.Conf); err != nil {
		return m, ErrDamaged
	}
	return m, nil
}
