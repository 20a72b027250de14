package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// To whom new connections are led, and how long old ones last.
func TestE2ES17S18Connections(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	inside := c.sandbox("n1", 9000)
	t.Run("S17 unready", func(t *testing.T) { c.unreadyTasks(t, sandbox{c.on(t), inside.base}) })
	t.Run("S17 dead", func(t *testing.T) { c.deadTasks(t, sandbox{c.on(t), inside.base}) })
	t.Run("S17 stopping", c.stoppingTasks)
	t.Run("S18 idle", c.idleConnections)
}

// leadsTo asks a service through all nodes and by its name, and fails the test unless just these tasks answer, each time.
func (c cluster) leadsTo(service string, port int, inside sandbox, want ...string) {
	c.t.Helper()
	replies := c.ask(120, web80("n1", port), web80("n2", port), web80("n3", port))
	replies = append(replies, decode[[]probe.Reply](c.t, inside.get("ask?count=40&url=http://"+service))...)
	tasks, _ := tally(c.t, replies)
	for name, n := range tasks {
		if !slices.Contains(want, name) {
			c.t.Errorf("%d of %d new connections are led to %s", n, len(replies), name)
		}
	}
	if len(tasks) != len(want) {
		c.t.Errorf("%v answer, want %v", tasks, want)
	}
}

// fullTasks are the running tasks of a service with their whole names.
func (c cluster) fullTasks(service string) map[string]taskRow {
	c.t.Helper()
	out := map[string]taskRow{}
	for _, r := range lines[taskRow](c.t, c.must("n1", "service", "ps", service, "--no-trunc", "--format", "json")) {
		if r.running() {
			out[r.Name] = r
		}
	}
	return out
}

// A task whose health check has not succeeded yet is asked for nothing, though it would answer.
func (c cluster) unreadyTasks(t *testing.T, inside sandbox) {
	c = c.on(t)
	c.must("n1", "service", "create", "--detach", "--name", "two", "--replicas", "2", "--replicas-max-per-node", "1", "--constraint", "node.hostname!=n1", "--network", "app",
		"--publish", "8080:80", "--health-tcp", "81", "--health-start-period", "5m", "--health-interval", "100ms", "--",
		"sh", "-c", "[ $SWARMNET_NODE = n3 ] || swarmnet whoami --port 81 & exec swarmnet whoami")
	var id string
	labtest.Eventually(t, 15*time.Second, "one task to be ready, and the other to answer by itself", func() error {
		rows := lines[taskRow](t, c.must("n1", "service", "ps", "two", "--no-trunc", "--format", "json"))
		i := slices.IndexFunc(rows, func(r taskRow) bool { return r.Node == "n3" })
		if i < 0 || len(c.runningTasks("n1", "two")) != 1 {
			return fmt.Errorf("%+v", rows)
		}
		id = rows[i].ID
		r, err := c.Run(t.Context(), "n3", "swarmnet", "exec", id, "--", "swarmnet", "probe", "ask", "http://127.0.0.1")
		if err != nil || r.Code != 0 || strings.Contains(r.Stdout, `"err"`) {
			return fmt.Errorf("%v %+v", err, r)
		}
		return nil
	})
	for _, n := range three {
		c.answers(web(n), 5*time.Second)
	}
	c.leadsTo("two", 8080, inside, slices.Collect(maps.Keys(c.fullTasks("two")))...)
	c.start("n3", "exec", id, "--", "swarmnet", "whoami", "--port", "81")
	c.spread("two", 2, func(onN3 int) bool { return onN3 == 1 })
	labtest.Eventually(t, 5*time.Second, "both to be led to, when both are ready", func() error {
		if tasks, _ := tally(t, c.ask(20, web("n1"))); len(tasks) != 2 {
			return fmt.Errorf("%v", tasks)
		}
		return nil
	})
	c.rm("two")
}

// A task that has died is asked for nothing once every node knows.
func (c cluster) deadTasks(t *testing.T, inside sandbox) {
	c = c.on(t)
	c.createWhoami("dead", 8080, 3, "--restart-condition", "none")
	tasks := c.fullTasks("dead")
	var victim string
	var left []string
	for name := range tasks {
		if victim == "" {
			victim = name
		} else {
			left = append(left, name)
		}
	}
	node := tasks[victim].Node
	row := c.inspectBox(node, tasks[victim].ID)
	if row.Status.PID == 0 {
		t.Fatalf("%s: %+v", victim, row)
	}
	if r, err := c.Run(t.Context(), node, "kill", "-9", strconv.Itoa(row.Status.PID)); err != nil || r.Code != 0 {
		t.Fatalf("%v %+v", err, r)
	}
	labtest.Eventually(t, 10*time.Second, "every node to know of the death", func() error {
		if n := len(c.runningTasks("n1", "dead")); n != 2 {
			return fmt.Errorf("%d run", n)
		}
		for _, n := range three {
			if err := answerAll(c.ask(12, web(n)), "dead"); err != nil {
				return err
			}
		}
		return answeredBy(inside.get("ask?count=12&url=http://dead"), 2)
	})
	c.leadsTo("dead", 8080, inside, left...)
	c.rm("dead")
}

// A task that is to stop gets no connection after its stop signal, which it ignores; the connections that it has last until the grace period
// ends.
func (c cluster) stoppingTasks(t *testing.T) {
	c = c.on(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	grace := labtest.Patience(5 * time.Second)
	c.must("n1", "service", "create", "--name", "stops", "--replicas", "2", "--network", "app", "--publish", "8080:80", "--stop-grace-period", grace.String(), "--",
		"sh", "-c", `trap "touch `+dir+`/$SWARMNET_TASK" TERM; setsid swarmnet whoami & while :; do wait; done`)
	before := c.fullTasks("stops")
	held := c.start(lab.Outside, "probe", "hold", "--count", "12", "--every", labtest.Patience(200*time.Millisecond).String(), "--duration", labtest.Patience(20*time.Second).String(), web("n1"))
	load := c.load(150, labtest.Patience(12*time.Second), web("n1"), web("n2"), web("n3"))
	labtest.Eventually(t, 10*time.Second, "requests to flow", func() error {
		if n, m := strings.Count(held.text(), "\n"), strings.Count(load.text(), "\n"); n < 24 || m < 200 {
			return fmt.Errorf("%d and %d", n, m)
		}
		return nil
	})
	c.must("n1", "service", "scale", "stops=1")
	var victim string
	var signalled time.Time
	labtest.Eventually(t, 15*time.Second, "the task to be stopped", func() error {
		after := c.fullTasks("stops")
		for name := range before {
			if _, runs := after[name]; runs {
				continue
			}
			info, err := os.Stat(dir + "/" + name)
			if err != nil {
				return err
			}
			victim, signalled = name, info.ModTime()
			return nil
		}
		return fmt.Errorf("%v run", after)
	})
	served := 0
	for _, r := range lines[probe.Reply](t, load.finish(t, labtest.Patience(30*time.Second))) {
		if r.Err != "" {
			t.Errorf("%s, %v after the signal: %s", r.URL, r.At.Sub(signalled), r.Err)
		}
		if r.Answer.Task == victim && r.At.After(signalled) {
			t.Errorf("%s got a new connection %v after its stop signal", victim, r.At.Sub(signalled))
		}
		if r.Answer.Task == victim {
			served++
		}
	}
	if served == 0 {
		t.Error("the stopped task was never asked: nothing is shown")
	}
	held.stop()
	<-held.done
	kept, last := 0, time.Duration(0)
	for _, r := range lines[probe.Reply](t, whole(held.text())) {
		if at := r.At.Sub(signalled); r.Answer.Task == victim && at > 0 {
			kept++
			last = max(last, at)
		}
	}
	t.Logf("%s: %d requests over connections that it had, the last one %v after its stop signal", victim, kept, last)
	if last < grace/2 || last > grace+labtest.Patience(2*time.Second) {
		t.Errorf("the connections of a stopping task last %v beyond its stop signal, want the grace period of %v", last, grace)
	}
	c.rm("stops")
}

// awaitNamespaces waits until a node has a namespace for each sandbox that runs there, and no more: those of tasks that have ended go a moment later.
func (c cluster) awaitNamespaces(node string) {
	c.t.Helper()
	labtest.Eventually(c.t, 15*time.Second, "the namespaces on "+node+" to be those of what runs there", func() error {
		r, err := c.Run(c.t.Context(), node, "sh", "-c", "ls /run/swarmnet/netns | grep -c sb-; true")
		boxes := strings.Fields(c.must(node, "ps", "-q"))
		if err != nil || strings.TrimSpace(r.Stdout) != fmt.Sprint(len(boxes)) {
			return fmt.Errorf("%v %+v; %v run", err, r, boxes)
		}
		return nil
	})
}

// An hour is shortened to three seconds: each timer of connection tracking by a factor of 1,200, to a second at least.
const (
	hour    = 3 * time.Second
	shorten = `cd /proc/sys/net/netfilter || exit 1
for f in nf_conntrack_tcp_timeout_* nf_conntrack_udp_timeout* nf_conntrack_generic_timeout; do
	s=$(($(cat $f) / 1200)); [ $s -ge 1 ] || s=1; echo $s > $f || exit 1
done
`
)

// A connection on which nothing is sent for an hour works on: to a published port of a node with the task and of one without, and to a VIP.
func (c cluster) idleConnections(t *testing.T) {
	c = c.on(t)
	c.createWhoami("idle", 8080, 1, "--constraint", "node.hostname==n1")
	for _, n := range three {
		c.awaitNamespaces(n)
	}
	r, err := c.Run(t.Context(), "n1", "sh", "-c", `for f in /run/swarmnet/netns/*; do nsenter --net=$f cat /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established || exit 1; done`)
	if err != nil || r.Code != 0 {
		t.Fatalf("%v %+v", err, r)
	}
	settings := strings.Fields(r.Stdout)
	if len(settings) < 3 { // the fabric and two tasks
		t.Errorf("the settings %v are too few", settings)
	}
	for _, s := range settings {
		if seconds, err := strconv.Atoi(s); err != nil || seconds < 3600*24 {
			t.Errorf("a namespace of ours forgets idle connections after %s s", s)
		}
	}
	script := filepath.Join(t.TempDir(), "shorten")
	if err := os.WriteFile(script, []byte(shorten), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range three {
		r, err := c.Run(t.Context(), n, "sh", "-c", fmt.Sprintf("sh %s && for f in /run/swarmnet/netns/*; do nsenter --net=$f sh %s || exit 1; done", script, script))
		if err != nil || r.Code != 0 {
			t.Fatalf("%s: %v %+v", n, err, r)
		}
	}
	hold := func(url string) []string {
		return []string{"probe", "hold", "--count", "4", "--every", (hour * 4 / 3).String(), "--duration", (hour * 2).String(), url}
	}
	probing := strings.TrimSpace(c.must("n1", "ps", "-q", "--filter", "label=swarmnet.service=probe-n1"))
	held := map[string]*background{
		"the task's node":   c.start(lab.Outside, hold(web("n1"))...),
		"another node":      c.start(lab.Outside, hold(web("n2"))...),
		"its name":          c.start("n1", append([]string{"exec", probing, "--", "swarmnet"}, hold("http://idle")...)...),
		"the host's own IP": c.start("n1", hold(web("n1"))...),
	}
	for through, b := range held {
		clients := map[string]int{}
		for _, r := range lines[probe.Reply](t, b.finish(t, 30*time.Second)) {
			if r.Err != "" {
				t.Errorf("through %s: %s", through, r.Err)
			}
			clients[r.Answer.Client]++
		}
		if len(clients) != 4 {
			t.Errorf("through %s, after an hour in which nothing was sent, four connections are %v", through, clients)
		}
		for client, n := range clients {
			if n != 2 {
				t.Errorf("through %s: %d requests from %s, want one before and one after", through, n, client)
			}
		}
	}
	c.rm("idle")
}
