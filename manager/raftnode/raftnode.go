// Package raftnode replicates a state among the managers: go.etcd.io/raft/v3, the log and the snapshots on the disk, and
// the membership of the group. It knows nothing of the state that it replicates. DESIGN.md says how and why.
package raftnode

import (
	"context"
	"io"
	"log/slog"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// Entry is a committed proposal.
type Entry struct {
	Index, Term uint64
	// ID is the proposal's. The same one may be committed twice (it is proposed again when a leader is lost): the state
	// machine applies the first and answers the second with the first's result.
	ID   [16]byte
	Data []byte
}

// StateMachine is what is replicated. Its methods are called by one goroutine at a time. One that is a Hasher too is
// compared between the members.
type StateMachine interface {
	// Apply applies committed entries in order and returns one result for each. An error stops the node.
	Apply(entries []Entry) ([]any, error)
	// Snapshot returns an image of the state as it is now. It must be cheap: it is written while Apply goes on.
	Snapshot() (io.WriterTo, error)
	// Restore replaces the state by an image. After an error the state is undefined, and Restore may be called again.
	Restore(r io.Reader) error
}

// Peer is a member of the group, as others need to know it.
type Peer struct {
	// ID is the member's number in the group: never 0, never used again after a removal.
	ID     uint64
	NodeID string
	Addr   string // HOST:PORT
}

// Member is a member of the group, as this node sees it.
type Member struct {
	Peer
	// Voter is false for a learner.
	Voter bool
	// Active says that the member was heard of within an election timeout. A follower only hears of the leader.
	Active bool
	// Match is up to where the member has the log, as the leader knows; 0 on a follower.
	Match uint64
}

// Status is a node's view of the group.
type Status struct {
	ID         uint64
	Leader     uint64 // 0: none known
	LeaderAddr string
	IsLeader   bool
	Term       uint64
	Commit     uint64
	Applied    uint64
	Members    []Member // by ID
	// Removed says that this node is not a member any more.
	Removed bool
	// Quarantined says why the node takes no part; empty when it does.
	Quarantined string
	// DiskFull says that the node takes no entries.
	DiskFull bool
}

// LeaderChange is what Leadership tells. IsLeader comes when the node has applied everything that was committed before
// its term began: its state is the group's.
type LeaderChange struct {
	Term     uint64
	IsLeader bool
	Leader   uint64 // 0: none known
}

// Transport carries messages to the other members.
type Transport interface {
	// Run owns what the transport needs until ctx ends. What arrives goes to r.
	Run(ctx context.Context, r Receiver) error
	// Send hands messages to a member. It never blocks; it may lose messages, and then calls Receiver.Unreachable.
	Send(to Peer, msgs []*pb.Message)
	// SendSnapshot sends a message of type MsgSnap with an image, without blocking, and calls done once.
	SendSnapshot(to Peer, msg *pb.Message, open func() (io.ReadCloser, error), done func(error))
}

// Receiver takes what a transport receives. Node is one.
type Receiver interface {
	Step(msg *pb.Message) error
	// ReceiveSnapshot stores the image that belongs to a message of type MsgSnap, and steps that.
	ReceiveSnapshot(ctx context.Context, msg *pb.Message, image io.Reader) error
	// Learn tells where a member answers, before the log says so.
	Learn(p Peer)
	Unreachable(id uint64)
}

// Config configures a node. Those without a default must be given.
type Config struct {
	ID        uint64
	NodeID    string
	Addr      string // HOST:PORT at which the other members reach this node
	ClusterID string

	FS  vfs.FS
	Dir string
	Key []byte // 32 bytes: seals the log and the snapshots

	StateMachine StateMachine
	Transport    Transport
	Logger       *slog.Logger

	// Bootstrap makes a new group of this member alone, if the directory is empty.
	Bootstrap bool
	// MustExist refuses an empty directory (ErrQuarantined): this member has acknowledged entries and votes before, and
	// one that forgot them must not take part under the same ID.
	MustExist bool
	// Peers are members known from elsewhere, until the log says who they are.
	Peers []Peer

	TickInterval     time.Duration // default 100 ms
	ElectionTicks    int           // default 10
	HeartbeatTicks   int           // between two of a leader, default 1; a third of ElectionTicks at most
	SnapshotEvery    uint64        // entries, default 10000
	SnapshotBytes    uint64        // bytes of entries after which a snapshot is due, default 64 MiB
	SegmentSize      int64         // bytes, default 16 MiB
	MaxInflightBytes int64         // bytes of proposals without an answer, default 64 MiB

	// The members' states are compared after so many entries, or after so many ticks if there were any entries. Build names
	// the program: hashes of different builds are not compared.
	AuditEvery uint64 // entries, default 1000
	AuditTicks uint64 // default 600
	Build      string
}

func (c *Config) defaults() {
	def(&c.TickInterval, 100*time.Millisecond)
	def(&c.ElectionTicks, 10)
	def(&c.HeartbeatTicks, 1)
	def(&c.SnapshotEvery, 10000)
	def(&c.SnapshotBytes, 64<<20)
	def(&c.MaxInflightBytes, 64<<20)
	def(&c.AuditEvery, 1000)
	def(&c.AuditTicks, 600)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
