package ingress

import (
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// Between two revisions two services may have one port. All nodes give it to the same one, however their maps are ordered.
func TestClashHasOneWinner(t *testing.T) {
	w := newWorld()
	w.set.Self = w.node(1)
	port := swarmnet.PortSpec{Published: 80, Target: 8080}
	for i, id := range []swarmnet.ServiceID{"a", "b", "c"} {
		w.service(id, nil, port)
		w.task(swarmnet.TaskID(id)+"1", id, 1, map[swarmnet.NetworkID]string{"app": "10.1.0." + string(rune('1'+i))}, "app")
	}
	for range 50 {
		m := ComputeMesh(w.set, w.view)
		if len(m.Ports) != 1 || m.Ports[0].Service != "a" || len(m.Ports[0].Backends) != 1 || m.Ports[0].Backends[0].Addr.String() != "10.1.0.1" {
			t.Fatal(m)
		}
	}
}

// While an update changes a service's host-mode port, each port leads to the task that was made with it.
func TestHostPortIsItsTasks(t *testing.T) {
	w := newWorld()
	w.set.Self = w.node(1)
	w.service("web", nil)
	for addr, published := range map[string]uint16{"10.1.0.1": 8080, "10.1.0.2": 8081} {
		id := swarmnet.TaskID("on" + addr)
		w.task(id, "web", 1, map[swarmnet.NetworkID]string{"app": addr}, "app")
		task := w.set.Tasks[id]
		task.Ports = []swarmnet.PortSpec{{Published: published, Target: 80, Mode: swarmnet.PublishHost}}
		w.set.Tasks[id] = task
	}
	m := ComputeMesh(w.set, w.view).String()
	for _, want := range []string{"tcp dport 8080 dnat to { 10.1.0.1:80 } host", "tcp dport 8081 dnat to { 10.1.0.2:80 } host"} {
		if !strings.Contains(m, want) {
			t.Errorf("no %q in\n%s", want, m)
		}
	}
}
