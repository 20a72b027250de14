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

// on is c with the helpers' failures told to a subtest.
func (c cluster) on(t *testing.T) cluster { return cluster{c.Lab, t} }

// rm removes services: their names and ports are anybody's at once, their tasks end a moment later.
func (c cluster) rm(services ...string) {
	c.t.Helper()
	c.must("n1", append([]string{"service", "rm"}, services...)...)
}

// askOn is why a node's own program gets no answer, if it does not.
func (c cluster) askOn(node, url string) error {
	c.t.Helper()
	if r := decode[[]probe.Reply](c.t, c.must(node, "probe", "ask", url))[0]; r.Err != "" {
		return fmt.Errorf("%s", r.Err)
	}
	return nil
}

// publishedOf are the published ports of a service, as inspect shows them.
func (c cluster) publishedOf(service string) []string {
	c.t.Helper()
	var out []string
	for _, s := range decode[[]struct {
		Ports []struct{ Published, Target int }
	}](c.t, c.must("n1", "service", "inspect", service)) {
		for _, p := range s.Ports {
			out = append(out, fmt.Sprintf("%d:%d", p.Published, p.Target))
		}
	}
	return out
}

// What is published where, and what a published port's task sees.
func TestE2ES10S11S12S13S14S16Publishing(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	t.Run("S10 on every address of every node", c.publishedEverywhere)
	t.Run("S11 the client's address", c.clientAddress)
	t.Run("S12 which ports a service has", c.portsOfAService)
	t.Run("S13 whose port it is", c.portsOfTwo)
	t.Run("S14 a port more and less", c.portMoreAndLess)
	t.Run("S16 host mode", c.hostMode)
}

func (c cluster) publishedEverywhere(t *testing.T) {
	c = c.on(t)
	c.createWhoami("one", 8080, 1, "--constraint", "node.hostname==n1")
	// Addresses that a node has got after the port was published: one that others reach, and one of its loopback.
	r, err := c.Run(t.Context(), "n2", "sh", "-c", fmt.Sprintf("dev=$(ip -o -4 addr | awk '$4 ~ /^%s\\// {print $2}') && ip addr add 192.0.2.222/24 dev $dev && ip addr add 198.51.100.77/32 dev lo", lab.Addr("n2")))
	if err != nil || r.Code != 0 {
		t.Fatalf("%v %+v", err, r)
	}
	for _, url := range []string{web("n1"), web("n2"), web("n3"), "http://192.0.2.222:8080"} {
		c.answers(url, 5*time.Second)
	}
	for _, node := range []string{"n1", "n2"} {
		for _, url := range []string{web(node), "http://127.0.0.1:8080", "http://localhost:8080"} {
			if err := c.askOn(node, url); err != nil {
				t.Errorf("%s asking %s: %v", node, url, err)
			}
		}
	}
	for _, url := range []string{"http://192.0.2.222:8080", "http://198.51.100.77:8080", web("n1"), web("n3")} {
		if err := c.askOn("n2", url); err != nil {
			t.Errorf("n2 asking %s: %v", url, err)
		}
	}
	c.rm("one")
}

func (c cluster) clientAddress(t *testing.T) {
	c = c.on(t)
	outside := lab.Addr(lab.Outside).String()
	made := c.must("n1", "service", "create", "--name", "mesh", "--network", "app", "--constraint", "node.hostname==n1", "--publish", "8080:80", "--publish", "8080:80/udp", "--", "swarmnet", "whoami")
	if !strings.Contains(made, "answering on 3 of 3 nodes") {
		t.Errorf("service create says %q", made)
	}
	c.must("n1", "service", "create", "--name", "direct", "--network", "app", "--constraint", "node.hostname==n1",
		"--publish", "published=8081,target=80,mode=host", "--publish", "published=8081,target=80,protocol=udp,mode=host", "--", "swarmnet", "whoami")
	for _, way := range []struct {
		what, node, service string
		port                int
	}{{"mesh, local task", "n1", "mesh", 8080}, {"mesh, remote task", "n2", "mesh", 8080}, {"host mode", "n1", "direct", 8081}} {
		c.answers(web80(way.node, way.port), 5*time.Second)
		udp := fmt.Sprintf("%s:%d", lab.Addr(way.node), way.port)
		replies := append(c.ask(10, web80(way.node, way.port)), decode[[]probe.Reply](t, c.must(lab.Outside, "probe", "udp", udp, udp, udp))...)
		_, clients := tally(t, replies)
		if len(clients) != 1 || clients[outside] != len(replies) {
			t.Errorf("%s: of %d requests by TCP and UDP the task saw the clients %v, want %s alone", way.what, len(replies), clients, outside)
		}
		for _, r := range replies {
			if r.Answer.Service != way.service {
				t.Errorf("%s: %s answers", way.what, r.Answer.Service)
			}
		}
	}
	c.rm("mesh", "direct")
}

func (c cluster) portsOfAService(t *testing.T) {
	c = c.on(t)
	whoami := func(name string, flags ...string) []string {
		return append(append([]string{"service", "create", "--name", name, "--network", "app"}, flags...), "--", "swarmnet", "whoami")
	}
	c.must("n1", whoami("twice", "--publish", "80:80", "--publish", "80:80")...)
	if got := c.publishedOf("twice"); !slices.Equal(got, []string{"80:80"}) {
		t.Errorf("80:80 twice is %v", got)
	}
	c.answers(web80("n2", 80), 5*time.Second)
	c.refused("n1", 2, []string{"port 80/tcp is published twice", "80:80", "80:20"}, whoami("both", "--publish", "80:80", "--publish", "80:20")...)
	c.must("n1", whoami("four", "--publish", "8080:80", "--publish", "80", "--publish", "8081:80", "--publish", "81")...)
	want := []string{"8080:80", "30000:80", "8081:80", "30001:81"}
	if got := c.publishedOf("four"); !slices.Equal(got, want) {
		t.Errorf("four ports, two of them dynamic, are %v, want %v", got, want)
	}
	c.must("n1", "service", "update", "four", "--publish-rm", "80", "--publish-add", "80", "--publish-add", "82", "--update-parallelism", "2")
	got := c.publishedOf("four")
	if slices.Sort(got); !slices.Equal(got, []string{"30000:80", "30001:81", "30002:82"}) {
		t.Errorf("after an update the dynamic ports are %v: they change", got)
	}
	c.answers(web80("n3", 30000), 5*time.Second)
	c.rm("twice", "four")
}

func (c cluster) portsOfTwo(t *testing.T) {
	c = c.on(t)
	sleep := func(name string, flags ...string) []string {
		return append(append([]string{"service", "create", "--detach", "--name", name, "--network", "app"}, flags...), "--", "sleep", "1000")
	}
	const host = "published=8082,target=80,mode=host"
	c.must("n1", sleep("first", "--publish", "8080:80")...)
	c.refused("n2", 1, []string{"port 8080/tcp", "service first"}, sleep("second", "--publish", "8080:80")...)
	c.refused("n2", 1, []string{"port 8080/tcp", "service first"}, sleep("second", "--publish", "published=8080,target=80,mode=host")...)
	c.must("n1", sleep("third", "--publish", host)...)
	c.refused("n2", 1, []string{"port 8082/tcp", "service third"}, sleep("second", "--publish", "8082:80")...)
	c.must("n2", sleep("second", "--publish", host)...)
	labtest.Eventually(t, 10*time.Second, "the two to run on two nodes", func() error {
		a, b := c.runningTasks("n1", "second"), c.runningTasks("n1", "third")
		if len(a) != 1 || len(b) != 1 || a[0].Node == b[0].Node {
			return fmt.Errorf("%v and %v", a, b)
		}
		return nil
	})
	c.rm("first", "second", "third")
}

func (c cluster) portMoreAndLess(t *testing.T) {
	c = c.on(t)
	c.createWhoami("web", 8080, 2)
	tasks := ids(c.runningTasks("n1", "web"))
	f := c.floodAll(8080, three...)
	f.during("8080 → {8080, 9090}", func() {
		c.must("n1", "service", "update", "web", "--publish-add", "9090:80")
		for _, n := range three {
			c.answers(web80(n, 9090), 5*time.Second)
		}
	})
	f.during("{8080, 9090} → 8080", func() {
		c.must("n1", "service", "update", "web", "--publish-rm", "80", "--publish-add", "8080:80")
		labtest.Eventually(t, 5*time.Second, "9090 to be free", func() error {
			if r := c.ask(1, web80("n2", 9090))[0]; !strings.Contains(r.Err, "refused") {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	})
	f.b.stop()
	<-f.b.done
	if now := ids(c.runningTasks("n1", "web")); !slices.Equal(now, tasks) {
		t.Errorf("the tasks were %v, are %v: a port more or less replaces none", tasks, now)
	}
	was := "web"
	for i := range 4 { // at once, whatever their ids are
		next := fmt.Sprint("next", i)
		c.rm(was)
		c.createWhoami(next, 8080, 2)
		for _, r := range c.ask(30, web("n1"), web("n2"), web("n3")) {
			if r.Err != "" || r.Answer.Service != next {
				t.Errorf("%s: %s answers, %s", r.URL, r.Answer.Service, r.Err)
			}
		}
		was = next
	}
	c.rm(was)
}

func (c cluster) hostMode(t *testing.T) {
	c = c.on(t)
	c.must("n1", "service", "create", "--name", "host", "--replicas", "2", "--network", "app", "--publish", "published=8083,target=80,mode=host",
		"--update-order", "start-first", "--update-monitor", "100ms", "--", "swarmnet", "whoami")
	running := c.runningTasks("n1", "host")
	if len(running) != 2 || running[0].Node == running[1].Node {
		t.Fatalf("two tasks with one port of the hosts: %v", running)
	}
	for _, n := range three {
		i := slices.IndexFunc(running, func(r taskRow) bool { return r.Node == n })
		if i < 0 {
			if r := c.ask(1, web80(n, 8083))[0]; !strings.Contains(r.Err, "refused") {
				t.Errorf("%s has no task, and: %+v", n, r)
			}
			continue
		}
		c.answers(web80(n, 8083), 5*time.Second)
		for _, r := range c.ask(10, web80(n, 8083)) {
			if r.Err != "" || r.Answer.Node != n {
				t.Errorf("%s: %s on %s answers, %s", r.URL, r.Answer.Task, r.Answer.Node, r.Err)
			}
		}
	}
	c.must("n1", "service", "scale", "--detach", "host=4")
	labtest.Eventually(t, 15*time.Second, "a task on every node, and a fourth that waits and says why", func() error {
		nodes := map[string]bool{}
		for _, r := range c.runningTasks("n1", "host") {
			nodes[r.Node] = true
		}
		if ps := c.must("n1", "service", "ps", "host", "--no-trunc"); len(nodes) != 3 || !strings.Contains(ps, "host port 8083:80/tcp (host) is taken") {
			return fmt.Errorf("it runs on %v: %s", nodes, ps)
		}
		return nil
	})
	if out := c.must("n1", "service", "scale", "host=3"); !strings.Contains(out, "answering on 3 of 3 nodes") {
		t.Errorf("service scale says %q", out)
	}
	old := ids(c.runningTasks("n1", "host"))
	// Every node has a task: nothing else than stopping first gets a new one anywhere.
	c.must("n1", "service", "update", "host", "--force", "--update-parallelism", "0")
	for _, id := range ids(c.runningTasks("n1", "host")) {
		if slices.Contains(old, id) {
			t.Errorf("%s is not replaced", id)
		}
	}
	for _, n := range three {
		c.answers(web80(n, 8083), 5*time.Second)
	}
	c.rm("host")
}
