package dispatcher

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// Feed is what one session tells its agent and hears of it, as a value that is stepped: a session and a simulation of one do the same.
// Each step is given the newest state of the manager.
type Feed struct {
	Manager swarmnet.NodeID // that holds the session
	Node    swarmnet.NodeID // whose session it is
	Epoch   uint64

	sent    swarmnet.AssignmentSet
	checked uint64 // the revision that sent is right for: nothing has changed for the node since
	applied uint64 // what the agent says that it has in force
}

// Check reports whether the state still says that the session is the node's; else it is to be ended.
func (f *Feed) Check(s *state.State) error {
	n, ok := s.Node(f.Node)
	switch {
	case !ok:
		return status.Errorf(codes.PermissionDenied, "node %s was removed from the cluster", f.Node)
	case n.Epoch != f.Epoch:
		return errSuperseded
	case n.Status.State != swarmnet.NodeReady || n.Status.Manager != f.Manager:
		return status.Error(codes.Aborted, "the managers have closed the session: open another")
	}
	return nil
}

// Complete is the whole set, with which a session begins and which is the answer to a gap.
func (f *Feed) Complete(s *state.State) swarmnet.AssignmentSet {
	f.sent = Assignments(s, f.Node)
	f.checked = f.sent.Revision
	return f.sent
}

// Delta is what is new since the last set, if anything is. The deltas of a session are contiguous, whatever revisions had nothing for the node.
func (f *Feed) Delta(s *state.State) (d wire.Delta, news bool) {
	set := Assignments(s, f.Node)
	f.checked = set.Revision
	if Same(f.sent, set) {
		return wire.Delta{}, false
	}
	d = Diff(f.sent, set)
	f.sent = set
	return d, true
}

// Applied notes what the agent says that it has in force.
func (f *Feed) Applied(revision uint64) { f.applied = revision }

// Acknowledge is what the managers are to be told of how far the node is, if somebody may be waiting for that.
func (f *Feed) Acknowledge(s *state.State) (ack state.Acknowledge, waited bool) {
	upTo := f.applied
	if f.applied >= f.sent.Revision {
		upTo = max(f.applied, f.checked)
	}
	upTo = min(upTo, s.Revision()) // this manager may be behind the one from which the agent has its set
	n, ok := s.Node(f.Node)
	waited = ok && n.Epoch == f.Epoch && s.BalancedIn(n.Applied, upTo)
	return state.Acknowledge{Node: f.Node, Epoch: f.Epoch, Revision: upTo}, waited
}
