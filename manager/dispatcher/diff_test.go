package dispatcher

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// small draws sets over few ids and few contents, so that sets overlap.
func small(t *rapid.T) swarmnet.AssignmentSet {
	a := swarmnet.EmptyAssignmentSet()
	a.Revision = rapid.Uint64Max(9).Draw(t, "revision")
	a.Self = "self"
	a.Cluster.Epoch = rapid.Uint64Max(1).Draw(t, "epoch")
	pick := func(what string) map[string]int {
		return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.IntRange(0, 2), 0, 3).Draw(t, what)
	}
	for k, v := range pick("nodes") {
		a.Nodes[swarmnet.NodeID(k)] = swarmnet.Node{ID: swarmnet.NodeID(k), Index: uint16(v)}
	}
	for k, v := range pick("networks") {
		a.Networks[swarmnet.NetworkID(k)] = swarmnet.Network{ID: swarmnet.NetworkID(k), VNI: swarmnet.VNI(v)}
	}
	for k, v := range pick("services") {
		a.Services[swarmnet.ServiceID(k)] = swarmnet.Service{ID: swarmnet.ServiceID(k), SpecVersion: uint64(v)}
	}
	for k, v := range pick("endpoints") {
		e := swarmnet.PeerEndpoint{Slot: uint32(v)}
		e.ID = swarmnet.EndpointID(k)
		a.Endpoints[e.ID] = e
	}
	for k, v := range pick("tasks") {
		a.Tasks[swarmnet.TaskID(k)] = swarmnet.Task{ID: swarmnet.TaskID(k), Slot: uint32(v)}
	}
	return a
}

func TestFoldOfDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, new := small(t), small(t)
		before := Fold(old, wire.Delta{Set: swarmnet.AssignmentSet{Revision: old.Revision, Self: old.Self, Cluster: old.Cluster}})
		d := Diff(old, new)
		if d.From != old.Revision {
			t.Fatalf("the delta is from %d, the old set is of %d", d.From, old.Revision)
		}
		if got := Fold(old, d); !reflect.DeepEqual(got, new) {
			t.Fatalf("got  %+v\nwant %+v", got, new)
		}
		if !reflect.DeepEqual(old, before) {
			t.Fatal("Diff or Fold has written to the old set")
		}
		// The same over the wire.
		back, err := wire.DeltaFromProto(wire.DeltaToProto(d))
		if err != nil {
			t.Fatal(err)
		}
		if got := Fold(old, back); !reflect.DeepEqual(got, new) {
			t.Fatalf("over the wire: got  %+v\nwant %+v", got, new)
		}
		empty := len(d.RemovedNodes)+len(d.RemovedNetworks)+len(d.RemovedServices)+len(d.RemovedEndpoints)+len(d.RemovedTasks)+
			len(d.Set.Nodes)+len(d.Set.Networks)+len(d.Set.Services)+len(d.Set.Endpoints)+len(d.Set.Tasks) == 0
		if same := Same(old, new); same != (empty && old.Cluster.Epoch == new.Cluster.Epoch) {
			t.Fatalf("Same says %v of %+v", same, d)
		}
	})
}
