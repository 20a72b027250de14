package local

import (
	"testing"

	"github.com/swarmnet/swarmnet"
)

// The network of the service that a sandbox has joined carries its default route, whatever the others' names and priorities are.
func TestJoinedNetworkCarriesTheRoute(t *testing.T) {
	networks := map[swarmnet.NetworkID]swarmnet.Network{}
	var eps []swarmnet.Endpoint
	for _, name := range []string{"a", "b", "c"} {
		id := swarmnet.NetworkID(name)
		networks[id] = swarmnet.Network{ID: id, Spec: swarmnet.NetworkSpec{Name: name}}
		eps = append(eps, swarmnet.Endpoint{Network: id})
	}
	atts := []swarmnet.NetworkAttachment{{Network: "a", EndpointSettings: swarmnet.EndpointSettings{GatewayPriority: 9}}, {Network: "b"}, {Network: "c"}}
	route := func() (out swarmnet.NetworkID) {
		for _, ep := range Routed(eps, atts, func(id swarmnet.NetworkID) swarmnet.Network { return networks[id] }) {
			if ep.DefaultRoute {
				out += ep.Network
			}
		}
		return out
	}
	if got := route(); got != "a" {
		t.Errorf("it is %q, a has the highest priority", got)
	}
	eps[2].Service = "ext"
	if got := route(); got != "c" {
		t.Errorf("it is %q, c is the service's", got)
	}
	eps[1].Service = "ext"
	if got := route(); got != "b" {
		t.Errorf("it is %q, b is the service's first", got)
	}
}

// A sandbox that drains runs on, takes no new connections, and does again in its next run.
func TestDrainLastsOneRun(t *testing.T) {
	w := newWorld(t)
	sb, err := w.create("box", swarmnet.SandboxSpec{})
	if err != nil {
		t.Fatal(err)
	}
	start := func() {
		t.Helper()
		s, now, err := w.Start("box", w.env)
		if err != nil {
			t.Fatal(err)
		}
		w.State = s.Report(sb.ID, now.Run, swarmnet.TaskStatus{State: swarmnet.TaskRunning}, t0)
	}
	desired := func() swarmnet.DesiredState { return w.Fragment(t0).Tasks[sb.ID].Desired }
	if w.State = w.Drain(sb.ID); w.Sandboxes[sb.ID].Draining {
		t.Error("one that does not run drains")
	}
	start()
	if w.State = w.Drain(sb.ID); desired() != swarmnet.DesireDraining {
		t.Errorf("it is to be %s", desired())
	}
	if s, errs := w.StartWithDaemon(w.env); len(errs) > 0 || s.Fragment(t0).Tasks[sb.ID].Desired != swarmnet.DesireShutdown {
		t.Errorf("whose daemon ended before it stopped it runs on: %v", errs)
	}
	s, now, err := w.Stop("box", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	if w.State = s; desired() != swarmnet.DesireShutdown {
		t.Errorf("stopped, it is to be %s", desired())
	}
	w.State = w.Report(sb.ID, now.Run, swarmnet.TaskStatus{State: swarmnet.TaskShutdown}, t0)
	if start(); desired() != swarmnet.DesireRunning {
		t.Errorf("started again, it is to be %s", desired())
	}
}
