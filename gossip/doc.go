// Package gossip holds the tables that nodes spread among themselves: single-writer rows, their merge, digests and
// repair. It is pure: package gossip/member carries it over hashicorp/memberlist.
//
// Each row has one owner, the node that it is about or that runs what it is about. An owner numbers its changes and signs
// them in batches; a batch says from which number to which. A holder keeps, per owner, batches that follow one another without a
// gap, from one that carries the owner's whole state on. So it holds exactly what the owner had at that number: what is absent is
// deleted, and there are no clocks to compare, no tombstones to time out and no ties to break. Batches are relayed as they
// are, and whoever gets one checks the signature against the key that Raft gives for its owner.
//
// What is known is named by heads: (version, sequence) of an owner. A Speaker tells news at once, in a small cluster to all, else to
// a few at random, who pass them on; heads of what is new follow for some ticks, so that one who missed the news pulls it. Repair
// compares digests with a random peer, root first, then buckets of owners, then the heads of those that differ, then what
// is missing is pulled.
//
// A version is the epoch that Raft gave at the agent's start and a number that tells starts within one epoch apart. An owner
// that meets a batch of its own from a life that it has forgotten begins a version above it, with its whole state.
package gossip
