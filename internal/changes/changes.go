// Package changes tells of which services anything differs between two readings of what managers and gossip say, so that what is computed from
// them need not be computed anew for all.
package changes

import (
	"maps"
	"reflect"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// mostChanged bounds how many services are computed by themselves, of all.
const mostChanged = 1.0 / 4

// Services are those of which something differs; tasks and endpoints of no service are an empty one's. ok is false when so many do that
// nothing is gained.
func Services(was, is swarmnet.AssignmentSet, wasView, isView gossip.View) (changed map[swarmnet.ServiceID]bool, ok bool) {
	changed = map[swarmnet.ServiceID]bool{}
	differ(was.Services, is.Services, deepEqual, func(id swarmnet.ServiceID, _ swarmnet.Service) { changed[id] = true })
	differ(was.Tasks, is.Tasks, deepEqual, func(_ swarmnet.TaskID, t swarmnet.Task) { changed[t.Service] = true })
	differ(was.Endpoints, is.Endpoints, swarmnet.PeerEndpoint.Equal, func(_ swarmnet.EndpointID, ep swarmnet.PeerEndpoint) { changed[ep.Service] = true })
	gossip.Differ(wasView, isView, func(id swarmnet.EndpointID) {
		for _, set := range []swarmnet.AssignmentSet{was, is} {
			if ep, known := set.Endpoints[id]; known {
				changed[ep.Service] = true
			}
		}
	})
	return changed, float64(len(changed)) <= 1+mostChanged*float64(len(is.Services))
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

// Only is the part of a set that these services have, and all of the node's own tasks; with own, these tasks' endpoints, too.
func Only(set swarmnet.AssignmentSet, services map[swarmnet.ServiceID]bool, own bool) swarmnet.AssignmentSet {
	out := set
	out.Services, out.Endpoints = map[swarmnet.ServiceID]swarmnet.Service{}, map[swarmnet.EndpointID]swarmnet.PeerEndpoint{}
	for id := range services {
		if s, ok := set.Services[id]; ok {
			out.Services[id] = s
		}
	}
	for id, ep := range set.Endpoints {
		_, here := set.Tasks[ep.Task]
		if services[ep.Service] || own && here {
			out.Endpoints[id] = ep
		}
	}
	return out
}
