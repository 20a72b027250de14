package agent

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/gossip"
)

// assignments is a set with one network and the given tasks, each with one endpoint.
func assignments(revision uint64, tasks ...swarmnet.Task) swarmnet.AssignmentSet {
	set := swarmnet.EmptyAssignmentSet()
	set.Revision, set.Self = revision, "n1"
	set.Cluster = swarmnet.ClusterView{ID: "c1", DataPathPort: 4789}
	set.Nodes["n1"] = swarmnet.Node{ID: "n1", Index: 1, Description: swarmnet.NodeDescription{Hostname: "n1", VTEP: netip.MustParseAddr("192.0.2.1")}}
	subnet := swarmnet.Subnet{Prefix: netip.MustParsePrefix("10.0.1.0/24"), Gateway: netip.MustParseAddr("10.0.1.1")}
	set.Networks["app"] = swarmnet.Network{ID: "app", Spec: swarmnet.NetworkSpec{Name: "app", Driver: swarmnet.DriverOverlay}, VNI: 4097, Subnets: []swarmnet.Subnet{subnet}}
	for i, t := range tasks {
		addr := netip.AddrFrom4([4]byte{10, 0, 1, byte(10 + i)})
		t.ServiceName, t.Node, t.Slot = "web", "n1", uint32(i+1)
		t.Networks = []swarmnet.NetworkAttachment{{Network: "app"}}
		set.Tasks[t.ID] = t
		set.Endpoints[swarmnet.EndpointID(t.ID+"e")] = swarmnet.PeerEndpoint{
			Endpoint: swarmnet.Endpoint{
				ID: swarmnet.EndpointID(t.ID + "e"), Network: "app", Task: t.ID, Node: "n1", DefaultRoute: true,
				MAC: swarmnet.MACFor(addr), Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)},
			},
			Desired: t.Desired,
		}
	}
	return set
}

func want(id swarmnet.TaskID, d swarmnet.DesiredState, told swarmnet.TaskState) swarmnet.Task {
	return swarmnet.Task{ID: id, Desired: d, Status: swarmnet.TaskStatus{State: told}}
}

func TestLifeOfATask(t *testing.T) {
	h, b := newHost(), newBoss(t)
	startAgent(t, h, t.TempDir(), b.addr)
	b.sets <- assignments(1, want("t1", swarmnet.DesireRunning, swarmnet.TaskAssigned))
	eventually(t, "the task runs", func() bool { return b.last("t1").State == swarmnet.TaskRunning })
	eventually(t, "the set is acknowledged", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.applied == 1 })
	eventually(t, "names resolve", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.attached["t1"] })

	b.sets <- assignments(2, want("t1", swarmnet.DesireShutdown, swarmnet.TaskRunning))
	eventually(t, "the task is shut down", func() bool { return b.last("t1").State == swarmnet.TaskShutdown })
	eventually(t, "the sandbox is gone", func() bool { return strings.Contains(h.did(), "delete t1") })

	b.sets <- assignments(3)
	eventually(t, "the task is forgotten", func() bool { return strings.Contains(h.did(), "forget t1") })
	steps := []string{"make t1", "gossip t1e 1", "start t1", "gossip t1e 2", "gossip t1e 3", "stop t1", "delete t1", "gossip t1e gone", "forget t1"}
	if got := h.did(); !strings.HasPrefix(got, strings.Join(steps, "\n")) {
		t.Errorf("what was done:\n%s\nwant:\n%s", got, strings.Join(steps, "\n"))
	}
	var states []string
	b.mu.Lock()
	for _, s := range b.told["t1"] {
		states = append(states, s.State.String())
	}
	b.mu.Unlock()
	// Reports that follow each other closely may be one.
	if got := strings.Join(states, " "); !strings.HasSuffix(got, "running shutdown") {
		t.Errorf("reported %s", got)
	}
}

func TestRestartedAgentTouchesNothing(t *testing.T) {
	h, b := newHost(), newBoss(t)
	dir := t.TempDir()
	_, stop := startAgent(t, h, dir, b.addr)
	b.sets <- assignments(1, want("t1", swarmnet.DesireRunning, swarmnet.TaskAssigned))
	eventually(t, "the task runs", func() bool { return b.last("t1").State == swarmnet.TaskRunning })
	stop()
	before := h.did()

	// No manager answers; besides, there is a task that the set on disk does not know.
	h.do("", func() { h.workloads["t2"] = executor.Status{ID: "t2", Phase: executor.Running} })
	a, stop := startAgent(t, h, dir)
	eventually(t, "the endpoint is published again", func() bool { return strings.Count(h.did(), "gossip t1e 2") == 2 })
	eventually(t, "all is in force", func() bool { return a.Status().Mesh.InForce() })
	stop()
	if got := strings.TrimPrefix(h.did(), before); got != "\ngossip t1e 2" {
		t.Errorf("a restart did%s", got)
	}
	if h.workloads["t1"].Phase != executor.Running || h.workloads["t2"].Phase != executor.Running {
		t.Errorf("workloads %+v", h.workloads)
	}

	// A manager knows better.
	startAgent(t, h, dir, b.addr)
	b.sets <- assignments(2, want("t1", swarmnet.DesireRunning, swarmnet.TaskRunning))
	eventually(t, "the unknown task is gone", func() bool { return strings.Contains(h.did(), "forget t2") })
	if strings.Contains(h.did(), "forget t1") {
		t.Error("the known one, too")
	}
}

func TestRebootIsReported(t *testing.T) {
	h, b := newHost(), newBoss(t)
	startAgent(t, h, t.TempDir(), b.addr)
	b.sets <- assignments(1, want("t1", swarmnet.DesireRunning, swarmnet.TaskRunning))
	eventually(t, "the task has failed", func() bool { return b.last("t1").State == swarmnet.TaskFailed })
	if st := b.last("t1"); st.Err != "node restarted" || strings.Contains(h.did(), "start") {
		t.Errorf("told %+v, did %s", st, h.did())
	}
}

func TestSandboxThatCannotBeMade(t *testing.T) {
	h, b := newHost(), newBoss(t)
	h.broken = errors.New("no buffer space available")
	startAgent(t, h, t.TempDir(), b.addr)
	b.sets <- assignments(1, want("t1", swarmnet.DesireRunning, swarmnet.TaskAssigned))
	eventually(t, "the reason is told", func() bool { return b.last("t1").Err == "no buffer space available" })
	if st := b.last("t1").State; st != swarmnet.TaskPreparing {
		t.Errorf("state %s", st)
	}
	h.do("", func() { h.broken = nil })
	eventually(t, "the task runs", func() bool { return b.last("t1").State == swarmnet.TaskRunning })
}

func TestTaskThatEnds(t *testing.T) {
	h, b := newHost(), newBoss(t)
	startAgent(t, h, t.TempDir(), b.addr)
	b.sets <- assignments(1, want("t1", swarmnet.DesireRunning, swarmnet.TaskAssigned), want("t2", swarmnet.DesireRunning, swarmnet.TaskAssigned))
	eventually(t, "both run", func() bool {
		return b.last("t1").State == swarmnet.TaskRunning && b.last("t2").State == swarmnet.TaskRunning
	})
	fakeExecutor{h}.set("t1", "", func(st *executor.Status) { st.Phase, st.ExitCode = executor.Ended, 3 })
	eventually(t, "the failure is told", func() bool { return b.last("t1").State == swarmnet.TaskFailed && b.last("t1").ExitCode == 3 })
	row := func() (gossip.EndpointState, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		st, there := h.rows["t1e"]
		return st, there
	}
	eventually(t, "its endpoint takes no connections, whatever the managers know", func() bool { st, _ := row(); return st == gossip.EndpointDraining })
	b.sets <- assignments(2, want("t1", swarmnet.DesireRunning, swarmnet.TaskFailed), want("t2", swarmnet.DesireRunning, swarmnet.TaskRunning))
	eventually(t, "its endpoint is withdrawn", func() bool { _, there := row(); return !there })
	if h.mu.Lock(); h.rows["t2e"] != gossip.EndpointReady {
		t.Errorf("the other task: %v", h.rows["t2e"])
	}
	h.mu.Unlock()
}

func TestManyTasksAtOnce(t *testing.T) {
	h, b := newHost(), newBoss(t)
	startAgent(t, h, t.TempDir(), b.addr)
	var tasks []swarmnet.Task
	for i := range 100 {
		tasks = append(tasks, want(swarmnet.TaskID("t"+string(rune('a'+i/10))+string(rune('a'+i%10))), swarmnet.DesireRunning, swarmnet.TaskAssigned))
	}
	began := time.Now()
	b.sets <- assignments(1, tasks...)
	for _, task := range tasks {
		eventually(t, "all run", func() bool { return b.last(task.ID).State == swarmnet.TaskRunning })
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %s", d)
	}
}
