package simulation

import (
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/session"
	"github.com/swarmnet/swarmnet/dns/records"
)

// Delays of an agent.
const (
	pauseFirst, pauseLast   = 20 * time.Millisecond, time.Second // between attempts to open a session
	welcomeWithin           = 3 * time.Second
	planAfter               = 5 * time.Millisecond
	kernelFirst, kernelLast = 5 * time.Millisecond, 150 * time.Millisecond // until what is wanted is in force
	lookAgainEvery          = 5 * time.Second
)

// daemon is one life of a node's agent.
type daemon struct {
	*node
	since    time.Duration
	fold     session.Fold
	set      swarmnet.AssignmentSet
	have     bool // set means something
	live     bool // it came from a manager since this start
	epoch    uint64
	outbox   session.Outbox
	stream   *stream       // to a manager; nil: none
	welcomed bool          // the manager has accepted the session,
	sessions time.Duration // at that time
	next     int
	told     uint64 // revision that was acknowledged on the stream
	asked    bool   // for a complete set

	gossip   *gossiper
	runners  map[swarmnet.TaskID]*runner
	want     desired.NodeState
	planned  swarmnet.AssignmentSet // that want and names follow from
	names    *records.Records
	planning bool
	applying bool
	dirty    bool
}

func newDaemon(n *node) *daemon {
	d := &daemon{node: n, since: n.w.now, runners: map[swarmnet.TaskID]*runner{}, next: n.w.rnd.IntN(16)}
	d.set, d.have = n.disk, n.saved
	d.gossip = newGossiper(d)
	return d
}

func (d *daemon) begin() {
	d.changed()
	d.connect(0)
	d.periodic(lookAgainEvery, d.changed)
	d.gossip.begin()
}

// guard runs do only as long as this daemon lives.
func (d *daemon) guard(do func()) func() {
	return func() {
		if d.node.daemon == d {
			do()
		}
	}
}

// periodic repeats as long as the daemon lives.
func (d *daemon) periodic(every time.Duration, do func()) {
	var again func()
	again = d.guard(func() {
		do()
		d.w.after(every, again)
	})
	d.w.after(d.w.between(0, every), again)
}
