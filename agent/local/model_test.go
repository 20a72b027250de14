package local

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
)

// model is what a sequence of steps must lead to, told in the simplest way.
type model struct {
	networks map[string]bool            // made by somebody
	boxes    map[string]map[string]bool // sandbox → its networks
	wanted   map[string]bool
	over     map[string]bool // its process has ended
	freed    map[string][]netip.Addr
}

// TestModel takes random steps and compares, after each, the state with the model and with what must always hold.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := model{
			networks: map[string]bool{"bridge": true}, boxes: map[string]map[string]bool{}, wanted: map[string]bool{}, over: map[string]bool{},
			freed: map[string][]netip.Addr{},
		}
		s, e, ids := New(env()), env(), 0
		name := func(what string, n int) string {
			return fmt.Sprintf("%s%d", what, rapid.IntRange(0, n).Draw(t, what))
		}
		kind := func(err error) (k Kind) {
			var r *Refusal
			if !errors.As(err, &r) {
				t.Fatalf("%v is no refusal", err)
			}
			return r.Kind
		}
		t.Repeat(map[string]func(*rapid.T){
			"network create": func(t *rapid.T) {
				n := name("net", 2)
				next, _, err := s.CreateNetwork(swarmnet.NetworkID("id-"+n), swarmnet.NetworkSpec{Name: n}, e)
				if m.networks[n] != (err != nil) || err != nil && kind(err) != Exists {
					t.Fatalf("create %s: %v", n, err)
				}
				m.networks[n] = true
				s = next
			},
			"network rm": func(t *rapid.T) {
				n := name("net", 2)
				used := false
				for _, nets := range m.boxes {
					used = used || nets[n]
				}
				next, err := s.RemoveNetwork(n)
				if (m.networks[n] && !used) != (err == nil) {
					t.Fatalf("remove %s, used %t: %v", n, used, err)
				}
				if s = next; err == nil {
					delete(m.networks, n)
					delete(m.freed, n)
				}
			},
			"run": func(t *rapid.T) {
				box, n := name("box", 4), name("net", 2)
				ids++
				spec := swarmnet.SandboxSpec{Name: box, Networks: []swarmnet.NetworkAttachment{{Network: swarmnet.NetworkID(n)}}}
				spec.Task.Command = []string{"x"}
				spec.Task.Restart.Condition = swarmnet.RestartCondition(rapid.IntRange(0, 2).Draw(t, "policy"))
				next, sb, err := s.CreateSandbox(swarmnet.TaskID(fmt.Sprint("id", ids)), spec, e)
				if ok := m.boxes[box] == nil && m.networks[n]; ok != (err == nil) {
					t.Fatalf("run %s on %s: %v", box, n, err)
				}
				if err != nil {
					return
				}
				if s, _, err = next.Start(string(sb.ID), e); err != nil {
					t.Fatal(err)
				}
				m.boxes[box], m.wanted[box], m.over[box] = map[string]bool{n: true}, true, false
			},
			"ends": func(t *rapid.T) {
				sb, err := s.Sandbox(name("box", 4))
				if err != nil {
					return
				}
				box, code := sb.Spec.Name, rapid.IntRange(0, 1).Draw(t, "code")
				st := swarmnet.TaskStatus{State: swarmnet.TaskComplete}
				if code > 0 {
					st = swarmnet.TaskStatus{State: swarmnet.TaskFailed, ExitCode: code}
				}
				s = s.Report(sb.ID, sb.Run, st, e.Now)
				c := sb.Spec.Task.Restart.Condition
				again := m.wanted[box] && !m.over[box] && (c == swarmnet.RestartAny || c == swarmnet.RestartOnFailure && code > 0)
				m.over[box] = !again
			},
			"stop": func(t *rapid.T) {
				box := name("box", 4)
				next, _, err := s.Stop(box, "", -1)
				if (m.boxes[box] != nil) != (err == nil) {
					t.Fatalf("stop %s: %v", box, err)
				}
				if s = next; !m.over[box] {
					m.wanted[box] = false
				}
			},
			"start": func(t *rapid.T) {
				box := name("box", 4)
				next, _, err := s.Start(box, e)
				if ok := m.boxes[box] != nil && (m.over[box] || m.wanted[box]); ok != (err == nil) {
					t.Fatalf("start %s: %v", box, err)
				}
				if s = next; err == nil && m.over[box] {
					m.wanted[box], m.over[box] = true, false
				}
			},
			"connect": func(t *rapid.T) {
				box, n := name("box", 4), name("net", 2)
				next, _, err := s.Connect(box, swarmnet.NetworkAttachment{Network: swarmnet.NetworkID(n)}, e)
				if ok := m.boxes[box] != nil && m.networks[n] && !m.boxes[box][n]; ok != (err == nil) {
					t.Fatalf("connect %s to %s: %v", box, n, err)
				}
				if s = next; err == nil {
					m.boxes[box][n] = true
				}
			},
			"disconnect": func(t *rapid.T) {
				box, n := name("box", 4), name("net", 2)
				held := addrOn(s, box, n)
				next, _, err := s.Disconnect(box, n, e)
				if ok := m.boxes[box][n]; ok != (err == nil) {
					t.Fatalf("disconnect %s from %s: %v", box, n, err)
				}
				if s = next; err == nil {
					delete(m.boxes[box], n)
					m.freed[n] = append(m.freed[n], held)
				}
			},
			"rm": func(t *rapid.T) {
				box := name("box", 4)
				held := map[string]netip.Addr{}
				for n := range m.boxes[box] {
					held[n] = addrOn(s, box, n)
				}
				next, sb, err := s.RemoveSandbox(box, true)
				if (m.boxes[box] != nil) != (err == nil) {
					t.Fatalf("rm %s: %v", box, err)
				}
				if err != nil {
					return
				}
				s = next.Gone(sb.ID)
				for n, a := range held {
					m.freed[n] = append(m.freed[n], a)
				}
				delete(m.boxes, box)
				delete(m.wanted, box)
				delete(m.over, box)
			},
			"time": func(t *rapid.T) { e.Now = e.Now.Add(time.Minute) },
			"":     func(t *rapid.T) { m.check(t, s, e) },
		})
	})
}

func addrOn(s State, box, network string) netip.Addr {
	sb, _ := s.Sandbox(box)
	n, _ := s.Network(network)
	for _, ep := range sb.Endpoints {
		if ep.Network == n.ID {
			return ep.Addrs[0].Addr()
		}
	}
	return netip.Addr{}
}

func (m model) check(t *rapid.T, s State, e Env) {
	boxes, held := map[string]map[string]bool{}, map[netip.Addr]string{}
	for _, sb := range s.Sandboxes {
		nets, names := map[string]bool{}, map[string]bool{}
		for _, ep := range sb.Endpoints {
			n := s.Networks[ep.Network]
			nets[n.Spec.Name] = true
			for _, p := range ep.Addrs {
				if who, twice := held[p.Addr()]; twice || !n.Subnets[0].Prefix.Contains(p.Addr()) || p.Addr() == n.Subnets[0].Gateway {
					t.Fatalf("%s of %s is wrong, or %s has it", p, sb.Spec.Name, who)
				}
				held[p.Addr()] = sb.Spec.Name
			}
		}
		for n, ifc := range sb.Interfaces {
			if names[ifc] || !nets[s.Networks[n].Spec.Name] {
				t.Fatalf("interfaces %v of %s", sb.Interfaces, sb.Spec.Name)
			}
			names[ifc] = true
		}
		routes := slices.IndexFunc(sb.Endpoints, func(ep swarmnet.Endpoint) bool { return ep.DefaultRoute })
		if (routes >= 0) != (len(nets) > 0) {
			t.Fatalf("the default route of %s", sb.Spec.Name)
		}
		boxes[sb.Spec.Name] = nets
		if sb.Active() == m.over[sb.Spec.Name] {
			t.Fatalf("%s is active: %t", sb.Spec.Name, sb.Active())
		}
	}
	for box, nets := range m.boxes {
		if !maps.Equal(nets, boxes[box]) {
			t.Fatalf("%s is on %v, and should be on %v", box, boxes[box], nets)
		}
	}
	if len(boxes) != len(m.boxes) || len(s.Networks) != len(m.networks)+2 {
		t.Fatalf("%d sandboxes and %d networks, want %d and %d", len(boxes), len(s.Networks), len(m.boxes), len(m.networks)+2)
	}
	for name, want := range m.freed {
		n, err := s.Network(name)
		if err != nil {
			continue
		}
		var rest []netip.Addr
		for i, a := range want { // what was given out again, or freed once more later, does not count
			if held[a] == "" && !slices.Contains(want[i+1:], a) {
				rest = append(rest, a)
			}
		}
		got := slices.DeleteFunc(slices.Clone(n.Freed), func(a netip.Addr) bool { return held[a] != "" })
		if !slices.Equal(got, rest) {
			t.Fatalf("network %s: free again %v, want %v", name, got, rest)
		}
	}
	f := s.Fragment(e.Now)
	set := Merge(Standalone("h"), f)
	for id, ep := range set.Endpoints {
		task, there := set.Tasks[ep.Task]
		if _, net := set.Networks[ep.Network]; !there || !net || ep.Node != set.Self || ep.ID != id || task.Node != set.Self {
			t.Fatalf("endpoint %s of the merged set hangs in the air", id)
		}
	}
	for id, task := range set.Tasks {
		if sb := s.Sandboxes[id]; (task.Desired <= swarmnet.DesireRunning) != (sb.Wanted && sb.Active()) {
			t.Fatalf("%s: desired %s, wanted %t", sb.Spec.Name, task.Desired, sb.Wanted)
		}
	}
}
