package gossip

import (
	"cmp"
	"fmt"
	"unicode/utf8"

	"github.com/swarmnet/swarmnet"
)

// Kind says what a row describes.
type Kind uint8

const (
	EndpointKind Kind = iota + 1 // Name is an endpoint id; the value is an EndpointState
	PeerKind                     // Name is a node id
)

// RowKey names a row among those of its owner.
type RowKey struct {
	Network swarmnet.NetworkID
	Kind    Kind
	Name    string
}

func (k RowKey) compare(o RowKey) int {
	return cmp.Or(cmp.Compare(k.Network, o.Network), cmp.Compare(k.Kind, o.Kind), cmp.Compare(k.Name, o.Name))
}

// Bounds of what one row may hold, in octets.
const (
	maxName  = 64
	maxValue = 1024
)

// valid reports whether the key can be sent: proto strings are UTF-8.
func (k RowKey) valid() bool {
	return k.Kind != 0 && len(k.Network) <= maxName && len(k.Name) <= maxName && utf8.ValidString(string(k.Network)) && utf8.ValidString(k.Name)
}

// Change sets or deletes one row. Each change takes one sequence number of its owner.
type Change struct {
	Key     RowKey
	Deleted bool
	Value   []byte
}

// Version orders the lives of an owner: first by the epoch that Raft gave at the agent's start, then by Start, which
// tells apart the starts within one epoch: an agent also starts while no manager is there to give an epoch. No two lives
// of an owner may have one version; they need not be given in order, since an owner outlives what it meets of its past.
type Version struct {
	Epoch, Start uint64
}

func (v Version) compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Epoch, o.Epoch), cmp.Compare(v.Start, o.Start))
}

// Head says up to where the state of an owner is held, without a gap.
type Head struct {
	Version Version
	Seq     uint64
}

// Compare orders two heads of one owner: the greater one is the newer.
func (h Head) Compare(o Head) int {
	return cmp.Or(h.Version.compare(o.Version), cmp.Compare(h.Seq, o.Seq))
}

func (h Head) String() string {
	return fmt.Sprintf("%d.%d/%d", h.Version.Epoch, h.Version.Start, h.Seq)
}

// OwnerHead is the head of one owner.
type OwnerHead struct {
	Owner swarmnet.NodeID
	Head  Head
}

// Batch is what an owner signs: its changes after From, up to To. With From = 0 it is the owner's whole state at To:
// what is absent from it is deleted. So no tombstone is kept for longer than the owner's next whole state.
type Batch struct {
	Owner    swarmnet.NodeID
	Version  Version
	From, To uint64
	Changes  []Change
}

func (b Batch) head() Head { return Head{Version: b.Version, Seq: b.To} }
