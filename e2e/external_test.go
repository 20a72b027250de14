package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// awaitTasks waits until such tasks of a service answer through every node.
func (c cluster) awaitTasks(port int, want ...string) {
	c.t.Helper()
	slices.Sort(want)
	for _, n := range three {
		url := web80(n, port)
		labtest.Eventually(c.t, 15*time.Second, fmt.Sprintf("%s to lead to %v", url, want), func() error {
			var got []string
			for _, r := range c.ask(20*max(1, len(want)), url) {
				if r.Err != "" {
					return fmt.Errorf("%s", r.Err)
				}
				if !slices.Contains(got, r.Answer.Task) {
					got = append(got, r.Answer.Task)
				}
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				return fmt.Errorf("%v answer", got)
			}
			return nil
		})
	}
}

// Sandboxes that people run join a service that has no tasks of its own: its names, virtual address and published port lead to them, and their
// coming, stopping and going fails no request.
func TestE2EExternalService(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "app")
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "other")
	c.must("n1", "network", "create", "-d", "overlay", "closed")
	inside := c.sandbox("n3", 9000)
	box := func(node, name string, flags ...string) {
		t.Helper()
		args := append([]string{"run", "-d", "--name", name, "--network", "app", "--label", "swarmnet.service=ext"}, flags...)
		c.must(node, append(args, "--", "swarmnet", "whoami")...)
	}
	t.Run("refusals", func(t *testing.T) {
		c.refused("n1", 1, []string{"closed", "--attachable"}, "service", "create", "--name", "ext", "--mode", "external", "--network", "closed")
		c.refused("n1", 2, []string{"COMMAND", "run --label"}, "service", "create", "--name", "ext", "--mode", "external", "--network", "app", "--", "sleep", "1")
		c.refused("n1", 2, []string{"--env", "run"}, "service", "create", "--name", "ext", "--mode", "external", "--network", "app", "--env", "A=1")
		c.refused("n1", 125, []string{"service ext does not exist", "--mode external"}, "run", "-d", "--network", "app", "--label", "swarmnet.service=ext", "--", "sleep", "1")
		c.refused("n1", 125, []string{"probe-n3", "replicated"}, "run", "-d", "--network", "app", "--label", "swarmnet.service=probe-n3", "--", "sleep", "1")
		c.must("n1", "service", "create", "--name", "ext", "--mode", "external", "--network", "app,alias=store", "--publish", "8080:80", "--publish", "8081:80/udp")
		c.refused("n1", 125, []string{"ext", "--network"}, "run", "-d", "--network", "other", "--label", "swarmnet.service=ext", "--", "sleep", "1")
		c.refused("n1", 125, []string{"ext", "--network"}, "run", "-d", "--label", "swarmnet.service=ext", "--", "sleep", "1")
		c.refused("n1", 1, []string{"external", "run or stop"}, "service", "scale", "ext=3")
		if out := c.must("n1", "ps", "-aq"); out != "" {
			t.Errorf("something is left of what was refused: %q", out)
		}
	})
	box("n1", "a", "-p", "7000:80")
	c.awaitTasks(8080, "a")
	box("n2", "b")
	box("n2", "unready", "--restart", "always")
	c.awaitTasks(8080, "a", "b", "unready")
	t.Run("names and addresses", func(t *testing.T) {
		vip := inside.lookup("ext")
		tasks := inside.lookup("tasks.ext")
		if len(vip) != 1 || len(tasks) != 3 || slices.Contains(tasks, vip[0]) || !slices.Equal(inside.lookup("store"), vip) || len(inside.lookup("tasks.store")) != 3 {
			t.Errorf("ext resolves to %v, tasks.ext to %v, store to %v", vip, tasks, inside.lookup("store"))
		}
		if a := inside.lookup("a"); len(a) != 1 || !slices.Contains(tasks, a[0]) {
			t.Errorf("a resolves to %v, one of %v is wanted", a, tasks)
		}
		labtest.Eventually(t, 5*time.Second, "the VIP to lead to all three", func() error { return answeredBy(inside.get("ask?count=60&url=http://ext"), 3) })
		outside := lab.Addr(lab.Outside).String()
		if _, clients := tally(t, c.ask(30, web("n3"))); len(clients) != 1 || clients[outside] != 30 {
			t.Errorf("through n3 they saw the clients %v, want %s alone", clients, outside)
		}
		r := decode[[]probe.Reply](t, c.must(lab.Outside, "probe", "udp", lab.Addr("n3").String()+":8081"))[0]
		if r.Err != "" || !strings.HasPrefix(r.Answer.Client, outside+":") || r.Answer.Service != "ext" {
			t.Errorf("by UDP through n3: %+v", r)
		}
		if r := c.ask(1, web80("n1", 7000))[0]; r.Err != "" || r.Answer.Task != "a" {
			t.Errorf("a's own port: %+v", r)
		}
	})
	t.Run("what is shown", func(t *testing.T) {
		labtest.Eventually(t, 5*time.Second, "the managers to have heard that all run", func() error { // the nodes tell each other first
			ls := lines[struct{ Name, Mode, Replicas string }](t, c.must("n2", "service", "ls", "--format", "json"))
			if !slices.ContainsFunc(ls, func(r struct{ Name, Mode, Replicas string }) bool {
				return r.Name == "ext" && r.Mode == "external" && r.Replicas == "3/-"
			}) {
				return fmt.Errorf("service ls: %+v", ls)
			}
			var shown []string
			for _, r := range lines[taskRow](t, c.must("n3", "service", "ps", "ext", "--format", "json")) {
				shown = append(shown, r.Name+" "+r.Node+" "+strings.Fields(r.CurrentState)[0])
			}
			if want := []string{"a n1 Running", "b n2 Running", "unready n2 Running"}; !slices.Equal(shown, want) {
				return fmt.Errorf("service ps: %v, want %v", shown, want)
			}
			return nil
		})
		if out := c.must("n1", "ps", "--filter", "label=swarmnet.service=ext", "--format", "{{.Names}}"); out != "a" {
			t.Errorf("ps by the label: %q", out)
		}
	})
	t.Run("a port that another holds", func(t *testing.T) {
		theirs := c.start("n3", "whoami", "--port", "8085")
		c.answers(web80("n3", 8085), 5*time.Second)
		c.must("n1", "service", "update", "ext", "--publish-add", "8085:80")
		c.answers(web80("n1", 8085), 5*time.Second)
		labtest.Eventually(t, 10*time.Second, "service ps to say so", func() error {
			r, err := c.Run(t.Context(), "n2", "swarmnet", "service", "ps", "ext")
			if err != nil || !strings.Contains(r.Stderr, "port 8085/tcp is held by swarmnet") || !strings.Contains(r.Stderr, " on n3") {
				return fmt.Errorf("%v %+v", err, r)
			}
			return nil
		})
		theirs.stop()
	})
	f := c.floodAll(8080, three...)
	f.during("one is stopped and started", func() {
		c.must("n2", "stop", "unready")
		c.awaitTasks(8080, "a", "b")
		if names := inside.lookup("tasks.ext"); len(names) != 2 {
			t.Errorf("while one is stopped tasks.ext resolves to %v", names)
		}
		c.must("n2", "start", "unready")
		c.awaitTasks(8080, "a", "b", "unready")
	})
	f.during("one is restarted, one removed, one is new", func() {
		c.must("n1", "restart", "a")
		c.must("n2", "stop", "b")
		c.must("n2", "rm", "b")
		box("n3", "c")
		c.awaitTasks(8080, "a", "c", "unready")
	})
	f.during("a port and a network more and less", func() {
		c.must("n1", "service", "update", "ext", "--publish-add", "8082:80", "--network-add", "other")
		c.awaitTasks(8082, "a", "c", "unready")
		c.must("n1", "service", "update", "ext", "--publish-rm", "80/udp", "--network-rm", "other")
		c.awaitTasks(8080, "a", "c", "unready")
	})
	f.b.stop()
	<-f.b.done
	box("n1", "d")
	c.awaitTasks(8080, "a", "c", "d", "unready")
	load := c.load(100, labtest.Patience(3*time.Second), web("n1"), web("n2"), web("n3"))
	c.must("n1", "rm", "-f", "d") // without mercy for the connections that it has, but it gets no new one
	for _, r := range lines[probe.Reply](t, load.finish(t, 20*time.Second)) {
		if r.Err != "" {
			t.Errorf("while one is removed by force: %+v", r)
		}
	}
	c.must("n3", "network", "disconnect", "app", "c")
	c.awaitTasks(8080, "a", "unready")
	c.must("n3", "network", "connect", "app", "c")
	c.awaitTasks(8080, "a", "c", "unready")
	if err := c.Kill("n2"); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, 30*time.Second, "a lost node's sandbox to have left", func() error {
		if names := inside.lookup("tasks.ext"); len(names) != 2 {
			return fmt.Errorf("tasks.ext resolves to %v", names)
		}
		for _, n := range []string{"n1", "n3"} {
			for _, r := range c.ask(20, web(n)) {
				if r.Err != "" || r.Answer.Task == "unready" {
					return fmt.Errorf("through %s: %+v", n, r)
				}
			}
		}
		return nil
	})
	if err := c.Start(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	c.awaitTasks(8080, "a", "c", "unready")
	c.must("n1", "service", "rm", "ext")
	labtest.Eventually(t, 10*time.Second, "the removed service to be gone, and its sandboxes to go on", func() error {
		if r := c.ask(1, web("n3"))[0]; !strings.Contains(r.Err, "refused") {
			return fmt.Errorf("its port: %+v", r)
		}
		if names := slices.Concat(inside.lookup("ext"), inside.lookup("tasks.ext")); len(names) > 0 {
			return fmt.Errorf("its names: %v", names)
		}
		if len(inside.lookup("a")) != 1 || len(inside.lookup("c")) != 1 {
			return fmt.Errorf("its sandboxes' names do not resolve")
		}
		return nil
	})
}
