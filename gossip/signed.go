package gossip

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet"
	swarmnetv1 "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// ErrMalformed says that a batch cannot be what an honest owner sends. It is dropped.
var ErrMalformed = errors.New("malformed gossip batch")

// signingPrefix keeps a signature over a batch from meaning anything elsewhere (RFC 8032 has no context in plain Ed25519).
const signingPrefix = "swarmnet gossip batch 1\x00"

// Signed is a batch with its owner's signature. It is immutable and relayed as it is.
type Signed struct {
	Payload   []byte // the batch, encoded
	Signature []byte
	Batch     Batch // decoded from Payload
}

// Signer signs with the node's key.
type Signer func(message []byte) []byte

// Verifier reports whether sig is key's signature of message.
type Verifier func(key ed25519.PublicKey, message, sig []byte) bool

// VerifyEd25519 is the Verifier of RFC 8032; a key of the wrong length verifies nothing.
func VerifyEd25519(key ed25519.PublicKey, message, sig []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, sig)
}

// SignEd25519 is the Signer of a private key.
func SignEd25519(key ed25519.PrivateKey) Signer {
	return func(message []byte) []byte { return ed25519.Sign(key, message) }
}

func signedMessage(cluster swarmnet.ClusterID, payload []byte) []byte {
	m := make([]byte, 0, len(signingPrefix)+len(cluster)+1+len(payload))
	m = append(append(append(m, signingPrefix...), cluster...), 0)
	return append(m, payload...)
}

func sign(cluster swarmnet.ClusterID, s Signer, b Batch) *Signed {
	payload := encodeBatch(b)
	return &Signed{Payload: payload, Signature: s(signedMessage(cluster, payload)), Batch: b}
}

// ParseSigned decodes a batch and checks its form, not its signature.
func ParseSigned(payload, signature []byte) (*Signed, error) {
	b, err := decodeBatch(payload)
	if err != nil {
		return nil, err
	}
	return &Signed{Payload: payload, Signature: signature, Batch: b}, nil
}

func encodeBatch(b Batch) []byte {
	m := &swarmnetv1.GossipBatch{Owner: string(b.Owner), Version: versionToProto(b.Version), From: b.From, To: b.To}
	m.Changes = make([]*swarmnetv1.GossipChange, len(b.Changes))
	for i, c := range b.Changes {
		m.Changes[i] = &swarmnetv1.GossipChange{
			Network: string(c.Key.Network), Table: swarmnetv1.GossipTable(c.Key.Kind), Key: c.Key.Name, Deleted: c.Deleted, Value: c.Value,
		}
	}
	out, err := proto.Marshal(m)
	if err != nil { // only a string that is not UTF-8: a key that we were given, and that nobody could decode
		return nil
	}
	return out
}

func decodeBatch(payload []byte) (Batch, error) {
	var m swarmnetv1.GossipBatch
	if err := proto.Unmarshal(payload, &m); err != nil {
		return Batch{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	b := Batch{Owner: swarmnet.NodeID(m.GetOwner()), Version: versionFromProto(m.GetVersion()), From: m.GetFrom(), To: m.GetTo()}
	n := uint64(len(m.GetChanges()))
	switch {
	case b.Owner == "" || len(b.Owner) > maxName:
		return Batch{}, fmt.Errorf("%w: owner %.64q", ErrMalformed, b.Owner)
	case b.To <= b.From, b.To-b.From < n, b.From > 0 && b.To-b.From != n:
		return Batch{}, fmt.Errorf("%w: %d changes from %d to %d", ErrMalformed, n, b.From, b.To)
	}
	b.Changes = make([]Change, n)
	for i, c := range m.GetChanges() {
		k := RowKey{Network: swarmnet.NetworkID(c.GetNetwork()), Kind: Kind(c.GetTable()), Name: c.GetKey()}
		if !k.valid() || c.GetTable() > 255 || len(c.GetValue()) > maxValue || b.From == 0 && c.GetDeleted() {
			return Batch{}, fmt.Errorf("%w: row %d of %s", ErrMalformed, i, b.Owner)
		}
		b.Changes[i] = Change{Key: k, Deleted: c.GetDeleted(), Value: c.GetValue()}
	}
	return b, nil
}

func versionToProto(v Version) *swarmnetv1.GossipVersion {
	return &swarmnetv1.GossipVersion{Epoch: v.Epoch, Start: v.Start}
}

func versionFromProto(v *swarmnetv1.GossipVersion) Version {
	return Version{Epoch: v.GetEpoch(), Start: v.GetStart()}
}
