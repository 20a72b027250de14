package state

import (
	"slices"
	"time"

	"github.com/swarmnet/swarmnet"
)

const (
	// DrainFor bounds how long what is to stop, or what is new and to take over, waits for nodes that are there and do not answer.
	DrainFor = 10 * time.Second
	// AwayFor is for how long a node whose session has ended is waited for all the same: its daemon may just be started again, and its data
	// path stands meanwhile and leads where it led before.
	AwayFor = 5 * time.Second
)

// Silent are the names of the nodes that count at a time (they have a session, or had one a moment ago) and have not acknowledged a revision:
// their balancers may still lead where they led before it.
func (s *State) Silent(revision uint64, now time.Time) []string {
	var out []string
	for n := range s.Nodes() {
		there := n.Status.State == swarmnet.NodeReady || n.Status.State == swarmnet.NodeDisconnected && now.Before(n.Status.Since.Add(AwayFor))
		if there && n.Applied < revision {
			out = append(out, n.Name())
		}
	}
	slices.Sort(out)
	return out
}
