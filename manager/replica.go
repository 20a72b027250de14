package manager

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/swarmnet/swarmnet/manager/raftnode"
	"github.com/swarmnet/swarmnet/manager/state"
)

// retained is how many changes a watcher may be behind.
const retained = 16384

// replica is this manager's copy of the state: what raftnode applies entries to. Readers take the newest state without
// waiting for anything.
type replica struct {
	now     atomic.Pointer[state.State]
	changes *ring[state.Change]
}

func newReplica() *replica {
	r := &replica{changes: newRing[state.Change](retained, 0)}
	r.now.Store(state.New())
	return r
}

func (r *replica) view() *state.State { return r.now.Load() }

// changed returns a channel that is closed at the next change. Take it before the view that it is about.
func (r *replica) changed() <-chan struct{} { return r.changes.next() }

// Apply applies committed entries; each answers with its []state.Result. An entry that cannot be read stops the manager:
// going on without it would make another state than the others'.
func (r *replica) Apply(entries []raftnode.Entry) ([]any, error) {
	out := make([]any, len(entries))
	s := r.now.Load()
	var all []state.Change
	for i, e := range entries {
		b, err := state.DecodeBatch(e.Data)
		if err != nil {
			return nil, fmt.Errorf("entry %d of the log cannot be read, perhaps it takes a newer version: %w", e.Index, err)
		}
		next, results, changes, err := state.ApplyBatch(s, b, e.ID)
		if err != nil {
			return nil, fmt.Errorf("entry %d of the log cannot be applied: %w", e.Index, err)
		}
		s, out[i] = next, results
		all = append(all, changes...)
	}
	r.now.Store(s)
	for len(all) > 0 { // by revision, as the ring wants them
		n := 1
		for n < len(all) && all[n].Revision == all[0].Revision {
			n++
		}
		r.changes.append(all[0].Revision, all[:n]...)
		all = all[n:]
	}
	return out, nil
}

// Hash lets the managers compare their states.
func (r *replica) Hash() uint64 { return r.now.Load().Hash() }

// Snapshot costs nothing: the state that is written later does not change.
func (r *replica) Snapshot() (io.WriterTo, error) { return r.now.Load().Snapshot(), nil }

func (r *replica) Restore(in io.Reader) error {
	s, err := state.Restore(in)
	if err != nil {
		return err
	}
	r.now.Store(s)
	r.changes.reset(s.Revision())
	return nil
}
