package session

import (
	"maps"
	"slices"

	"github.com/swarmnet/swarmnet"
)

// Update is one status report.
type Update struct {
	Task   swarmnet.TaskID
	Status swarmnet.TaskStatus
	// Again says that the task may run again after it has ended: a sandbox outside services.
	Again bool
}

// Outbox keeps status reports until the managers have committed them. Only the last report of a task is kept: states only rise, but
// those of sandboxes outside services.
type Outbox struct {
	pending map[swarmnet.TaskID]report
	sent    uint64 // batches on this stream
}

type report struct {
	status swarmnet.TaskStatus
	batch  uint64 // that it went out in; 0: not yet on this stream
}

// Put adds a report; one that says less than an earlier one is dropped.
func (o *Outbox) Put(u Update) {
	if o.pending == nil {
		o.pending = map[swarmnet.TaskID]report{}
	}
	if was, ok := o.pending[u.Task]; ok && !u.Again && was.status.State > u.Status.State {
		return
	}
	o.pending[u.Task] = report{status: u.Status}
}

// Forget drops what is kept of tasks that are of no more interest to the managers.
func (o *Outbox) Forget(gone func(swarmnet.TaskID) bool) {
	maps.DeleteFunc(o.pending, func(id swarmnet.TaskID, _ report) bool { return gone(id) })
}

// Next returns what has not been sent on this stream yet, in the order of the ids, and takes it for sent; nil if there is nothing.
func (o *Outbox) Next() []Update {
	var out []Update
	for _, id := range slices.Sorted(maps.Keys(o.pending)) {
		r := o.pending[id]
		if r.batch != 0 {
			continue
		}
		r.batch = o.sent + 1
		o.pending[id] = r
		out = append(out, Update{Task: id, Status: r.status})
	}
	if out != nil {
		o.sent++
	}
	return out
}

// Committed forgets what the first n batches of this stream said, unless there is a newer report.
func (o *Outbox) Committed(n uint64) {
	maps.DeleteFunc(o.pending, func(_ swarmnet.TaskID, r report) bool { return r.batch != 0 && r.batch <= n })
}

// NewStream makes everything that is not committed due again.
func (o *Outbox) NewStream() {
	o.sent = 0
	for id, r := range o.pending {
		r.batch = 0
		o.pending[id] = r
	}
}

// Len is the number of reports that are not committed.
func (o *Outbox) Len() int { return len(o.pending) }
