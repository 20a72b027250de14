// Package changes tells of which services, and tasks of none, anything differs between two readings of what managers and gossip say, so that what is computed from
// them need not be computed anew for all.
package changes

import (
	"maps"
	"reflect"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// mostChanged bounds how many are computed by themselves.
const mostChanged = 100

// Owner is who has tasks and endpoints: a service, or a task that belongs to none.
type Owner struct {
	Service swarmnet.ServiceID
	Task    swarmnet.TaskID
}

// OwnerOf is the owner of a task's endpoints.
func OwnerOf(service swarmnet.ServiceID, task swarmnet.TaskID) Owner {
	if service != "" {
		return Owner{Service: service}
	}
	return Owner{Task: task}
}

// Owners are those of which something differs. ok is false when so many do that
// nothing is gained.
func Owners(was, is swarmnet.AssignmentSet, wasView, isView gossip.View) (changed map[Owner]bool, ok bool) {
	changed = map[Owner]bool{}
	differ(was.Services, is.Services, deepEqual, func(id swarmnet.ServiceID, _ swarmnet.Service) { changed[Owner{Service: id}] = true })
	differ(was.Tasks, is.Tasks, deepEqual, func(id swarmnet.TaskID, t swarmnet.Task) { changed[OwnerOf(t.Service, id)] = true })
	differ(was.Endpoints, is.Endpoints, swarmnet.PeerEndpoint.Equal, func(_ swarmnet.EndpointID, ep swarmnet.PeerEndpoint) {
		changed[OwnerOf(ep.Service, ep.Task)] = true
	})
	gossip.Differ(wasView, isView, func(id swarmnet.EndpointID) {
		for _, set := range []swarmnet.AssignmentSet{was, is} {
			if ep, known := set.Endpoints[id]; known {
				changed[OwnerOf(ep.Service, ep.Task)] = true
			}
		}
	})
	return changed, len(changed) <= mostChanged
}

func deepEqual[T any](a, b T) bool { return reflect.DeepEqual(a, b) }

// differ calls fn with what is otherwise in one of two maps, or in one alone. A map that is the other one is not looked through.
func differ[K comparable, V any](a, b map[K]V, equal func(a, b V) bool, fn func(K, V)) {
	if reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() {
		return
	}
	kept := 0
	for k, v := range b {
		was, had := a[k]
		if had {
			kept++
		}
		if had && !equal(was, v) {
			fn(k, was)
		}
		if !had || !equal(was, v) {
			fn(k, v)
		}
	}
	if kept == len(a) {
		return
	}
	for k, v := range a {
		if _, has := b[k]; !has {
			fn(k, v)
		}
	}
}

// InServices reports whether all that may differ between two readings is about services, their endpoints and tasks.
func InServices(was, is swarmnet.AssignmentSet, wasView, isView gossip.View) bool {
	return was.Self == is.Self && deepEqual(was.Cluster, is.Cluster) && deepEqual(was.Nodes, is.Nodes) && deepEqual(was.Networks, is.Networks) &&
		maps.Equal(wasView.Nodes, isView.Nodes)
}

// Only is the part of a set that these have, and all of the node's own tasks; with own, these tasks' endpoints, too.
func Only(set swarmnet.AssignmentSet, owners map[Owner]bool, own bool) swarmnet.AssignmentSet {
	out := set
	out.Services, out.Endpoints = map[swarmnet.ServiceID]swarmnet.Service{}, map[swarmnet.EndpointID]swarmnet.PeerEndpoint{}
	for o := range owners {
		if s, ok := set.Services[o.Service]; ok {
			out.Services[o.Service] = s
		}
	}
	for id, ep := range set.Endpoints {
		_, here := set.Tasks[ep.Task]
		if owners[OwnerOf(ep.Service, ep.Task)] || own && here {
			out.Endpoints[id] = ep
		}
	}
	return out
}
