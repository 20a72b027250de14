package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

func TestE2EUDP(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.must("n1", "service", "create", "--name", "udp", "--replicas", "2", "--network", "app", "--publish", "5000:80/udp", "--", "swarmnet", "whoami")
	for _, n := range three {
		labtest.Eventually(t, 10*time.Second, n+" to answer by UDP", func() error {
			r := c.sayUDP(n, 5000, 0)
			if r.Err != "" || !strings.HasPrefix(r.Answer.Client, lab.Addr(lab.Outside).String()+":") {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
}

// sayUDP sends one datagram from outside to a published port of a node, from a port of its own (0: any).
func (c cluster) sayUDP(node string, port, from int) probe.Reply {
	c.t.Helper()
	return decode[[]probe.Reply](c.t, c.must(lab.Outside, "probe", "udp", "--port", fmt.Sprint(from), "--timeout", labtest.Patience(500*time.Millisecond).String(),
		fmt.Sprintf("%s:%d", lab.Addr(node), port)))[0]
}

// A client that goes on sending from one port stays with its task while that lives, and is at once led to another when it has gone: died, or stopped.
// Nothing of the old way may stand in the way of the new one (moby#8795), on the task's node or on another.
func TestE2ES17UDPClientMoves(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.must("n1", "service", "create", "--name", "udp", "--replicas", "3", "--replicas-max-per-node", "1", "--network", "app", "--publish", "5000:80/udp",
		"--restart-condition", "none", "--stop-grace-period", "1s", "--", "swarmnet", "whoami")
	clients := map[string]int{"n1": 40001, "n2": 40002, "n3": 40003} // by the node that each asks
	with := func(node string) (task string) {
		t.Helper()
		labtest.Eventually(t, 5*time.Second, "a datagram through "+node+" to be answered", func() error {
			r := c.sayUDP(node, 5000, clients[node])
			if r.Err != "" {
				return fmt.Errorf("%s", r.Err)
			}
			task = r.Answer.Task
			return nil
		})
		return task
	}
	now := map[string]string{}
	for _, n := range three {
		now[n] = with(n)
	}
	stays := func() {
		t.Helper()
		for _, n := range three {
			for range 3 {
				if r := c.sayUDP(n, 5000, clients[n]); r.Err != "" || r.Answer.Task != now[n] {
					t.Errorf("the client through %s was with %s, and %q answers: %s", n, now[n], r.Answer.Task, r.Err)
				}
			}
		}
	}
	stays()
	// moves says that of the clients those whose task has gone move, and no other.
	moves := func(how string, gone ...string) {
		t.Helper()
		for _, n := range three {
			task := with(n)
			switch had := slices.Contains(gone, now[n]); {
			case slices.Contains(gone, task):
				t.Errorf("%s: %s has gone and answers through %s", how, task, n)
			case !had && task != now[n]:
				t.Errorf("%s: the client through %s was with %s, which lives, and is with %s", how, n, now[n], task)
			}
			now[n] = task
		}
		stays()
	}
	tasks := c.fullTasks("udp")
	victim := tasks[now["n2"]]
	pid := c.inspectBox(victim.Node, victim.ID).Status.PID
	if r, err := c.Run(t.Context(), victim.Node, "kill", "-9", strconv.Itoa(pid)); pid == 0 || err != nil || r.Code != 0 {
		t.Fatalf("kill %d: %v %+v", pid, err, r)
	}
	moves("death", victim.Name)
	c.must("n1", "service", "scale", "udp=1")
	left := c.fullTasks("udp")
	var gone []string
	for name := range tasks {
		if _, lives := left[name]; !lives {
			gone = append(gone, name)
		}
	}
	if len(left) != 1 || len(gone) != 2 {
		t.Fatalf("of %v %v are left", tasks, left)
	}
	c.awaitEnd("udp", gone)
	moves("stop", gone...)
}

// awaitEnd waits until tasks that are to stop have stopped: until then, those who were with them may stay.
func (c cluster) awaitEnd(service string, tasks []string) {
	c.t.Helper()
	labtest.Eventually(c.t, 10*time.Second, fmt.Sprintf("%v to end", tasks), func() error {
		for _, r := range lines[taskRow](c.t, c.must("n1", "service", "ps", service, "--no-trunc", "--format", "json")) {
			if slices.Contains(tasks, r.Name) && strings.HasPrefix(r.CurrentState, "Running") {
				return fmt.Errorf("%s: %s", r.Name, r.CurrentState)
			}
		}
		return nil
	})
}
