package whoami

import (
	"encoding/binary"
	"fmt"
	"io"
)

// pattern is an endless stream in which every aligned eight octets hold their own offset, mixed so that no two places look alike: whoever
// reads it can tell each octet right or wrong, and nothing has to be stored.
type pattern struct{ offset uint64 }

// Pattern returns the stream from its beginning.
func Pattern() io.Reader { return &pattern{} }

func word(block uint64) uint64 { return (block + 1) * 0x9e3779b97f4a7c15 }

func (p *pattern) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], word(p.offset/8))
		if p.offset%8 == 0 {
			for len(b)-n >= 8 { // whole words at once
				binary.LittleEndian.PutUint64(b[n:], word(p.offset/8))
				n += 8
				p.offset += 8
			}
			if n == len(b) {
				break
			}
			binary.LittleEndian.PutUint64(w[:], word(p.offset/8))
		}
		m := copy(b[n:], w[p.offset%8:])
		n += m
		p.offset += uint64(m)
	}
	return n, nil
}

// Check reads r to its end and returns how many octets it gave, all of them as Pattern has them, or where the first wrong one is.
func Check(r io.Reader) (int64, error) {
	got, want := make([]byte, 256<<10), make([]byte, 256<<10)
	p, at := Pattern(), int64(0)
	for {
		n, err := r.Read(got)
		if _, perr := io.ReadFull(p, want[:n]); perr != nil {
			return at, perr
		}
		for i := range n {
			if got[i] != want[i] {
				return at + int64(i), fmt.Errorf("octet %d is %#02x, want %#02x", at+int64(i), got[i], want[i])
			}
		}
		at += int64(n)
		if err == io.EOF {
			return at, nil
		}
		if err != nil {
			return at, fmt.Errorf("after %d octets: %w", at, err)
		}
	}
}
