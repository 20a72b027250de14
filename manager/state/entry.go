package state

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// window is how many entries' results are kept: an entry proposed again within so many others is known.
const window = 16384

// entry is an entry of the log that was applied.
type entry struct {
	sequence uint64
	results  results
}

// results are the encoded pb.CommandResults: an octet a command where nothing went wrong.
type results []byte

// remembered keeps the results of an entry and drops those of the one that leaves the window.
func (x *tx) remembered(id [16]byte, r results) {
	x.s.lastSeq++
	x.keep(string(id[:]), entry{sequence: x.s.lastSeq, results: r})
	for x.s.entries.len() > window {
		for k, old := range x.s.oldest.all() {
			e, _ := x.s.entries.get(old)
			x.s.hash -= e.digest(old)
			x.s.entries.delete(old)
			x.s.oldest.delete(k)
			break
		}
	}
}

func (x *tx) keep(id string, e entry) {
	x.s.entries.set(id, &e)
	x.s.oldest.set(be64(e.sequence), id)
	x.s.hash += e.digest(id)
}

func (e entry) digest(id string) uint64 {
	return digest("entry", id, be64(e.sequence), string(e.results))
}

func encodeResults(base uint64, rs []Result) results {
	m := &pb.CommandResults{Base: base, Raised: make([]byte, len(rs))}
	for i, r := range rs {
		if r.Changed {
			m.Raised[i] = 1
		}
		if r.Err == nil && r.ID == "" && r.RaftID == 0 && r.Epoch == 0 {
			continue
		}
		e := &pb.CommandResult{Index: uint32(i), RaftId: r.RaftID, Epoch: r.Epoch, Id: r.ID}
		if r.Err != nil {
			e.Code, e.Message = uint32(r.Err.Code), string(bytes.ToValidUTF8([]byte(r.Err.Message), []byte("?")))
		}
		m.Exceptions = append(m.Exceptions, e)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil // all text in it is valid: nothing else can fail
	}
	return b
}

func (r results) decode() ([]Result, error) {
	var m pb.CommandResults
	if err := proto.Unmarshal(r, &m); err != nil {
		return nil, fmt.Errorf("results of an entry: %w", err)
	}
	out := make([]Result, len(m.GetRaised()))
	rev := m.GetBase()
	for i, raised := range m.GetRaised() {
		rev += uint64(raised)
		out[i] = Result{Revision: rev, Changed: raised != 0}
	}
	for _, e := range m.GetExceptions() {
		if int(e.GetIndex()) >= len(out) {
			return nil, fmt.Errorf("results of an entry name command %d of %d", e.GetIndex(), len(out))
		}
		r := &out[e.GetIndex()]
		r.ID, r.RaftID, r.Epoch = e.GetId(), e.GetRaftId(), e.GetEpoch()
		if e.GetCode() != 0 {
			r.Err = &Rejection{Code: Code(e.GetCode()), Message: e.GetMessage()}
		}
	}
	return out, nil
}
