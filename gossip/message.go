package gossip

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet"
	swarmnetv1 "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Message is what one member says to another. Empty fields say nothing; a receiver takes the batches in first.
type Message struct {
	From    swarmnet.NodeID
	Batches []*Signed
	// Heads are what the sender holds: the receiver pulls what it lacks and sends what the sender lacks.
	Heads []OwnerHead
	// Complete is a set of buckets, one a bit, of which Heads lists every owner: the receiver answers with those missing.
	Complete uint64
	// Pulls ask for everything of the owners after these heads.
	Pulls []OwnerHead
	// Root is the sender's digest of all; one with another root answers with its Buckets. 0 says nothing.
	Root uint64
	// Buckets is the sender's digest in parts; the receiver answers with its heads of those that differ.
	Buckets []uint64
}

// Encode gives the wire form of a message.
func (m Message) Encode() ([]byte, error) {
	p := &swarmnetv1.GossipMessage{
		From: string(m.From), Heads: headsToProto(m.Heads), Complete: m.Complete, Pulls: headsToProto(m.Pulls), Root: m.Root, Buckets: m.Buckets,
	}
	for _, b := range m.Batches {
		p.Batches = append(p.Batches, &swarmnetv1.GossipSigned{Batch: b.Payload, Signature: b.Signature})
	}
	return proto.Marshal(p)
}

// DecodeMessage reads the wire form. It keeps nothing of raw. One malformed batch spoils the whole message: its sender
// relays only what it has checked.
func DecodeMessage(raw []byte) (Message, error) {
	var p swarmnetv1.GossipMessage
	if err := proto.Unmarshal(raw, &p); err != nil {
		return Message{}, fmt.Errorf("gossip message: %w", err)
	}
	m := Message{
		From: swarmnet.NodeID(p.GetFrom()), Heads: headsFromProto(p.GetHeads()), Complete: p.GetComplete(),
		Pulls: headsFromProto(p.GetPulls()), Root: p.GetRoot(), Buckets: p.GetBuckets(),
	}
	if n := len(m.Buckets); n != 0 && n != buckets {
		return Message{}, fmt.Errorf("gossip message from %.64q: %d digest buckets instead of %d", m.From, n, buckets)
	}
	for _, b := range p.GetBatches() {
		s, err := ParseSigned(b.GetBatch(), b.GetSignature())
		if err != nil {
			return Message{}, fmt.Errorf("gossip message from %.64q: %w", m.From, err)
		}
		m.Batches = append(m.Batches, s)
	}
	return m, nil
}

func headsToProto(hs []OwnerHead) []*swarmnetv1.GossipHead {
	var out []*swarmnetv1.GossipHead
	for _, h := range hs {
		out = append(out, &swarmnetv1.GossipHead{Owner: string(h.Owner), Version: versionToProto(h.Head.Version), Sequence: h.Head.Seq})
	}
	return out
}

func headsFromProto(hs []*swarmnetv1.GossipHead) []OwnerHead {
	var out []OwnerHead
	for _, h := range hs {
		out = append(out, OwnerHead{Owner: swarmnet.NodeID(h.GetOwner()), Head: Head{Version: versionFromProto(h.GetVersion()), Seq: h.GetSequence()}})
	}
	return out
}
