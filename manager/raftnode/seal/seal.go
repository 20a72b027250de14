// Package seal encrypts what the managers keep on their disks. Each file has a key of its own, derived from the data key,
// a random salt in the file's head, and the file's identity (cluster, member, what it is): a file of another cluster, of
// another member or in another place does not open.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// KeySize is the size of the data key in bytes (AES-256).
	KeySize = 32
	// SaltSize is the size of a file's salt in bytes.
	SaltSize = 16
	// Overhead is by how many bytes a sealed frame is longer than what is in it.
	Overhead = 16
)

// ErrOpen says that a frame was not sealed with this key, at this place, or was changed since.
var ErrOpen = errors.New("the key does not open it")

// Identity is whose files they are.
type Identity struct {
	Cluster string
	Member  uint64
}

// File seals and opens the frames of one file (AES-256-GCM, NIST SP 800-38D).
type File struct{ aead cipher.AEAD }

// NewFile derives the key of a file: RFC 5869 with the salt, and with the identity and the kind and number of the file
// as its info. A salt must not be used for a second file.
func NewFile(key, salt []byte, id Identity, kind string, number uint64) (File, error) {
	if len(key) != KeySize {
		return File{}, fmt.Errorf("seal: the key has %d bytes: it must have %d", len(key), KeySize)
	}
	info := fmt.Sprintf("swarmnet %q %q %d %d", kind, id.Cluster, id.Member, number)
	k, err := hkdf.Key(sha256.New, key, salt, info, KeySize)
	if err != nil {
		return File{}, fmt.Errorf("seal: derive a key: %w", err)
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return File{}, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return File{}, fmt.Errorf("seal: %w", err)
	}
	return File{aead}, nil
}

// Seal appends the sealed plain to dst. Two frames of a file must not have the same position.
func (f File) Seal(dst []byte, position uint64, plain, head []byte) []byte {
	return f.aead.Seal(dst, nonce(position), plain, head)
}

// Open appends what is in a sealed frame to dst; ErrOpen when it isn't what was sealed at this position with this head.
func (f File) Open(dst []byte, position uint64, sealed, head []byte) ([]byte, error) {
	plain, err := f.aead.Open(dst, nonce(position), sealed, head)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

func nonce(position uint64) []byte {
	var n [12]byte
	binary.BigEndian.PutUint64(n[4:], position)
	return n[:]
}
