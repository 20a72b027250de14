package desired

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/internal/changes"
)

// random is a set and a view that change at random, n1 being the node itself.
type random struct {
	t    *rapid.T
	set  swarmnet.AssignmentSet
	view gossip.View
}

func newRandom(t *rapid.T) *random {
	r := &random{t: t, set: example(), view: gossip.View{Endpoints: map[swarmnet.EndpointID]gossip.EndpointRow{}, Nodes: map[swarmnet.NodeID]gossip.Liveness{}}}
	ingress := network("ingress", 4096, "10.255.0.0/24", "")
	ingress.Spec.Ingress = true
	r.set.Networks["ingress"] = ingress
	for i, id := range []swarmnet.NodeID{"n1", "n2"} {
		n := r.set.Nodes[id]
		n.Ingress = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 255, 0, byte(i + 1)}), 24)}
		r.set.Nodes[id] = n
	}
	for range 12 {
		r.change()
	}
	return r
}

func (r *random) pick(what string, n int) int { return rapid.IntRange(0, n-1).Draw(r.t, what) }

// change alters one thing; what was handed out stays as it was.
func (r *random) change() {
	r.set.Endpoints, r.set.Services, r.set.Tasks = maps.Clone(r.set.Endpoints), maps.Clone(r.set.Services), maps.Clone(r.set.Tasks)
	r.set.Revision++
	s := r.pick("service", 5)
	id := swarmnet.ServiceID(fmt.Sprint("s", s))
	switch r.pick("kind", 10) {
	case 0:
		r.service(s, id)
	case 1:
		delete(r.set.Services, id)
	case 2:
		r.set.Nodes = maps.Clone(r.set.Nodes)
		n := r.set.Nodes["n2"]
		n.Status.State = []swarmnet.NodeState{swarmnet.NodeReady, swarmnet.NodeDown, swarmnet.NodeDisconnected}[r.pick("node", 3)]
		r.set.Nodes["n2"] = n
	case 3:
		r.view.Nodes = map[swarmnet.NodeID]gossip.Liveness{"n2": []gossip.Liveness{gossip.Alive, gossip.Dead}[r.pick("alive", 2)]}
	default:
		r.task(s, id)
	}
}

func (r *random) service(s int, id swarmnet.ServiceID) {
	svc := swarmnet.Service{ID: id, Spec: swarmnet.ServiceSpec{Name: string(id)}}
	for _, n := range []swarmnet.NetworkID{"app", "db"} {
		if r.pick("on "+string(n), 3) > 0 {
			svc.VIPs = append(svc.VIPs, swarmnet.VIP{Network: n, Addr: netip.AddrFrom4([4]byte{10, 0, 9, byte(s)})})
		}
	}
	for range r.pick("ports", 3) {
		svc.Ports = append(svc.Ports, swarmnet.PortSpec{Published: uint16(8000 + r.pick("port", 8)), Target: 80, Mode: swarmnet.PublishMode(r.pick("mode", 2))})
	}
	r.set.Services[id] = svc
}

func (r *random) task(s int, service swarmnet.ServiceID) {
	name := fmt.Sprintf("%s.%d", service, r.pick("slot", 3))
	if s == 4 {
		service = "" // a sandbox that somebody runs
	}
	id, node := swarmnet.TaskID(name), swarmnet.NodeID([]string{"n1", "n2"}[r.pick("node", 2)])
	desiredState := []swarmnet.DesiredState{swarmnet.DesireRunning, swarmnet.DesireDraining, swarmnet.DesireShutdown}[r.pick("desired", 3)]
	state := []swarmnet.TaskState{swarmnet.TaskRunning, swarmnet.TaskStarting, swarmnet.TaskComplete}[r.pick("state", 3)]
	delete(r.set.Tasks, id)
	there := r.pick("there", 5) > 0
	var nets []swarmnet.NetworkAttachment
	for i, n := range []swarmnet.NetworkID{"app", "db"} {
		ep := swarmnet.EndpointID(name + "." + string(n))
		delete(r.set.Endpoints, ep)
		if !there || i > 0 && r.pick("also "+string(n), 2) == 0 {
			continue
		}
		nets = append(nets, swarmnet.NetworkAttachment{Network: n})
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i + 1), byte(100 + 10*s + r.pick("addr", 3)*3 + int(name[len(name)-1]-'0'))})
		r.set.Endpoints[ep] = swarmnet.PeerEndpoint{
			Endpoint: swarmnet.Endpoint{ID: ep, Network: n, Task: id, Service: service, Node: node, MAC: swarmnet.MACFor(addr),
				Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}, DefaultRoute: i == 0},
			TaskName: name, Desired: desiredState, State: state,
		}
		r.view.Endpoints = maps.Clone(r.view.Endpoints)
		r.view.Endpoints[ep] = gossip.EndpointRow{Network: n, Owner: node, State: gossip.EndpointState(r.pick("row", 4))}
	}
	if there && node == "n1" {
		r.set.Tasks[id] = swarmnet.Task{ID: id, Service: service, Node: node, Networks: nets, Ports: r.set.Services[service].Ports, Desired: desiredState,
			Status: swarmnet.TaskStatus{State: state}}
	}
}

func shown(s NodeState) string {
	out := fmt.Sprintf("%d\n%s%s%v\n%v\n", s.Revision, s.Overlay, s.Mesh, s.Mesh.Direct, s.Mesh.Peers)
	for _, t := range s.Tasks {
		out += fmt.Sprintf("%s %v %+v\n%s", t.ID, t.Ready, t.Sandbox, t.VIPs)
	}
	return out
}

// TestPlannerComputesTheSame: whatever changes, and in whichever order, a Planner says what Compute does.
func TestPlannerComputesTheSame(t *testing.T) {
	stepped := 0
	rapid.Check(t, func(t *rapid.T) {
		r, local := newRandom(t), Local{UnderlayMTU: 1500}
		var p Planner
		var log changes.Log
		p.Compute(log.Next(r.set, r.view), local)
		for range 20 {
			r.change()
			q, to := p, log.Next(r.set, r.view)
			if q.step(to, local) {
				stepped++
			}
			got, want := p.Compute(to, local), Compute(r.set, r.view, local)
			if shown(got) != shown(want) {
				t.Fatalf("got\n%swant\n%s", shown(got), shown(want))
			}
			if !got.Overlay.Equal(want.Overlay) || !got.Mesh.Equal(want.Mesh) {
				t.Fatal("equal states are told apart")
			}
		}
	})
	if stepped == 0 {
		t.Error("everything was computed anew each time")
	}
	t.Logf("%d steps", stepped)
}

// TestEndpointsAreToldApart by every field that they have.
func TestEndpointsAreToldApart(t *testing.T) {
	var each func(v reflect.Value, check func())
	each = func(v reflect.Value, check func()) {
		switch v.Kind() {
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[netip.Addr]() || v.Type() == reflect.TypeFor[swarmnet.Meta]() {
				return // compared whole
			}
			for i := range v.NumField() {
				each(v.Field(i), check)
			}
			return
		case reflect.String:
			v.SetString("other")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Uint8, reflect.Uint32, reflect.Uint64:
			v.SetUint(3)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		case reflect.Array:
			v.Index(0).SetUint(3)
		default:
			t.Fatalf("a field is of kind %s: teach the test", v.Kind())
		}
		check()
		v.SetZero()
	}
	var ep swarmnet.PeerEndpoint
	each(reflect.ValueOf(&ep).Elem(), func() {
		if ep.Equal(swarmnet.PeerEndpoint{}) || (swarmnet.PeerEndpoint{}).Equal(ep) {
			t.Errorf("not seen: %+v", ep)
		}
	})
}
