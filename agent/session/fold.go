package session

import (
	"maps"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// Fold turns a stream of complete sets and deltas into complete sets. The zero value holds nothing. The sets that it returns are
// never changed afterwards.
type Fold struct {
	set  swarmnet.AssignmentSet
	have bool
}

// Complete replaces everything.
func (f *Fold) Complete(set swarmnet.AssignmentSet) { f.set, f.have = set, true }

// Delta adds a delta. It returns false, and nothing has changed, when the delta is not made against what is held: a complete set
// must be asked for.
func (f *Fold) Delta(d wire.Delta) bool {
	if !f.have || d.From != f.set.Revision {
		return false
	}
	f.set = swarmnet.AssignmentSet{
		Revision: d.Set.Revision, Cluster: d.Set.Cluster, Self: d.Set.Self,
		Nodes:     fold(f.set.Nodes, d.Set.Nodes, d.RemovedNodes),
		Networks:  fold(f.set.Networks, d.Set.Networks, d.RemovedNetworks),
		Services:  fold(f.set.Services, d.Set.Services, d.RemovedServices),
		Endpoints: fold(f.set.Endpoints, d.Set.Endpoints, d.RemovedEndpoints),
		Tasks:     fold(f.set.Tasks, d.Set.Tasks, d.RemovedTasks),
	}
	return true
}

// Set returns the set that the stream has led to, if it has begun.
func (f *Fold) Set() (swarmnet.AssignmentSet, bool) { return f.set, f.have }

// Older reports whether a set is of an earlier revision than another one of the same cluster: a manager that lags behind must not take a node back.
func Older(set, than swarmnet.AssignmentSet) bool {
	return set.Cluster.ID == than.Cluster.ID && set.Cluster.Epoch == than.Cluster.Epoch && set.Revision < than.Revision
}

// fold copies was only if something changes.
func fold[K ~string, V any](was, changed map[K]V, removed []K) map[K]V {
	if len(changed) == 0 && len(removed) == 0 {
		return was
	}
	out := maps.Clone(was)
	if out == nil {
		out = make(map[K]V, len(changed))
	}
	for _, k := range removed {
		delete(out, k)
	}
	maps.Copy(out, changed)
	return out
}
