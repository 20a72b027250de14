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

func TestE2EPublishedPort(t *testing.T) {
	c := up(t)
	c.createWeb()
	outside := lab.Addr(lab.Outside).String()
	for _, n := range []string{"n1", "n2", "n3"} {
		tasks, clients := tally(t, c.ask(100, web(n)))
		if len(clients) != 1 || clients[outside] == 0 {
			t.Errorf("through %s the tasks saw the clients %v, want %s alone", n, clients, outside)
		}
		if len(tasks) != 3 {
			t.Errorf("through %s %v answered, want three tasks", n, tasks)
		}
	}
	for port := 40000; port < 40010; port++ {
		replies := decode[[]probe.Reply](t, c.must(lab.Outside, "probe", "sameport", "--port", fmt.Sprint(port), web("n1"), web("n2")))
		if _, clients := tally(t, replies); clients[outside] != len(replies) {
			t.Errorf("source port %d towards two nodes: clients %v of %d requests", port, clients, len(replies))
		}
	}
	// On a node itself, by its own address and by loopback.
	for _, url := range []string{web("n2"), "http://127.0.0.1:8080"} {
		labtest.Eventually(t, 3*time.Second, "n2 asking "+url, func() error {
			r := decode[[]probe.Reply](t, c.must("n2", "probe", "ask", url))[0]
			if r.Err != "" {
				return fmt.Errorf("%s", r.Err)
			}
			return nil
		})
	}
}

// sandbox is a probe in a task on one node, asked through the mesh.
type sandbox struct {
	c    cluster
	base string
}

func (c cluster) sandbox(node string, port int) sandbox {
	c.t.Helper()
	c.must("n1", "service", "create", "--name", "probe-"+node, "--network", "app", "--constraint", "node.hostname=="+node,
		"--publish", fmt.Sprintf("%d:80", port), "--", "swarmnet", "probe", "serve")
	s := sandbox{c, fmt.Sprintf("http://%s:%d/", lab.Addr(node), port)}
	labtest.Eventually(c.t, 10*time.Second, "the probe on "+node, func() error {
		_, err := c.Swarmnet(c.t.Context(), lab.Outside, "probe", "get", s.base+"lookup?name=localhost")
		return err
	})
	return s
}

func (s sandbox) get(path string) string {
	s.c.t.Helper()
	return s.c.must(lab.Outside, "probe", "get", s.base+path)
}

func (s sandbox) lookup(name string) []string {
	s.c.t.Helper()
	addrs := decode[probe.Looked](s.c.t, s.get("lookup?name="+name)).Addrs
	slices.Sort(addrs)
	return addrs
}

func TestE2ENamesAndVIP(t *testing.T) {
	c := up(t)
	c.createWeb()
	s := c.sandbox("n2", 9000)
	vip := s.lookup("web")
	if len(vip) != 1 {
		t.Errorf("web resolves to %v, want one address", vip)
	}
	tasks := s.lookup("tasks.web")
	if len(tasks) != 3 || slices.Contains(tasks, vip[0]) {
		t.Errorf("tasks.web resolves to %v, want the three tasks (VIP %v)", tasks, vip)
	}
	own := s.lookup("tasks.probe-n2")
	if len(own) != 1 {
		t.Fatalf("tasks.probe-n2 resolves to %v", own)
	}
	answered, clients := tally(t, decode[[]probe.Reply](t, s.get("ask?count=300&url=http://web")))
	if len(answered) != 3 {
		t.Errorf("300 requests to the VIP: %v answered, want three tasks", answered)
	}
	if len(clients) != 1 || clients[own[0]] != 300 {
		t.Errorf("the tasks saw the clients %v, want %s alone", clients, own[0])
	}
	if l := decode[probe.Looked](t, s.get("lookup?name=no-such-service")); len(l.Addrs) != 0 || l.Err == "" {
		t.Errorf("an unknown name resolves to %+v", l)
	}
	// A removed service is no name any more, and its port is free again.
	c.must("n3", "service", "rm", "web")
	labtest.Eventually(t, 10*time.Second, "web to be forgotten", func() error {
		if got := s.lookup("web"); len(got) != 0 {
			return fmt.Errorf("it resolves to %v", got)
		}
		if r := c.ask(1, web("n1"))[0]; !strings.Contains(r.Err, "refused") {
			return fmt.Errorf("its port: %+v, want refused", r)
		}
		return nil
	})
}

func TestE2ECreateToAnswer(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	var took []time.Duration
	for i := range 20 {
		name, port := fmt.Sprintf("s%d", i), 8100+i
		c.must("n1", "service", "create", "--name", name, "--replicas", "3", "--network", "app", "--publish", fmt.Sprintf("%d:80", port), "--", "swarmnet", "whoami")
		returned := time.Now()
		for _, n := range []string{"n1", "n2", "n3"} {
			c.answers(fmt.Sprintf("http://%s:%d", lab.Addr(n), port), 10*time.Second)
		}
		took = append(took, time.Since(returned))
		if took[i] > time.Second {
			t.Logf("%s took %v", name, took[i])
		}
		c.must("n1", "service", "rm", name)
	}
	slices.Sort(took)
	t.Logf("from create returning to the last node answering: median %v, longest %v", took[10], took[19])
	if took[10] > time.Second {
		t.Errorf("median %v over 20 runs, want 1 s at most: %v", took[10], took)
	}
}

func TestE2EScaleTo100(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	var probes []sandbox
	for i, n := range []string{"n1", "n2", "n3"} {
		probes = append(probes, c.sandbox(n, 9001+i))
	}
	c.must("n1", "service", "create", "--name", "many", "--replicas", "3", "--network", "app", "--", "sleep", "100000")
	start := time.Now()
	c.must("n1", "service", "scale", "--detach", "many=100")
	labtest.Eventually(t, 40*time.Second, "100 tasks to run and to be known on every node", func() error {
		if n := len(c.runningTasks("n1", "many")); n != 100 {
			return fmt.Errorf("%d run", n)
		}
		for i, p := range probes {
			if n := len(p.lookup("tasks.many")); n != 100 {
				return fmt.Errorf("n%d knows %d", i+1, n)
			}
		}
		return nil
	})
	took := time.Since(start)
	t.Logf("3 → 100 tasks, all running and in DNS on every node: %v", took)
	if took > 20*time.Second {
		t.Errorf("it took %v, want 20 s at most", took)
	}
}
