package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// The tests of this file are about how long sandboxes last: through the daemon's end, the host's, and the node's joining and leaving.

// alone is a lab of nodes with a daemon each, in no cluster.
func alone(t *testing.T, nodes int) cluster {
	t.Helper()
	c := cluster{labtest.Up(t, lab.Config{Binary: binary, Managers: nodes, NoCluster: true}), t}
	for i := range nodes {
		if err := c.Start(t.Context(), fmt.Sprintf("n%d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// boxRow is what inspect says of a sandbox.
type boxRow struct {
	ID, State string
	Restarts  int
	Status    struct{ PID, ExitCode int }
	Endpoints []struct{ Addrs []string }
}

func (c cluster) inspectBox(node, name string) boxRow {
	c.t.Helper()
	return decode[[]boxRow](c.t, c.must(node, "inspect", name))[0]
}

// awaitAnswer waits until a whoami in a sandbox answers, by the sandbox's name, to another sandbox: a server listens a moment after it was started,
// and other nodes hear of its name a moment after its own does.
func (c cluster) awaitAnswer(node, from, name string) {
	c.t.Helper()
	labtest.Eventually(c.t, 10*time.Second, name+" to answer to "+from, func() error {
		r, err := c.Run(c.t.Context(), node, "swarmnet", "exec", from, "--", "swarmnet", "probe", "ask", "--timeout", "1s", "http://"+name)
		if err != nil || r.Code != 0 {
			return fmt.Errorf("%v %+v", err, r)
		}
		if got := decode[[]probe.Reply](c.t, r.Stdout)[0]; got.Err != "" || got.Answer.Task != name {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// awaitBox waits until a sandbox is as ok wants it.
func (c cluster) awaitBox(node, name, what string, ok func(boxRow) bool) boxRow {
	c.t.Helper()
	var row boxRow
	labtest.Eventually(c.t, 20*time.Second, name+" "+what, func() error {
		if row = c.inspectBox(node, name); !ok(row) {
			return fmt.Errorf("%+v", row)
		}
		return nil
	})
	return row
}

func TestE2EC25DaemonKilled(t *testing.T) {
	c := alone(t, 1)
	c.must("n1", "network", "create", "app")
	c.must("n1", "run", "-d", "--name", "web", "--network", "app", "-p", "8080:80", "--", "swarmnet", "whoami")
	c.must("n1", "run", "-d", "--name", "client", "--network", "app", "--", "sleep", "1000")
	c.must("n1", "run", "-d", "--name", "tools", "--network", "container:web", "--", "sleep", "1000")
	c.must("n1", "run", "-d", "--name", "speaker", "--", "sh", "-c", "echo said before; exec sleep 1000")
	labtest.Eventually(t, 10*time.Second, "the speaker to speak", func() error {
		if out := c.must("n1", "logs", "speaker"); out != "said before" {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	c.answers(web("n1"), 10*time.Second)
	const octets = 200 << 20
	download := c.start(lab.Outside, "probe", "fetch", "--octets", fmt.Sprint(octets), "--pace", fmt.Sprint(30<<20), web("n1")+fmt.Sprintf("/bytes/%d", octets))
	before := map[string]boxRow{}
	for _, name := range []string{"web", "client", "tools"} {
		before[name] = c.inspectBox("n1", name)
	}
	for range 2 {
		if err := c.Stop("n1", true); err != nil {
			t.Fatal(err)
		}
		if r := c.ask(1, web("n1"))[0]; r.Err != "" {
			t.Errorf("the published port without the daemon: %s", r.Err)
		}
		if err := c.Start(t.Context(), "n1"); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-download.done:
		t.Errorf("the download was over before the daemon was killed: nothing is shown: %.200s", download.text())
	default:
	}
	for name, was := range before {
		if is := c.inspectBox("n1", name); is.ID != was.ID || is.Status.PID != was.Status.PID || is.State != "running" || is.Restarts != 0 || fmt.Sprint(is.Endpoints) != fmt.Sprint(was.Endpoints) {
			t.Errorf("%s was %+v, is %+v", name, was, is)
		}
	}
	if out := c.must("n1", "exec", "client", "--", "swarmnet", "probe", "get", "http://web/"); !strings.Contains(out, "task=web") {
		t.Errorf("by name, through a sandbox that the daemon took over: %q", out)
	}
	if out := c.must("n1", "exec", "tools", "--", "swarmnet", "probe", "get", "http://127.0.0.1/"); !strings.Contains(out, "task=web") {
		t.Errorf("by the loopback of a shared stack: %q", out)
	}
	if out := c.must("n1", "logs", "speaker"); out != "said before" {
		t.Errorf("logs: %q", out)
	}
	if out := c.must("n1", "ps", "--format", "{{.Names}} {{.State}}"); strings.Count(out, "running") != 4 {
		t.Errorf("ps: %q", out)
	}
	if out := c.must("n1", "port", "web"); !strings.Contains(out, "8080") {
		t.Errorf("port: %q", out)
	}
	if d := decode[probe.Download](t, download.finish(t, time.Minute)); d.Err != "" || d.Octets != octets {
		t.Errorf("the download: %+v", d)
	}
}

func TestE2EC25PowerCut(t *testing.T) {
	c := alone(t, 1)
	c.must("n1", "network", "create", "--subnet", "10.77.0.0/24", "app")
	c.must("n1", "run", "-d", "--name", "web", "--restart", "always", "--network", "app", "--ip", "10.77.0.77", "-p", "8080:80", "--", "swarmnet", "whoami")
	c.must("n1", "run", "-d", "--name", "tools", "--restart", "on-failure", "--network", "container:web", "--", "sleep", "1000")
	c.must("n1", "run", "-d", "--name", "once", "--network", "app", "--", "sleep", "1000")
	c.must("n1", "run", "-d", "--name", "stopped", "--restart", "unless-stopped", "--network", "app", "--", "sleep", "1000")
	c.must("n1", "stop", "stopped")
	once := c.inspectBox("n1", "once")
	if err := c.Kill("n1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	running := func(r boxRow) bool { return r.State == "running" }
	if row := c.awaitBox("n1", "web", "to run again", running); row.Endpoints[0].Addrs[0] != "10.77.0.77/24" {
		t.Errorf("its fixed address: %+v", row)
	}
	c.awaitBox("n1", "tools", "to run again", running)
	c.answers(web("n1"), 10*time.Second)
	if out := c.must("n1", "exec", "tools", "--", "swarmnet", "probe", "get", "http://127.0.0.1/"); !strings.Contains(out, "task=web") {
		t.Errorf("the shared stack: %q", out)
	}
	c.awaitBox("n1", "once", "to be known as ended", func(r boxRow) bool { return r.State == "exited" && r.Status.ExitCode == 137 })
	if row := c.inspectBox("n1", "stopped"); row.State != "exited" {
		t.Errorf("what was stopped runs: %+v", row)
	}
	c.must("n1", "start", "once")
	if row := c.inspectBox("n1", "once"); fmt.Sprint(row.Endpoints) != fmt.Sprint(once.Endpoints) {
		t.Errorf("its address was %v, is %v", once.Endpoints, row.Endpoints)
	}
	if out := c.must("n1", "exec", "once", "--", "swarmnet", "probe", "get", "http://web/"); !strings.Contains(out, "task=web") {
		t.Errorf("by name: %q", out)
	}
}

func TestE2ERestartPolicies(t *testing.T) {
	c := alone(t, 1)
	c.must("n1", "run", "-d", "--name", "failing", "--restart", "on-failure:2", "--", "sh", "-c", "echo again; exit 3")
	row := c.awaitBox("n1", "failing", "to be given up", func(r boxRow) bool { return r.State == "exited" })
	if row.Restarts != 2 || row.Status.ExitCode != 3 {
		t.Errorf("given up after %+v", row)
	}
	if out := c.must("n1", "logs", "failing"); strings.TrimSpace(out) != "again\nagain\nagain" {
		t.Errorf("the output of all runs: %q", out)
	}
	c.must("n1", "run", "-d", "--name", "fine", "--restart", "on-failure", "--", "true")
	if row := c.awaitBox("n1", "fine", "to end", func(r boxRow) bool { return r.State == "exited" }); row.Restarts != 0 {
		t.Errorf("restarted without failure: %+v", row)
	}
	c.must("n1", "run", "-d", "--name", "always", "--restart", "always", "--", "sh", "-c", "sleep 0.1")
	c.awaitBox("n1", "always", "to be restarted", func(r boxRow) bool { return r.Restarts >= 2 })
	c.must("n1", "stop", "always")
	if row := c.inspectBox("n1", "always"); row.State != "exited" {
		t.Errorf("after stop: %+v", row)
	}
}

func TestE2EC26NothingLeft(t *testing.T) {
	c := alone(t, 1)
	c.must("n1", "network", "create", "app")
	c.must("n1", "run", "-d", "--name", "keeper", "--network", "app", "--", "sleep", "1000")
	left := func() string {
		t.Helper()
		r, err := c.Run(t.Context(), "n1", "sh", "-c",
			"ls /run/swarmnet/netns /run/swarmnet/tasks /tmp/swarmnet-lab-"+c.Name+"/n1/data/local/* | grep -v 'json.kept$'; ip -o link | wc -l; "+
				"nsenter --net=/run/swarmnet/netns/fabric ip -o link | wc -l; set -- /proc/[0-9]*; echo $#")
		if err != nil || r.Code != 0 {
			t.Fatalf("%v: %+v", err, r)
		}
		return r.Stdout
	}
	before := left()
	for round := range 5 {
		var names []string
		for i := range 8 {
			name := fmt.Sprintf("b%d-%d", round, i)
			flags := []string{"run", "-d", "--name", name, "--network", "app", "-p", fmt.Sprintf("%d:80", 9000+i)}
			if i%2 == 1 {
				flags = append(flags, "--network", "bridge")
			}
			c.must("n1", append(flags, "--", "sleep", "1000")...)
			names = append(names, name)
		}
		c.must("n1", append([]string{"stop", "-t", "0"}, names[:4]...)...)
		c.must("n1", append([]string{"start"}, names[:2]...)...)
		c.must("n1", append([]string{"rm", "-f"}, names...)...)
	}
	labtest.Eventually(t, 10*time.Second, "nothing to be left", func() error {
		if after := left(); after != before {
			return fmt.Errorf("there was\n%s\nthere is\n%s", before, after)
		}
		return nil
	})
}

func TestE2EC31PortInUse(t *testing.T) {
	c := alone(t, 1)
	taken := c.start("n1", "whoami", "--port", "9090")
	labtest.Eventually(t, 10*time.Second, "the other program to listen", func() error {
		if r := c.ask(1, fmt.Sprintf("http://%s:9090", lab.Addr("n1")))[0]; r.Err != "" {
			return fmt.Errorf("%s", r.Err)
		}
		return nil
	})
	c.refused("n1", 125, []string{"9090/tcp", "swarmnet (pid "}, "run", "-d", "--name", "web", "-p", "9090:80", "--", "swarmnet", "whoami")
	if r := c.ask(1, fmt.Sprintf("http://%s:9090", lab.Addr("n1")))[0]; r.Err != "" {
		t.Errorf("the other program's traffic: %s", r.Err)
	}
	c.must("n1", "run", "-d", "--name", "web", "-p", "8080:80", "--", "swarmnet", "whoami")
	c.refused("n1", 125, []string{"8080/tcp", "sandbox web"}, "run", "-d", "--name", "more", "-p", "8080:80", "--", "swarmnet", "whoami")
	if out := c.must("n1", "ps", "-a", "-q"); len(strings.Fields(out)) != 1 {
		t.Errorf("something is left of what was refused: %q", out)
	}
	c.must("n1", "stop", "web")
	c.must("n1", "run", "-d", "--name", "next", "-p", "8080:80", "--", "swarmnet", "whoami")
	c.answers(web("n1"), 10*time.Second)
	select {
	case <-taken.done:
		t.Errorf("the other program has ended: %s", taken.text())
	default:
	}
}

// A node's own sandboxes do not notice that the node becomes a member of a cluster, or leaves it.
func TestE2ESandboxesThroughMembership(t *testing.T) {
	c := alone(t, 2)
	c.must("n2", "run", "-d", "--name", "mine", "-p", "8080:80", "--", "swarmnet", "whoami")
	c.answers(web("n2"), 10*time.Second)
	was := c.inspectBox("n2", "mine")
	const octets = 300 << 20
	download := c.start(lab.Outside, "probe", "fetch", "--octets", fmt.Sprint(octets), "--pace", fmt.Sprint(15<<20), web("n2")+fmt.Sprintf("/bytes/%d", octets))
	c.must("n1", "cluster", "init", "--advertise-addr", lab.Addr("n1").String())
	token := strings.TrimSpace(c.must("n1", "cluster", "join-token", "-q", "worker"))
	c.must("n2", "cluster", "join", "--token", token, netip.AddrPortFrom(lab.Addr("n1"), 4747).String())
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "span")
	c.must("n1", "run", "-d", "--name", "far", "--network", "span", "--", "swarmnet", "whoami")
	c.must("n2", "run", "-d", "--name", "near", "--network", "span", "--", "sleep", "1000")
	c.awaitAnswer("n2", "near", "far") // from node to node over an attachable network
	c.must("n2", "network", "connect", "span", "mine")
	c.awaitAnswer("n1", "far", "mine")
	var holders []struct{ Name string }
	inspect := func() {
		t.Helper()
		var nets []struct{ Holders json.RawMessage }
		if err := json.Unmarshal([]byte(c.must("n1", "network", "inspect", "-v", "span")), &nets); err != nil {
			t.Fatal(err)
		}
		holders = decode[[]struct{ Name string }](t, string(nets[0].Holders))
	}
	c.must("n2", "rm", "-f", "near")
	inspect()
	if slices.ContainsFunc(holders, func(h struct{ Name string }) bool { return h.Name == "near" }) {
		t.Errorf("its address is still held: %v", holders)
	}
	c.must("n2", "cluster", "leave")
	if inspect(); slices.ContainsFunc(holders, func(h struct{ Name string }) bool { return h.Name == "mine" }) {
		t.Errorf("after its node has left its address is still held: %v", holders)
	}
	if is := c.inspectBox("n2", "mine"); is.ID != was.ID || is.Status.PID != was.Status.PID || is.State != "running" || len(is.Endpoints) != 1 {
		t.Errorf("it was %+v, is %+v", was, is)
	}
	if d := decode[probe.Download](t, download.finish(t, 2*time.Minute)); d.Err != "" || d.Octets != octets {
		t.Errorf("a connection through joining and leaving: %+v", d)
	}
	c.answers(web("n2"), 10*time.Second)
}

// The daemon lets the kernel wake it late (timer slack), to sleep more. What it starts is woken as what anybody else starts.
func TestE2EWorkloadsHaveTheKernelsTimerSlack(t *testing.T) {
	c := alone(t, 1)
	c.must("n1", "run", "-d", "--name", "box", "--", "sleep", "100000")
	for what, got := range map[string]string{
		"by exec": c.inside("box", "cat", "/proc/self/timerslack_ns"), "as a command": c.must("n1", "run", "--rm", "--", "cat", "/proc/self/timerslack_ns"),
	} {
		if strings.TrimSpace(got) != "50000" {
			t.Errorf("%s: %q ns", what, got)
		}
	}
}
