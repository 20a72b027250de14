package dispatcher

import (
	"reflect"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// What an agent has that folds every delta is what the managers have for it, step by step: each delta is made against what was sent last, whatever that
// held. A node without tasks of its own has peers and published ports all the same.
func TestFeedIsContiguous(t *testing.T) {
	w := newWorld(t, "n1", "n2", "n3")
	feeds, agents := map[string]*Feed{}, map[string]swarmnet.AssignmentSet{}
	for _, n := range []string{"n1", "n2", "n3"} {
		feeds[n] = &Feed{Manager: id[swarmnet.NodeID]("n1"), Node: id[swarmnet.NodeID](n), Epoch: 1}
		agents[n] = feeds[n].Complete(w.s)
	}
	deltas := 0
	follow := func(what string) {
		t.Helper()
		for n, f := range feeds {
			d, news := f.Delta(w.s)
			if news {
				deltas++
				if d.From != agents[n].Revision {
					t.Errorf("%s: the delta of %s is from %d, and it has %d", what, n, d.From, agents[n].Revision)
				}
				agents[n] = Fold(agents[n], d)
			}
			want := Assignments(w.s, f.Node)
			if want.Revision = agents[n].Revision; !reflect.DeepEqual(agents[n], want) { // a revision that has nothing for the node is not told
				t.Errorf("%s: %s has %s, want %s", what, n, show(agents[n]), show(want))
			}
			if _, news := f.Delta(w.s); news {
				t.Errorf("%s: %s is told twice", what, n)
			}
		}
	}
	w.network("app", 1, false)
	follow("a network")
	w.network("ingress", 0, true)
	follow("the ingress network")
	w.service("shop", "app", 1, 8080, "n1", "n2")
	follow("a published service")
	w.network("db", 2, false)
	w.service("store", "db", 2, 0, "n3")
	follow("a service on n3 alone")
	if deltas < 6 {
		t.Errorf("only %d deltas were sent: nothing is shown", deltas)
	}
}
