package planner

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// Whatever users, nodes and time do, in any order: every index equals one built anew (propose checks it), no address has
// two holders, the planners settle, two passes over one view say the same, and none of what they say is refused.
func TestRandomSessions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCluster(rt)
		if _, err := c.propose(must(c.commands("init", "", map[string][]string{"history": {"1"}}, nil))...); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			c.step(rt)
		}
		c.advance(11 * time.Second)
		for v := range c.s.Tasks() { // whoever does not answer
			if v.Desired == swarmnet.DesireDraining && !v.Standalone() && !v.Status.State.Terminal() {
				rt.Fatalf("%s is waited for without end", v)
			}
		}
		for e := range c.s.Endpoints() {
			if h, ok := c.s.AddressHolder(e.Network, e.Addrs[0].Addr()); !ok || h.ID != string(e.Task) {
				rt.Fatalf("%s is held by %v", e, h)
			}
		}
		c.restart()
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// step does one random thing. What is refused must leave the state as it is.
func (c *cluster) step(t *rapid.T) {
	switch kind := rapid.IntRange(0, 15).Draw(t, "step"); kind {
	case 0:
		c.now = c.now.Add(time.Duration(rapid.IntRange(0, 40_000).Draw(t, "ms")) * time.Millisecond)
	case 1, 2:
		c.samePlan(t)
		c.plan()
	case 3:
		c.agents()
	case 4:
		c.settle()
	case 15:
		name := rapid.SampledFrom([]string{"n1", "n2", "n3", "n4"}).Draw(t, "who")
		c.mute[nodeID(name)] = rapid.Bool().Draw(t, "mute")
		c.acks()
	default:
		cmd := c.randomCommand(t, kind)
		if cmd == nil {
			return
		}
		next, r, changes := state.Apply(c.s, cmd, state.Meta{At: c.now})
		if r.Err != nil && (next != c.s || len(changes) > 0) {
			t.Fatalf("%T was refused (%v) and changed the state", cmd, r.Err)
		}
		if r.Changed != (next != c.s) || r.Changed != (next.Revision() == c.s.Revision()+1) || r.Changed != (len(changes) > 0) {
			t.Fatalf("%T: changed %t, revision %d after %d, %d changes", cmd, r.Changed, next.Revision(), c.s.Revision(), len(changes))
		}
		before := c.s
		_, _ = c.propose(cmd)
		if r.Changed && (c.s.Revision() != next.Revision()) {
			t.Fatal("an entry does something else than its command")
		}
		// The same entry on the same state gives the same; the same entry again gives nothing.
		data, err := state.EncodeBatch(state.Batch{At: c.now, Actor: "script", Commands: []state.Command{cmd}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := state.DecodeBatch(data)
		if err != nil {
			t.Fatal(err)
		}
		id := [16]byte{byte(c.n), byte(c.n >> 8), byte(c.n >> 16)}
		twin, results, _, err := state.ApplyBatch(before, b, id)
		if err != nil || twin.Hash() != c.s.Hash() {
			t.Fatalf("two managers differ: %v", err)
		}
		again, repeated, changes, err := state.ApplyBatch(c.s, b, id)
		if err != nil || again != c.s || len(changes) > 0 || fmt.Sprint(results[0].Error(), results[0].Revision) != fmt.Sprint(repeated[0].Error(), repeated[0].Revision) {
			t.Fatalf("an entry that is proposed twice: %v, %v, %v", err, results, repeated)
		}
	}
}

func (c *cluster) samePlan(t *rapid.T) {
	one, err := state.EncodeBatch(state.Batch{Commands: Plan(c.s, c.now)})
	if err != nil {
		t.Fatal(err)
	}
	two, err := state.EncodeBatch(state.Batch{Commands: Plan(c.s, c.now)})
	if err != nil {
		t.Fatal(err)
	}
	// Maps of labels have no order in an encoding: the sizes tell, and the commands are compared by the entry's effect.
	if len(one) != len(two) {
		t.Fatal("two plans from one view differ")
	}
	a, b := c.effect(t, one), c.effect(t, two)
	if !bytes.Equal(a, b) {
		t.Fatal("two plans from one view do different things")
	}
}

func (c *cluster) effect(t *rapid.T, data []byte) []byte {
	b, err := state.DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	b.At = c.now
	s, _, _, err := state.ApplyBatch(c.s, b, [16]byte{255})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, "%x", s.Hash())
}

func (c *cluster) randomCommand(t *rapid.T, kind int) state.Command {
	pick := func(what string, from ...string) string { return rapid.SampledFrom(from).Draw(t, what) }
	switch kind {
	case 5:
		name := pick("node", "n1", "n2", "n3", "n4")
		if n, ok := c.s.Node(nodeID(name)); ok {
			return state.UpdateNode{ID: n.ID, Spec: swarmnet.NodeSpec{
				Availability: swarmnet.Availability(rapid.IntRange(0, 2).Draw(t, "availability")),
				Role:         swarmnet.Role(rapid.IntRange(0, 1).Draw(t, "role")),
				Labels:       map[string]string{"zone": pick("zone", "a", "b")}}}
		}
		return state.CreateNode{Node: swarmnet.Node{ID: nodeID(name)}}
	case 6:
		name := pick("node", "n1", "n2", "n3", "n4")
		c.seq = byte(name[1] - '0')
		return c.open(name)
	case 7:
		n, ok := c.s.Node(nodeID(pick("node", "n1", "n2", "n3", "n4")))
		if !ok {
			return nil
		}
		if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
			return state.RemoveNode{ID: n.ID, Force: rapid.Bool().Draw(t, "force")}
		}
		return state.CloseSession{Node: n.ID, Epoch: n.Epoch, Manager: n.Status.Manager}
	case 8:
		name := pick("network", "app", "back", "ingress")
		if n, ok := c.s.NetworkByName(name); ok && rapid.Bool().Draw(t, "remove") {
			return state.RemoveNetwork{ID: n.ID}
		}
		spec := swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverOverlay, Ingress: name == "ingress", Attachable: name != "ingress" && rapid.IntRange(0, 3).Draw(t, "attachable") > 0, Internal: name == "back" && rapid.Bool().Draw(t, "internal")}
		if rapid.Bool().Draw(t, "subnet") {
			spec.IPAM = []swarmnet.IPAMConfig{{Subnet: netip.MustParsePrefix(pick("subnet", "10.5.0.0/29", "10.5.0.8/28", "10.0.1.0/24"))}}
		}
		return state.CreateNetwork{Network: swarmnet.Network{ID: swarmnet.NetworkID(swarmnet.DeriveID("network", fmt.Sprint(c.n))), Spec: spec}}
	case 9, 10:
		return c.randomService(t, pick("service", "a", "b", "c", "ext"))
	case 11:
		var tasks []swarmnet.Task
		for v := range c.s.Tasks() {
			tasks = append(tasks, v)
		}
		if len(tasks) == 0 {
			return nil
		}
		v := rapid.SampledFrom(tasks).Draw(t, "task")
		return state.UpdateTaskStatus{Task: v.ID, Node: v.Node, Status: swarmnet.TaskStatus{
			State: swarmnet.TaskState(rapid.IntRange(int(swarmnet.TaskPreparing), int(swarmnet.TaskRejected)).Draw(t, "state")), At: c.now}}
	}
	if kind > 12 {
		return c.randomAttachment(t)
	}
	return state.UpdateCluster{Spec: swarmnet.DefaultClusterSpec()}
}

func (c *cluster) randomService(t *rapid.T, name string) state.Command {
	v, ok := c.s.ServiceByName(name)
	if ok {
		switch rapid.IntRange(0, 5).Draw(t, "what") {
		case 0:
			return state.RemoveService{ID: v.ID}
		case 1:
			return state.RollbackService{ID: v.ID}
		}
	}
	spec := swarmnet.ServiceSpec{Name: name, Task: swarmnet.TaskSpec{Command: []string{rapid.SampledFrom([]string{"x", "y"}).Draw(t, "command")}}}
	spec.Mode = swarmnet.ServiceMode(rapid.IntRange(0, 1).Draw(t, "mode"))
	if ok {
		spec.Mode = v.Spec.Mode
	}
	if name == "ext" {
		return c.randomExternal(t, v, spec)
	}
	if spec.Mode == swarmnet.Replicated {
		spec.Replicas = uint32(rapid.IntRange(0, 6).Draw(t, "replicas"))
	}
	for n := range c.s.Networks() {
		if !n.Spec.Ingress && rapid.Bool().Draw(t, "attach") {
			spec.Networks = append(spec.Networks, swarmnet.NetworkAttachment{Network: n.ID})
		}
	}
	spec.EndpointMode = swarmnet.EndpointMode(rapid.IntRange(0, 1).Draw(t, "endpoint mode"))
	for range rapid.IntRange(0, 2).Draw(t, "ports") {
		spec.Ports = append(spec.Ports, swarmnet.PortSpec{
			Target: 80, Published: uint16(rapid.SampledFrom([]int{0, 0, 80, 81}).Draw(t, "published")),
			Mode: swarmnet.PublishMode(rapid.IntRange(0, 1).Draw(t, "publish mode"))})
	}
	spec.Update = swarmnet.UpdateConfig{
		Parallelism: uint32(rapid.IntRange(0, 2).Draw(t, "parallelism")), Order: swarmnet.UpdateOrder(rapid.IntRange(0, 1).Draw(t, "order")),
		Delay: time.Duration(rapid.IntRange(0, 2).Draw(t, "delay")) * time.Second, FailureAction: swarmnet.FailureAction(rapid.IntRange(0, 2).Draw(t, "action"))}
	spec.Task.Restart = swarmnet.RestartPolicy{
		Condition: swarmnet.RestartCondition(rapid.IntRange(0, 2).Draw(t, "condition")), Delay: time.Duration(rapid.IntRange(0, 2).Draw(t, "restart delay")) * time.Second,
		MaxAttempts: uint32(rapid.IntRange(0, 2).Draw(t, "attempts"))}
	spec.Task.Placement.MaxPerNode = uint32(rapid.IntRange(0, 2).Draw(t, "max per node"))
	if rapid.Bool().Draw(t, "constraint") {
		spec.Task.Placement.Constraints = []string{"node.labels.zone==a"}
	}
	if ok {
		return state.UpdateService{ID: v.ID, Spec: spec}
	}
	return state.CreateService{Service: swarmnet.Service{ID: swarmnet.ServiceID(swarmnet.DeriveID("service", name, fmt.Sprint(c.n))), Spec: spec}}
}

func (c *cluster) randomExternal(t *rapid.T, v swarmnet.Service, spec swarmnet.ServiceSpec) state.Command {
	spec.Mode, spec.Task = swarmnet.External, swarmnet.TaskSpec{}
	for n := range c.s.Networks() {
		if !n.Spec.Ingress && n.Spec.Attachable {
			spec.Networks = append(spec.Networks, swarmnet.NetworkAttachment{Network: n.ID})
		}
	}
	if rapid.Bool().Draw(t, "port") {
		spec.Ports = []swarmnet.PortSpec{{Target: 80}}
	}
	if v.ID != "" {
		return state.UpdateService{ID: v.ID, Spec: spec}
	}
	return state.CreateService{Service: swarmnet.Service{ID: swarmnet.ServiceID(swarmnet.DeriveID("service", "ext", fmt.Sprint(c.n))), Spec: spec}}
}
