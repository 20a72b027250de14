package dispatcher

import (
	"maps"
	"reflect"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// Diff returns what leads from one assignment set of a node to another: Fold(old, Diff(old, new)) equals new.
func Diff(old, new swarmnet.AssignmentSet) wire.Delta {
	d := wire.Delta{From: old.Revision, Set: swarmnet.EmptyAssignmentSet()}
	d.Set.Revision, d.Set.Cluster, d.Set.Self = new.Revision, new.Cluster, new.Self
	d.Set.Nodes, d.RemovedNodes = diff(old.Nodes, new.Nodes)
	d.Set.Networks, d.RemovedNetworks = diff(old.Networks, new.Networks)
	d.Set.Services, d.RemovedServices = diff(old.Services, new.Services)
	d.Set.Endpoints, d.RemovedEndpoints = diff(old.Endpoints, new.Endpoints)
	d.Set.Tasks, d.RemovedTasks = diff(old.Tasks, new.Tasks)
	return d
}

// Same reports whether two sets say the same, whatever their revisions.
func Same(a, b swarmnet.AssignmentSet) bool {
	a.Revision = b.Revision
	return reflect.DeepEqual(a, b)
}

// Fold returns the set that a delta leads to. Agents have one of their own: this one is what Diff is held against.
func Fold(old swarmnet.AssignmentSet, d wire.Delta) swarmnet.AssignmentSet {
	return swarmnet.AssignmentSet{
		Revision: d.Set.Revision, Cluster: d.Set.Cluster, Self: d.Set.Self,
		Nodes:     fold(old.Nodes, d.Set.Nodes, d.RemovedNodes),
		Networks:  fold(old.Networks, d.Set.Networks, d.RemovedNetworks),
		Services:  fold(old.Services, d.Set.Services, d.RemovedServices),
		Endpoints: fold(old.Endpoints, d.Set.Endpoints, d.RemovedEndpoints),
		Tasks:     fold(old.Tasks, d.Set.Tasks, d.RemovedTasks),
	}
}

func diff[K ~string, T any](old, new map[K]T) (set map[K]T, removed []K) {
	set = map[K]T{}
	for k, v := range new {
		if have, ok := old[k]; !ok || !reflect.DeepEqual(have, v) {
			set[k] = v
		}
	}
	for k := range old {
		if _, ok := new[k]; !ok {
			removed = append(removed, k)
		}
	}
	slices.Sort(removed)
	return set, removed
}

func fold[K ~string, T any](old, set map[K]T, removed []K) map[K]T {
	out := make(map[K]T, len(old)+len(set))
	maps.Copy(out, old)
	for _, k := range removed {
		delete(out, k)
	}
	maps.Copy(out, set)
	return out
}
