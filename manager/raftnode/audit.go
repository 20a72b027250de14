package raftnode

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Hasher is a StateMachine whose states can be compared. Hash must be the same for equal states, also for one that was
// restored; it is called between two calls of Apply.
type Hasher interface{ Hash() uint64 }

// Audit compares the members' states. The leader now and then puts a check into the log. Every member hashes its state
// right there, so all hash the same one, and every voter reports its hash through the log. When more than half of the
// voters report one hash, whoever has another is wrong and quarantines itself, be it the leader. All see the same reports in
// the same order; nobody is judged by one other's word.

const (
	checkVersion  = 2 // of an entry: the id
	reportVersion = 3 // the id, member u64, index u64, hash u64, build
	reportHead    = entryHead + 3*8
	auditsKept    = 8 // checks that reports may still come for
)

// report is what a voter's state was at a check.
type report struct {
	member, index, hash uint64
	build               string
}

type audits struct {
	enabled bool
	since   uint64 // entries applied since the newest check
	at      uint64 // tick of the newest check
	replay  uint64 // checks up to here were reported, or missed, by an earlier run
	checks  map[uint64]*audit
	wrong   string // why this member must go; empty while it may stay
}

// audit is one check.
type audit struct {
	mine    uint64
	reports map[uint64]report // by member
	told    bool              // that no hash has a majority
}

func newAudits(sm StateMachine, commit uint64) audits {
	_, ok := sm.(Hasher)
	return audits{enabled: ok, replay: commit, checks: map[uint64]*audit{}}
}

func isCheck(e *pb.Entry) bool {
	return e.GetType() == pb.EntryNormal && len(e.GetData()) >= entryHead && e.GetData()[0] == checkVersion
}

func isReport(e *pb.Entry) bool {
	return e.GetType() == pb.EntryNormal && len(e.GetData()) >= reportHead && e.GetData()[0] == reportVersion
}

func newAudit(version byte, rest []byte) *proposal {
	p := &proposal{typ: pb.EntryNormal, done: make(chan result, 1)}
	rand.Read(p.id[:])
	p.data = append(append([]byte{version}, p.id[:]...), rest...)
	return p
}

func (r report) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, r.member)
	b = binary.LittleEndian.AppendUint64(b, r.index)
	return append(binary.LittleEndian.AppendUint64(b, r.hash), r.build...)
}

func decodeReport(e *pb.Entry) report {
	b := e.GetData()[entryHead:]
	return report{
		member: binary.LittleEndian.Uint64(b), index: binary.LittleEndian.Uint64(b[8:]),
		hash: binary.LittleEndian.Uint64(b[16:]), build: string(b[24:]),
	}
}

// audit has the leader ask for a check when enough was applied since the last one, or anything was and time has passed.
func (c *core) audit() {
	a := &c.audits
	due := a.since >= c.cfg.AuditEvery || a.since > 0 && c.ticks-a.at >= c.cfg.AuditTicks
	if !a.enabled || !due || !c.current() || c.full || c.members.voters() < 2 {
		return
	}
	for _, p := range c.proposals.pending {
		if p.data[0] == checkVersion && p.typ == pb.EntryNormal {
			return
		}
	}
	c.proposals.add(newAudit(checkVersion, nil))
}

// applyAudit takes an applied entry. hashes are those of the state at the checks.
func (c *core) applyAudit(e *pb.Entry, hashes map[uint64]uint64) {
	a := &c.audits
	switch {
	case isCheck(e):
		a.since, a.at = 0, c.ticks
		if hash, ok := hashes[e.GetIndex()]; ok {
			c.checked(e.GetIndex(), hash)
		}
	case isReport(e):
		c.compare(decodeReport(e))
	default:
		if len(e.GetData()) > 0 {
			a.since++
		}
		return
	}
	var id [16]byte
	copy(id[:], e.GetData()[1:])
	c.proposals.finish(id, result{})
}

// checked notes this member's hash at a check and reports it.
func (c *core) checked(index, hash uint64) {
	a := &c.audits
	a.checks[index] = &audit{mine: hash, reports: map[uint64]report{}}
	for len(a.checks) > auditsKept {
		delete(a.checks, slices.Min(slices.Collect(maps.Keys(a.checks))))
	}
	if index > a.replay && !c.full && c.members.byID[c.cfg.ID].voter {
		r := report{member: c.cfg.ID, index: index, hash: hash, build: c.cfg.Build}
		c.proposals.add(newAudit(reportVersion, r.encode()))
	}
}

// compare takes a voter's report.
func (c *core) compare(r report) {
	one := c.audits.checks[r.index]
	if one == nil {
		return // this member came later, by a snapshot
	}
	one.reports[r.member] = r
	type kind struct {
		hash  uint64
		build string
	}
	votes, reported, same := map[kind]int{}, 0, true
	for id, rep := range one.reports {
		if c.members.byID[id].voter {
			reported++
			votes[kind{rep.hash, rep.build}]++
			same = same && rep.build == r.build
		}
	}
	voters := c.members.voters()
	for k, n := range votes {
		if n > voters/2 {
			// The hash of another build of the program says nothing of this one's.
			if k.build == c.cfg.Build && k.hash != one.mine {
				c.audits.wrong = fmt.Sprintf("its state at entry %d differs from that of %d of the %d managers", r.index, n, voters)
			}
			return
		}
	}
	if reported == voters && same && len(votes) > 1 && !one.told {
		one.told = true
		c.cfg.Logger.Error("the managers' states differ and none has a majority: add a manager, so that the next check can tell who is wrong", "index", r.index)
	}
}
