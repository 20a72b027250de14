package changes

import (
	"fmt"
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// TestPartsAreWhatALookThroughAllFinds: the index that a Log keeps leads to the same endpoints, whatever changes.
func TestPartsAreWhatALookThroughAllFinds(t *testing.T) {
	steps := 0
	rapid.Check(t, func(t *rapid.T) {
		pick := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		set := swarmnet.EmptyAssignmentSet()
		var view gossip.View
		var log Log
		var last *Step
		for range 20 {
			set.Endpoints, set.Services, set.Tasks = maps.Clone(set.Endpoints), maps.Clone(set.Services), maps.Clone(set.Tasks)
			task, service := swarmnet.TaskID(fmt.Sprint("t", pick("task", 4))), swarmnet.ServiceID([]string{"", "a", "b", "c"}[pick("service", 4)])
			id := swarmnet.EndpointID(fmt.Sprint(task, ".", pick("endpoint", 2)))
			switch pick("kind", 6) {
			case 0:
				delete(set.Endpoints, id)
			case 1:
				delete(set.Tasks, task)
			case 2:
				set.Tasks[task] = swarmnet.Task{ID: task, Service: service}
			case 3:
				set.Services[service] = swarmnet.Service{ID: service, SpecVersion: uint64(pick("version", 3))}
			case 4:
				set.Networks = map[swarmnet.NetworkID]swarmnet.Network{"net": {VNI: swarmnet.VNI(pick("vni", 2) + 1)}}
			default:
				set.Endpoints[id] = swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{ID: id, Task: task, Service: service}, Slot: uint32(pick("slot", 3))}
			}
			was, step := last, log.Next(set, view)
			last = step
			change, ok := step.Since(was)
			if was == nil || !ok || change.None() {
				continue
			}
			steps++
			owners := differ(was.Set, set, view, view).owners
			for _, c := range []struct {
				got Part
				of  swarmnet.AssignmentSet
			}{{change.Was, was.Set}, {change.Is, set}} {
				if want := lookThrough(c.of, owners, false); !reflect.DeepEqual(c.got.Set, want) {
					t.Fatalf("got %v instead of %v", c.got.Set, want)
				}
				if want := lookThrough(c.of, owners, true); !reflect.DeepEqual(c.got.Own, want) {
					t.Fatalf("with the node's own: got %v instead of %v", c.got.Own, want)
				}
			}
		}
	})
	if steps == 0 {
		t.Error("there was no step")
	}
}

// lookThrough is the naive twin of Log.part.
func lookThrough(set swarmnet.AssignmentSet, owners map[Owner]bool, own bool) swarmnet.AssignmentSet {
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

// A step that is not the next one says so: then all is computed anew.
func TestSinceKnowsTheStepBeforeAlone(t *testing.T) {
	var log, other Log
	set := swarmnet.EmptyAssignmentSet()
	first := log.Next(set, gossip.View{})
	second := log.Next(set, gossip.View{})
	third := log.Next(set, gossip.View{})
	for _, c := range []struct {
		from *Step
		ok   bool
	}{{nil, false}, {first, false}, {second, true}, {third, true}, {other.Next(set, gossip.View{}), false}} {
		if _, ok := third.Since(c.from); ok != c.ok {
			t.Errorf("since %v: %v", c.from, ok)
		}
	}
}
