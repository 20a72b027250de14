package gossip

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"

	"github.com/swarmnet/swarmnet"
)

// Why a batch is not taken in. None of them is worth a retry: what is missing comes by repair.
var (
	ErrUnknownOwner = errors.New("the owner is no member that the managers named")
	ErrSignature    = errors.New("the signature is not the owner's")
	ErrQuota        = errors.New("the owner has more rows than it may")
)

// Quota bounds what one owner may make others hold.
type Quota struct {
	Rows  int // of one whole state
	Bytes int // of all batches kept of one owner, encoded
}

// DefaultQuota allows 16,384 rows an owner.
var DefaultQuota = Quota{Rows: 16384, Bytes: 16 << 20}

// Options are what a table is made from.
type Options struct {
	Cluster swarmnet.ClusterID
	Self    swarmnet.NodeID
	Sign    Signer
	Verify  Verifier // VerifyEd25519, unless a simulation remembers what it has verified
	Quota   Quota    // zero: DefaultQuota
}

// Table holds, of every owner, the signed batches that make up its state without a gap. It is a value that is stepped:
// not safe for concurrent use, without I/O and without a clock.
type Table struct {
	opt    Options
	keys   map[swarmnet.NodeID]ed25519.PublicKey // of the owners that are members
	chains map[swarmnet.NodeID]*chain
	digest Digest
	own    own
	// generation rises with every change of what View would return.
	generation uint64
}

// chain is the state of one owner: a whole state, and the changes since.
type chain struct {
	hash    uint64
	head    Head
	batches []*Signed
	changes int
	bytes   int
}

// NewTable returns an empty table that knows no other owner.
func NewTable(opt Options) *Table {
	if opt.Quota == (Quota{}) {
		opt.Quota = DefaultQuota
	}
	if opt.Verify == nil {
		opt.Verify = VerifyEd25519
	}
	return &Table{
		opt:    opt,
		keys:   map[swarmnet.NodeID]ed25519.PublicKey{},
		chains: map[swarmnet.NodeID]*chain{},
		own:    own{rows: map[RowKey][]byte{}},
	}
}

// SetOwners says whose rows are taken in, and their public keys. What is held of others, or of one whose key has
// changed, is forgotten. The map is not to be changed afterwards.
func (t *Table) SetOwners(keys map[swarmnet.NodeID]ed25519.PublicKey) {
	for id := range maps.Keys(t.chains) {
		key, ok := keys[id]
		if id == t.opt.Self || ok && bytes.Equal(key, t.keys[id]) {
			continue
		}
		t.digest.replace(t.chains[id].hash, t.chains[id].head, Head{})
		delete(t.chains, id)
		t.generation++
	}
	t.keys = keys
}

// Head returns up to where an owner's state is held; zero: nothing is.
func (t *Table) Head(owner swarmnet.NodeID) Head {
	if c := t.chains[owner]; c != nil {
		return c.head
	}
	return Head{}
}

// Knows reports whether rows of the owner are taken in.
func (t *Table) Knows(owner swarmnet.NodeID) bool {
	_, ok := t.keys[owner]
	return ok || owner == t.opt.Self
}

// Since returns the batches that take a holder of the owner's state at have to the state held here; none if it is
// not behind. A holder that cannot be continued gets the whole state.
func (t *Table) Since(owner swarmnet.NodeID, have Head) []*Signed {
	c := t.chains[owner]
	if c == nil || c.head.Compare(have) <= 0 {
		return nil
	}
	if have.Version == c.head.Version {
		for i, s := range c.batches {
			if s.Batch.From == have.Seq && i > 0 {
				return c.batches[i:]
			}
		}
	}
	return c.batches
}

// Result says what became of a batch.
type Result uint8

const (
	Stale   Result = iota // what it says is known
	Applied               // the owner's head rose
	Gap                   // something is missing before it: pull it
	Own                   // it is this node's own, from an earlier life: Flush has news
)

func (r Result) String() string {
	return [...]string{"stale", "applied", "gap", "own"}[r]
}

// Receive takes a batch in, if it is newer than what is held and its owner's.
func (t *Table) Receive(s *Signed) (Result, error) {
	b := &s.Batch
	c, have := t.chains[b.Owner], t.Head(b.Owner)
	if b.Owner == t.opt.Self {
		have = Head{Version: t.own.version, Seq: t.own.seq}
	}
	if b.head().Compare(have) <= 0 {
		return Stale, nil
	}
	key, ok := t.keys[b.Owner]
	if !ok {
		return Stale, fmt.Errorf("gossip batch of %s: %w", b.Owner, ErrUnknownOwner)
	}
	if !t.opt.Verify(key, signedMessage(t.opt.Cluster, s.Payload), s.Signature) {
		return Stale, fmt.Errorf("gossip batch of %s: %w", b.Owner, ErrSignature)
	}
	switch {
	case b.Owner == t.opt.Self:
		t.own.outlive(b.Version)
		return Own, nil
	case b.From > 0 && (b.Version != have.Version || b.From != have.Seq):
		return Gap, nil
	}
	if c == nil {
		c = &chain{hash: ownerHash(b.Owner)}
	}
	if err := c.admit(s, t.opt.Quota); err != nil {
		return Stale, fmt.Errorf("gossip batch of %s: %w", b.Owner, err)
	}
	t.extend(b.Owner, c, s)
	return Applied, nil
}

// admit refuses what would make the chain larger than the quota. A chain may hold more changes than an owner may have rows:
// it is cut back by the owner's next whole state, which an honest owner sends long before.
func (c *chain) admit(s *Signed, q Quota) error {
	changes, size := len(s.Batch.Changes), len(s.Payload)
	if s.Batch.From > 0 {
		changes, size = changes+c.changes, size+c.bytes
		q.Rows *= 4
	}
	if changes > q.Rows || size > q.Bytes {
		return fmt.Errorf("%w: %d changes of %d octets", ErrQuota, changes, size)
	}
	return nil
}

func (t *Table) extend(owner swarmnet.NodeID, c *chain, s *Signed) {
	if s.Batch.From == 0 {
		c.batches, c.changes, c.bytes = nil, 0, 0
	}
	// Slices handed out by Since stay as they are: only what lies behind them is written.
	c.batches = append(c.batches, s)
	c.changes += len(s.Batch.Changes)
	c.bytes += len(s.Payload)
	t.digest.replace(c.hash, c.head, s.Batch.head())
	c.head = s.Batch.head()
	t.chains[owner] = c
	t.generation++
}

// Generation rises whenever what View returns may have changed.
func (t *Table) Generation() uint64 { return t.generation }
