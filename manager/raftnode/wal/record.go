package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
)

// The records in a frame: a kind, then numbers as unsigned varints.
const (
	recordHard     = 1 // term, vote, commit
	recordEntry    = 2 // type, term, index, length, data
	recordSnapshot = 3 // index, term: a snapshot of this log
	recordInstall  = 4 // index, term: a snapshot that replaces all entries
	recordBase     = 5 // last index, count, then (index, term) each: how far the log reaches and the snapshots, for a new segment
)

var errRecord = errors.New("malformed record")

func appendBatch(dst []byte, b Batch) []byte {
	if b.Install != nil {
		dst = appendNumbers(append(dst, recordInstall), b.Install.Index, b.Install.Term)
	}
	for _, e := range b.Entries {
		dst = appendNumbers(append(dst, recordEntry), uint64(e.GetType()), e.GetTerm(), e.GetIndex(), uint64(len(e.GetData())))
		dst = append(dst, e.GetData()...)
	}
	if b.Snapshot != nil {
		dst = appendNumbers(append(dst, recordSnapshot), b.Snapshot.Index, b.Snapshot.Term)
	}
	if b.Hard != nil {
		dst = appendHard(dst, *b.Hard)
	}
	return dst
}

func appendHard(dst []byte, h HardState) []byte {
	return appendNumbers(append(dst, recordHard), h.Term, h.Vote, h.Commit)
}

func appendBase(dst []byte, h HardState, last uint64, pointers []Pointer) []byte {
	dst = appendNumbers(append(dst, recordBase), last, uint64(len(pointers)))
	for _, p := range pointers {
		dst = appendNumbers(dst, p.Index, p.Term)
	}
	return appendHard(dst, h)
}

func appendNumbers(dst []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// reader takes numbers from a frame; after the first that is missing it only gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// replay applies the records of one frame to what was recovered so far.
func (s *Recovered) replay(frame []byte) error {
	r := reader{b: frame}
	for len(r.b) > 0 {
		kind := r.b[0]
		r.b = r.b[1:]
		switch kind {
		case recordHard:
			s.Hard = HardState{r.number(), r.number(), r.number()}
		case recordEntry:
			typ, term, index := pb.EntryType(r.number()), r.number(), r.number()
			data := r.bytes(r.number())
			if r.bad {
				return errRecord
			}
			if err := s.put(&pb.Entry{Type: &typ, Term: &term, Index: &index, Data: data}); err != nil {
				return err
			}
		case recordSnapshot:
			s.Snapshots = keepTwo(append(s.Snapshots, Pointer{r.number(), r.number()}))
		case recordInstall:
			s.Snapshots = []Pointer{{r.number(), r.number()}}
			s.Entries, s.reached = nil, 0
		case recordBase:
			s.reached = r.number()
			n := r.number()
			if n > 2 {
				return errRecord
			}
			s.Snapshots = nil
			for range n {
				s.Snapshots = append(s.Snapshots, Pointer{r.number(), r.number()})
			}
		default:
			return fmt.Errorf("%w of kind %d", errRecord, kind)
		}
		if r.bad {
			return errRecord
		}
	}
	return nil
}

// put adds an entry; those with the same and with higher indexes go.
func (s *Recovered) put(e *pb.Entry) error {
	if n := len(s.Entries); n > 0 {
		first, last := s.Entries[0].GetIndex(), s.Entries[n-1].GetIndex()
		if e.GetIndex() > last+1 {
			return fmt.Errorf("entry %d comes after entry %d", e.GetIndex(), last)
		}
		if e.GetIndex() < first {
			s.Entries = nil
		} else {
			s.Entries = s.Entries[:e.GetIndex()-first]
		}
	}
	s.Entries = append(s.Entries, e)
	return nil
}

// Last is the index up to which the log reaches.
func (s *Recovered) Last() uint64 {
	if n := len(s.Entries); n > 0 {
		return s.Entries[n-1].GetIndex()
	}
	return s.newest().Index
}

func (s *Recovered) newest() Pointer {
	if n := len(s.Snapshots); n > 0 {
		return s.Snapshots[n-1]
	}
	return Pointer{}
}
