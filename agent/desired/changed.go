package desired

import (
	"reflect"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// mostChanged bounds how many services are computed by themselves, of all.
const mostChanged = 1.0 / 4

// changedServices are those of which something differs; tasks and endpoints of no service are an empty one's. ok is false when so many do that
// nothing is gained.
func changedServices(was, is swarmnet.AssignmentSet, wasView, isView gossip.View) (changed map[swarmnet.ServiceID]bool, ok bool) {
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

// sameFrame reports whether two sets are the same but for services, endpoints and tasks.
func sameFrame(a, b swarmnet.AssignmentSet) bool {
	return a.Self == b.Self && reflect.DeepEqual(a.Cluster, b.Cluster) && reflect.DeepEqual(a.Nodes, b.Nodes) && reflect.DeepEqual(a.Networks, b.Networks)
}

// only is the part of a set that these services have, and all of the node's own tasks.
func only(set swarmnet.AssignmentSet, services map[swarmnet.ServiceID]bool) swarmnet.AssignmentSet {
	out := set
	out.Services, out.Endpoints = map[swarmnet.ServiceID]swarmnet.Service{}, map[swarmnet.EndpointID]swarmnet.PeerEndpoint{}
	for id := range services {
		if s, ok := set.Services[id]; ok {
			out.Services[id] = s
		}
	}
	for id, ep := range set.Endpoints {
		if _, own := set.Tasks[ep.Task]; own || services[ep.Service] {
			out.Endpoints[id] = ep
		}
	}
	return out
}
