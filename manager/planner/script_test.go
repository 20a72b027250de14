package planner

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// The scripts read like a session with a cluster whose agents do at once what they are told, when the script says
// "agents". Every change goes through the encoding of an entry, and the state is checked after each.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		c := newCluster(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			c.t = t
			return c.command(d)
		})
	})
}

type cluster struct {
	t   tb
	s   *state.State
	now time.Time
	seq byte
	n   int
	// mute are the nodes that acknowledge nothing.
	mute map[swarmnet.NodeID]bool
	// led is since when the leader has been it.
	led time.Time
}

// tb is what a script needs of a test, so that random tests can shrink what fails.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newCluster(t tb) *cluster {
	return &cluster{t: t, s: state.New(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), mute: map[swarmnet.NodeID]bool{}}
}

// propose applies commands as one entry and returns the first refusal.
func (c *cluster) propose(cmds ...state.Command) ([]state.Result, error) {
	c.t.Helper()
	data, err := state.EncodeBatch(state.Batch{At: c.now, Actor: "script", Commands: cmds})
	if err != nil {
		c.t.Fatal(err)
	}
	batch, err := state.DecodeBatch(data)
	if err != nil {
		c.t.Fatal(err)
	}
	c.n++
	id := [16]byte{byte(c.n), byte(c.n >> 8), byte(c.n >> 16)}
	s, results, _, err := state.ApplyBatch(c.s, batch, id)
	if err != nil {
		c.t.Fatal(err)
	}
	before := c.s
	c.s = s
	if err := s.Check(); err != nil {
		c.t.Fatal(err)
	}
	c.checkTasks(before)
	for _, r := range results {
		if r.Err != nil {
			return results, r.Err
		}
	}
	return results, nil
}

// checkTasks holds the tasks' steps since a state against what must never happen.
func (c *cluster) checkTasks(before *state.State) {
	c.t.Helper()
	for was := range before.Tasks() {
		is, ok := c.s.Task(was.ID)
		if !ok || was.Standalone() {
			continue
		}
		if is.Status.State < was.Status.State || was.Status.State.Terminal() && is.Status.State != was.Status.State || is.Desired < was.Desired {
			c.t.Fatalf("a task goes back: %s was %s", is, was)
		}
		stops := was.Desired < swarmnet.DesireShutdown && is.Desired >= swarmnet.DesireShutdown
		if !stops || was.Desired == swarmnet.DesireReady || was.Status.State < swarmnet.TaskAssigned || is.Status.State.Terminal() {
			continue
		}
		for range before.EndpointsByTask(was.ID) {
			for n := range c.s.Nodes() {
				if n.Status.State == swarmnet.NodeReady && n.Applied < is.Balanced && c.now.Before(is.BalancedAt.Add(10*time.Second)) {
					c.t.Fatalf("%s is told to stop, and %s may still send it connections: it has applied %d of %d", is, n, n.Applied, is.Balanced)
				}
			}
			break
		}
	}
}

// plan does what the planners say, as one entry, until they have nothing to say.
func (c *cluster) plan() int {
	c.t.Helper()
	total := 0
	for range 20 {
		r := Run(c.s, c.now, c.led)
		total += len(r.Commands)
		if len(r.Commands) == 0 {
			return total
		}
		if _, err := c.propose(r.Commands...); err != nil {
			c.t.Fatalf("a planned command was refused: %v", err)
		}
	}
	c.t.Fatal("the planners never settle")
	return 0
}

// agents does on every node that is up what the node is told, and reports whether there was anything to do.
func (c *cluster) agents() bool {
	var cmds []state.Command
	for n := range c.s.Nodes() {
		if n.Status.State != swarmnet.NodeReady {
			continue
		}
		for t := range c.s.AssignedTasks(n.ID) {
			want := swarmnet.TaskPreparing
			switch t.Desired {
			case swarmnet.DesireRunning, swarmnet.DesireDraining:
				want = swarmnet.TaskRunning
			case swarmnet.DesireShutdown, swarmnet.DesireRemove:
				want = swarmnet.TaskShutdown
			}
			if want > t.Status.State {
				cmds = append(cmds, state.UpdateTaskStatus{Task: t.ID, Node: n.ID, Epoch: n.Epoch, Status: swarmnet.TaskStatus{State: want, At: c.now}})
			}
		}
	}
	if len(cmds) > 0 {
		if _, err := c.propose(cmds...); err != nil {
			c.t.Fatal(err)
		}
	}
	return len(cmds) > 0
}

// acks has the nodes that are up, or those named, acknowledge all that somebody waits for, and reports whether there was anything.
func (c *cluster) acks(nodes ...string) bool {
	var cmds []state.Command
	for n := range c.s.Nodes() {
		said := len(nodes) == 0 && !c.mute[n.ID] || slices.Contains(nodes, n.Name())
		if said && n.Status.State == swarmnet.NodeReady && c.s.BalancedIn(n.Applied, c.s.Revision()) {
			cmds = append(cmds, state.Acknowledge{Node: n.ID, Epoch: n.Epoch, Revision: c.s.Revision()})
		}
	}
	if len(cmds) > 0 {
		if _, err := c.propose(cmds...); err != nil {
			c.t.Fatal(err)
		}
	}
	return len(cmds) > 0
}

// settle lets planners and agents work until both are done. No time passes.
func (c *cluster) settle() {
	for range 100 {
		planned := c.plan() > 0
		acted := c.agents()
		if !c.acks() && !acted && !planned {
			return
		}
	}
	c.t.Fatal("the cluster never settles")
}

func (c *cluster) due() (time.Time, bool) {
	next := Run(c.s, c.now, c.led).Next
	return next, !next.IsZero()
}

// advance lets time pass, waking the planners when they want to be woken.
func (c *cluster) advance(d time.Duration) {
	end := c.now.Add(d)
	c.settle()
	for {
		next, ok := c.due()
		if !ok || next.After(end) {
			break
		}
		c.now = next
		c.settle()
	}
	c.now = end
	c.settle()
}

func (c *cluster) command(d *datadriven.TestData) string {
	var words []string
	args := map[string][]string{}
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			words = append(words, a.Key)
			args[a.Key] = nil
			continue
		}
		args[a.Key] = append(args[a.Key], a.Vals...)
	}
	verb := d.Cmd
	if len(words) > 0 && slices.Contains([]string{"network", "service", "node", "task"}, verb) {
		verb += " " + words[0]
		words = words[1:]
	}
	name := ""
	if len(words) > 0 {
		name = words[0]
	}
	switch verb {
	case "settle":
		c.settle()
		return ""
	case "plan":
		c.plan()
		return ""
	case "agents":
		c.agents()
		return ""
	case "acks":
		c.acks(words...)
		return ""
	case "mute":
		c.mute[nodeID(name)] = true
		return ""
	case "unmute":
		delete(c.mute, nodeID(name))
		return ""
	case "advance":
		dur, err := time.ParseDuration(name)
		if err != nil {
			c.t.Fatal(err)
		}
		c.advance(dur)
		return ""
	case "next":
		if due, ok := c.due(); ok {
			return "in " + due.Sub(c.now).String() + "\n"
		}
		return "never\n"
	case "elect": // after a time without any leader
		dur, err := time.ParseDuration(name)
		if err != nil {
			c.t.Fatal(err)
		}
		c.now = c.now.Add(dur)
		c.led = c.now
		return ""
	case "restart":
		c.restart()
		return ""
	}
	if show := c.show(verb, name); show != nil {
		return strings.Join(show, "\n") + "\n"
	}
	cmds, err := c.commands(verb, name, args, words)
	if err == nil {
		_, err = c.propose(cmds...)
	}
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	return ""
}

// restart writes the state, reads it again and compares.
func (c *cluster) restart() {
	var b strings.Builder
	if _, err := c.s.Snapshot().WriteTo(&b); err != nil {
		c.t.Fatal(err)
	}
	s, err := state.Restore(strings.NewReader(b.String()))
	if err != nil {
		c.t.Fatal(err)
	}
	if s.Hash() != c.s.Hash() || s.Revision() != c.s.Revision() {
		c.t.Fatal("the restored state differs")
	}
	if err := s.Check(); err != nil {
		c.t.Fatal(err)
	}
	c.s = s
}

func nodeID(name string) swarmnet.NodeID { return swarmnet.NodeID(swarmnet.DeriveID("node", name)) }

func (c *cluster) commands(verb, name string, args map[string][]string, words []string) ([]state.Command, error) {
	has := func(flag string) bool { return slices.Contains(words, flag) }
	switch verb {
	case "init":
		spec := swarmnet.DefaultClusterSpec()
		if v := args["pool"]; v != nil {
			spec.AddrPools = nil
			for _, pool := range v {
				base, size, _ := strings.Cut(pool, "/by/")
				n, _ := strconv.Atoi(size)
				spec.AddrPools = append(spec.AddrPools, swarmnet.AddrPool{Base: netip.MustParsePrefix(base), Size: n})
			}
		}
		if v := args["history"]; v != nil {
			n, _ := strconv.Atoi(v[0])
			spec.TaskHistory = uint32(n)
		}
		ingress := swarmnet.Network{ID: swarmnet.NetworkID(swarmnet.DeriveID("network", "ingress")),
			Spec: swarmnet.NetworkSpec{Name: "ingress", Driver: swarmnet.DriverOverlay, Ingress: true}}
		return []state.Command{
			state.CreateCluster{Cluster: swarmnet.Cluster{ID: swarmnet.ClusterID(swarmnet.DeriveID("cluster")), Spec: spec}},
			state.CreateNetwork{Network: ingress},
		}, nil
	case "node create":
		c.seq++
		n := swarmnet.Node{ID: nodeID(name), Spec: nodeSpec(swarmnet.NodeSpec{}, args)}
		n.Role = n.Spec.Role
		return []state.Command{state.CreateNode{Node: n}, c.open(name)}, nil
	case "node up":
		return []state.Command{c.open(name)}, nil
	}
	if strings.HasPrefix(verb, "node ") {
		n, r := c.s.FindNode(name)
		if r != nil {
			return nil, r
		}
		switch verb {
		case "node lost":
			return []state.Command{state.CloseSession{Node: n.ID, Epoch: n.Epoch, Manager: n.Status.Manager}}, nil
		case "node update":
			return []state.Command{state.UpdateNode{ID: n.ID, Spec: nodeSpec(n.Spec, args)}}, nil
		case "node rm":
			return []state.Command{state.RemoveNode{ID: n.ID, Force: has("force")}}, nil
		}
	}
	switch verb {
	case "network create":
		return []state.Command{state.CreateNetwork{Network: networkOf(c.n, name, args, words)}}, nil
	case "network rm":
		n, r := c.s.FindNetwork(name)
		if r != nil {
			return nil, r
		}
		return []state.Command{state.RemoveNetwork{ID: n.ID}}, nil
	case "service create":
		spec, err := c.serviceSpec(swarmnet.ServiceSpec{Name: name, Task: swarmnet.TaskSpec{Command: []string{"sleep"}}}, args)
		id := swarmnet.DeriveID("service", name, strconv.Itoa(c.n))
		return []state.Command{state.CreateService{Service: swarmnet.Service{ID: swarmnet.ServiceID(id), Spec: spec}}}, err
	case "task report":
		t, r := c.s.FindTask(name)
		if r != nil {
			return nil, r
		}
		st, err := swarmnet.ParseTaskState(words[1])
		n, _ := c.s.Node(t.Node)
		return []state.Command{state.UpdateTaskStatus{Task: t.ID, Node: t.Node, Epoch: n.Epoch, Status: swarmnet.TaskStatus{State: st, At: c.now}}}, err
	}
	if verb == "attach" || verb == "detach" || verb == "drain" {
		cmd, err := c.attach(verb, name, args)
		return []state.Command{cmd}, err
	}
	v, r := c.s.FindService(name)
	if r != nil {
		return nil, r
	}
	switch verb {
	case "service update":
		spec, err := c.serviceSpec(v.Spec, args)
		return []state.Command{state.UpdateService{ID: v.ID, Spec: spec}}, err
	case "service rollback":
		return []state.Command{state.RollbackService{ID: v.ID}}, nil
	case "service rm":
		return []state.Command{state.RemoveService{ID: v.ID}}, nil
	}
	return nil, fmt.Errorf("unknown command %q", verb)
}
