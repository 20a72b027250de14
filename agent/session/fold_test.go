package session

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// genSet draws a set out of a handful of possible objects.
func genSet(t *rapid.T, revision uint64) swarmnet.AssignmentSet {
	set := swarmnet.EmptyAssignmentSet()
	set.Revision = revision
	set.Cluster.Managers = []string{fmt.Sprint("m", rapid.IntRange(0, 2).Draw(t, "managers"))}
	for i := range rapid.IntRange(0, 4).Draw(t, "objects") {
		version := rapid.IntRange(0, 2).Draw(t, "version")
		set.Nodes[swarmnet.NodeID(fmt.Sprint("n", i))] = swarmnet.Node{Epoch: uint64(version)}
		set.Tasks[swarmnet.TaskID(fmt.Sprint("t", i))] = swarmnet.Task{Slot: uint32(version)}
		set.Endpoints[swarmnet.EndpointID(fmt.Sprint("e", i*2))] = swarmnet.PeerEndpoint{Slot: uint32(version)}
	}
	if rapid.Bool().Draw(t, "net") {
		set.Networks["net"] = swarmnet.Network{VNI: swarmnet.VNI(rapid.IntRange(1, 3).Draw(t, "vni"))}
		set.Services["web"] = swarmnet.Service{SpecVersion: revision}
	}
	return set
}

// delta is the naive twin of what a manager computes.
func delta(from, to swarmnet.AssignmentSet) wire.Delta {
	d := wire.Delta{From: from.Revision, Set: swarmnet.EmptyAssignmentSet()}
	d.Set.Revision, d.Set.Cluster, d.Set.Self = to.Revision, to.Cluster, to.Self
	diff(from.Nodes, to.Nodes, d.Set.Nodes, &d.RemovedNodes)
	diff(from.Networks, to.Networks, d.Set.Networks, &d.RemovedNetworks)
	diff(from.Services, to.Services, d.Set.Services, &d.RemovedServices)
	diff(from.Endpoints, to.Endpoints, d.Set.Endpoints, &d.RemovedEndpoints)
	diff(from.Tasks, to.Tasks, d.Set.Tasks, &d.RemovedTasks)
	return d
}

func diff[K ~string, V any](from, to, changed map[K]V, removed *[]K) {
	for k, v := range to {
		if was, ok := from[k]; !ok || !reflect.DeepEqual(was, v) {
			changed[k] = v
		}
	}
	for k := range from {
		if _, ok := to[k]; !ok {
			*removed = append(*removed, k)
		}
	}
}

func TestFoldFollowsTheManagers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f Fold
		if f.Delta(wire.Delta{}) {
			t.Fatal("a delta before the first complete set was taken")
		}
		sent := genSet(t, 1)
		f.Complete(sent)
		for rev := uint64(2); rev < 12; rev++ {
			next := genSet(t, rev)
			d := delta(sent, next)
			before, _ := f.Set()
			snapshot := fmt.Sprint(before)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0: // the delta is lost, the next one must be refused, and a complete set heals it
				after := genSet(t, rev+100)
				if f.Delta(delta(next, after)) {
					t.Fatal("a delta over a gap was taken")
				}
				if got, _ := f.Set(); !reflect.DeepEqual(got, sent) {
					t.Fatal("a refused delta has changed the set")
				}
				f.Complete(next)
			default:
				if !f.Delta(d) {
					t.Fatal("a delta without a gap was refused")
				}
			}
			if fmt.Sprint(before) != snapshot {
				t.Fatal("a set that was handed out has changed")
			}
			sent = next
			if got, _ := f.Set(); !reflect.DeepEqual(got, sent) {
				t.Fatalf("got %v, want %v", got, sent)
			}
		}
	})
}

func TestOutboxLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o Outbox
		said := map[swarmnet.TaskID]swarmnet.TaskState{}  // the model: the last word on each task
		heard := map[swarmnet.TaskID]swarmnet.TaskState{} // what the managers committed
		var stream [][]Update
		committed := 0
		commit := func(n int) {
			for ; committed < n; committed++ {
				for _, u := range stream[committed] {
					heard[u.Task] = max(heard[u.Task], u.Status.State)
				}
			}
			o.Committed(uint64(n))
		}
		send := func() {
			if u := o.Next(); u != nil {
				stream = append(stream, u)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				id := swarmnet.TaskID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "task"))
				state := swarmnet.TaskState(rapid.IntRange(3, 9).Draw(t, "state"))
				if state >= said[id] {
					said[id] = state
				}
				o.Put(Update{Task: id, Status: swarmnet.TaskStatus{State: state}})
			},
			"send":   func(*rapid.T) { send() },
			"commit": func(t *rapid.T) { commit(rapid.IntRange(committed, len(stream)).Draw(t, "n")) },
			"break":  func(*rapid.T) { stream, committed = nil, 0; o.NewStream() },
		})
		send()
		commit(len(stream))
		if o.Len() != 0 {
			t.Fatalf("%d reports are left", o.Len())
		}
		for id, state := range said {
			if heard[id] < state {
				t.Fatalf("task %s: the managers heard %s, last said was %s", id, heard[id], state)
			}
		}
	})
}
