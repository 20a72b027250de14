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

func ownerOf(ep swarmnet.PeerEndpoint) Owner { return OwnerOf(ep.Service, ep.Task) }

// difference is what two readings do not have alike.
type difference struct {
	owners    map[Owner]bool
	endpoints map[swarmnet.EndpointID]bool // of the managers' word alone
	tasks     bool                         // the node has others now
}

// differ compares two readings.
func differ(was, is swarmnet.AssignmentSet, wasView, isView gossip.View) difference {
	d := difference{owners: map[Owner]bool{}, endpoints: map[swarmnet.EndpointID]bool{}}
	each(was.Services, is.Services, deepEqual, func(id swarmnet.ServiceID, _, _ *swarmnet.Service) { d.owners[Owner{Service: id}] = true })
	each(was.Tasks, is.Tasks, deepEqual, func(id swarmnet.TaskID, a, b *swarmnet.Task) {
		d.tasks = d.tasks || a == nil || b == nil
		for _, t := range []*swarmnet.Task{a, b} {
			if t != nil {
				d.owners[OwnerOf(t.Service, id)] = true
			}
		}
	})
	each(was.Endpoints, is.Endpoints, swarmnet.PeerEndpoint.Equal, func(id swarmnet.EndpointID, a, b *swarmnet.PeerEndpoint) {
		d.endpoints[id] = true
		for _, ep := range []*swarmnet.PeerEndpoint{a, b} {
			if ep != nil {
				d.owners[ownerOf(*ep)] = true
			}
		}
	})
	gossip.Differ(wasView, isView, func(id swarmnet.EndpointID) {
		for _, set := range []swarmnet.AssignmentSet{was, is} {
			if ep, known := set.Endpoints[id]; known {
				d.owners[ownerOf(ep)] = true
			}
		}
	})
	return d
}

func deepEqual[T any](a, b T) bool { return reflect.DeepEqual(a, b) }

func sameMap[M ~map[K]V, K comparable, V any](a, b M) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// each calls fn with what two maps do not have alike; what one of them lacks is nil. A map that is the other one is not looked through.
func each[K comparable, V any](a, b map[K]V, equal func(a, b V) bool, fn func(k K, a, b *V)) {
	if sameMap(a, b) {
		return
	}
	kept := 0
	for k, is := range b {
		was, had := a[k]
		if had {
			kept++
		}
		if !had || !equal(was, is) {
			changed(k, was, had, is, true, fn)
		}
	}
	if kept == len(a) {
		return
	}
	for k, was := range a {
		if is, has := b[k]; !has {
			changed(k, was, true, is, false, fn)
		}
	}
}

// changed calls fn about one key. It is apart from the walk so that only what differs is copied to where pointers lead.
func changed[K comparable, V any](k K, was V, had bool, is V, has bool, fn func(k K, a, b *V)) {
	a, b := &was, &is
	if !had {
		a = nil
	}
	if !has {
		b = nil
	}
	fn(k, a, b)
}

// inServices reports whether all that may differ between two readings is about services, their endpoints and tasks.
func inServices(was, is swarmnet.AssignmentSet, wasView, isView gossip.View) bool {
	return was.Self == is.Self && deepEqual(was.Cluster, is.Cluster) && (sameMap(was.Nodes, is.Nodes) || deepEqual(was.Nodes, is.Nodes)) &&
		(sameMap(was.Networks, is.Networks) || deepEqual(was.Networks, is.Networks)) && (sameMap(wasView.Nodes, isView.Nodes) || maps.Equal(wasView.Nodes, isView.Nodes))
}
