package ca

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"math/big"
	"strings"

	"github.com/swarmnet/swarmnet"
)

const (
	tokenPrefix  = "SNTKN-1-"
	digestLength = 50 // base-36 digits of 256 bits
	secretLength = 25 // base-36 digits of 128 bits
)

// Token is a join token: the digest of the cluster's root certificate and a secret, one a role.
type Token struct {
	Digest string
	Secret string
}

func (t Token) String() string { return tokenPrefix + t.Digest + "-" + t.Secret }

// ParseToken reads a token as a person gives it.
func ParseToken(s string) (Token, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	if !ok {
		return Token{}, fmt.Errorf("the join token is malformed: it does not start with %s", tokenPrefix)
	}
	digest, secret, ok := strings.Cut(rest, "-")
	if !ok || !base36(digest, digestLength) || !base36(secret, secretLength) {
		return Token{}, fmt.Errorf("the join token is malformed: copy the whole of what `swarmnet cluster join-token` prints")
	}
	return Token{Digest: digest, Secret: secret}, nil
}

// NewJoinToken makes a fresh token for a role.
func NewJoinToken(r swarmnet.Role) swarmnet.JoinToken {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	secret := base36Of(b[:], secretLength)
	return swarmnet.JoinToken{Role: r, SecretHash: HashSecret(secret), Secret: secret}
}

// TokenFor is the text of a role's token.
func TokenFor(c swarmnet.Cluster, r swarmnet.Role) (string, bool) {
	t, ok := c.Token(r)
	return Token{Digest: c.CA.Digest, Secret: t.Secret}.String(), ok
}

// HashSecret is what the managers compare.
func HashSecret(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// RoleOf returns the role that a token gives in a cluster; ok is false for a token that the cluster does not know (any more).
func RoleOf(c swarmnet.Cluster, t Token) (role swarmnet.Role, ok bool) {
	hash := HashSecret(t.Secret)
	for _, known := range c.Tokens {
		if subtle.ConstantTimeCompare(hash, known.SecretHash) == 1 {
			role, ok = known.Role, true
		}
	}
	return role, ok && t.Digest == c.CA.Digest
}

// Digest names a certificate (DER) in join tokens: its SHA-256 in base 36.
func Digest(der []byte) string {
	h := sha256.Sum256(der)
	return base36Of(h[:], digestLength)
}

func base36Of(b []byte, length int) string {
	s := new(big.Int).SetBytes(b).Text(36)
	return strings.Repeat("0", length-len(s)) + s
}

func base36(s string, length int) bool {
	if len(s) != length {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
