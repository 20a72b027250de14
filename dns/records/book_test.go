package records

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/internal/changes"
)

// TestBookKnowsTheSame: whatever changes, and in whichever order, a Book knows what Compute does.
func TestBookKnowsTheSame(t *testing.T) {
	stepped := 0
	rapid.Check(t, func(t *rapid.T) {
		pick := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		set, view := swarmnet.EmptyAssignmentSet(), gossip.View{}
		set.Self = "n1"
		for i, id := range []swarmnet.NodeID{"n1", "n2"} {
			set.Nodes[id] = swarmnet.Node{ID: id, Index: uint16(i + 1)}
		}
		nets := []swarmnet.NetworkID{"app", "db"}
		for _, id := range nets {
			set.Networks[id] = swarmnet.Network{ID: id, Spec: swarmnet.NetworkSpec{Name: string(id), Driver: swarmnet.DriverOverlay}}
		}
		change := func() {
			set.Services, set.Endpoints, view.Endpoints = maps.Clone(set.Services), maps.Clone(set.Endpoints), maps.Clone(view.Endpoints)
			s := pick("service", 4)
			id := swarmnet.ServiceID(fmt.Sprint("s", s))
			if s == 3 {
				id = ""
			}
			net := nets[pick("network", 2)]
			if pick("kind", 3) == 0 && id != "" {
				svc := swarmnet.Service{ID: id, Spec: swarmnet.ServiceSpec{Name: string(id), EndpointMode: swarmnet.EndpointMode(pick("mode", 2))}}
				for i := range pick("networks", 3) {
					att := swarmnet.NetworkAttachment{Network: nets[i]}
					if pick("aliased", 2) == 0 {
						att.Aliases = []string{[]string{"cache", "s0", "t1"}[pick("alias", 3)]}
					}
					svc.Spec.Networks = append(svc.Spec.Networks, att)
					svc.VIPs = append(svc.VIPs, swarmnet.VIP{Network: nets[i], Addr: netip.AddrFrom4([4]byte{10, byte(i), 9, byte(s)})})
				}
				if pick("published", 2) == 0 {
					svc.Ports = []swarmnet.PortSpec{{Name: "http", Target: uint16(80 + pick("port", 2))}}
				}
				set.Services[id] = svc
				return
			}
			slot := pick("slot", 3)
			name := fmt.Sprintf("t%d", 10*s+slot)
			ep := swarmnet.EndpointID(name + "." + string(net))
			if pick("there", 4) == 0 {
				delete(set.Endpoints, ep)
				return
			}
			p := swarmnet.PeerEndpoint{TaskName: name, State: []swarmnet.TaskState{swarmnet.TaskRunning, swarmnet.TaskComplete}[pick("state", 2)], Desired: swarmnet.DesireRunning}
			addr := netip.AddrFrom4([4]byte{10, byte(len(net)), byte(pick("addr", 2)), byte(10*s + slot)})
			p.Endpoint = swarmnet.Endpoint{ID: ep, Network: net, Task: swarmnet.TaskID(name + "-of-some-length"), Service: id, Node: "n2", Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}}
			if pick("aliased", 3) == 0 {
				p.Aliases = []string{[]string{"cache", "own"}[pick("alias", 2)]}
			}
			set.Endpoints[ep] = p
			if view.Endpoints == nil {
				view.Endpoints = map[swarmnet.EndpointID]gossip.EndpointRow{}
			}
			view.Endpoints[ep] = gossip.EndpointRow{Network: net, Owner: "n2", State: gossip.EndpointState(pick("row", 4))}
		}
		var b Book
		var log changes.Log
		for range 25 {
			change()
			to := log.Next(set, view)
			if _, ok := b.step(to); ok {
				stepped++
			}
			got, want := shown(b.Compute(to)), shown(Compute(set, view))
			if got != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
		}
	})
	if stepped == 0 {
		t.Error("everything was computed anew each time")
	}
	t.Logf("%d steps", stepped)
}

func shown(r *Records) string {
	out := r.String()
	for _, id := range []swarmnet.NetworkID{"app", "db"} {
		out += fmt.Sprintln(r.zones[id].whole().servers)
	}
	return out
}
