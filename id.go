package swarmnet

import (
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"strings"
)

// Identifiers of the objects. All have one form: 25 lower-case base-36 characters, 128 bits of entropy or more.
type (
	ClusterID  string
	NodeID     string
	NetworkID  string
	EndpointID string
	ServiceID  string
	TaskID     string
)

const (
	idLength      = 25
	shortIDLength = 12
)

// NewID returns a fresh random identifier.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return encodeID(b[:])
}

// DeriveID returns the identifier that belongs to the given parts: the same parts, the same identifier. Planners, which
// must give the same commands for the same view, name what they create with it.
func DeriveID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return encodeID(h.Sum(nil)[:16])
}

func encodeID(b []byte) string {
	s := new(big.Int).SetBytes(b).Text(36)
	return strings.Repeat("0", idLength-len(s)) + s
}

// ShortID is the form of an identifier that tables show: its first 12 characters.
func ShortID[T ~string](id T) string {
	if len(id) > shortIDLength {
		return string(id[:shortIDLength])
	}
	return string(id)
}

// ValidID reports whether s has the form of an identifier.
func ValidID[T ~string](s T) bool {
	if len(s) != idLength {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
