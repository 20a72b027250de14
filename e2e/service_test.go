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

// spread waits until so many tasks of a service run, as many on n3 as is right.
func (c cluster) spread(service string, tasks int, right func(onN3 int) bool) {
	c.t.Helper()
	labtest.Eventually(c.t, 20*time.Second, fmt.Sprintf("%d tasks of %s in their places", tasks, service), func() error {
		running, onN3 := c.runningTasks("n1", service), 0
		for _, r := range running {
			if r.Node == "n3" {
				onN3++
			}
		}
		if len(running) != tasks || !right(onN3) {
			return fmt.Errorf("%d run, %d of them on n3", len(running), onN3)
		}
		return nil
	})
}

// With start-first a service of one task answers throughout, at its port and at its VIP; with stop-first it is away while its task is.
func TestE2ES31StartFirstAnswersThroughout(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.createWhoami("one", 8080, 1, "--update-monitor", "100ms")
	inside := c.sandbox("n2", 9000)
	f := c.floodAll(8080, three...)
	f.during("start first", func() {
		update := c.start("n1", "service", "update", "one", "--force", "--update-order", "start-first")
		asked := map[string]int{}
		for done := false; !done; {
			select {
			case <-update.done:
				done = true
			default:
			}
			tasks, _ := tally(t, decode[[]probe.Reply](t, inside.get("ask?count=20&url=http://one")))
			for name, n := range tasks {
				asked[name] += n
			}
		}
		update.finish(t, time.Second)
		if len(asked) != 2 {
			t.Errorf("inside, during the update, %v answered: want the old task and the new one", asked)
		}
	})
	var urls []string
	for _, n := range three {
		urls = append(urls, web(n))
	}
	load := c.load(100, labtest.Patience(8*time.Second), urls...)
	c.must("n1", "service", "update", "one", "--force", "--update-order", "stop-first")
	ran := time.Now() // the update has seen the new task run
	replies := lines[probe.Reply](t, load.finish(t, labtest.Patience(30*time.Second)))
	slices.SortFunc(replies, func(a, b probe.Reply) int { return a.At.Compare(b.At) })
	var from, to time.Time
	var served []string
	for _, r := range replies {
		if r.Err == "" {
			if !slices.Contains(served, r.Answer.Task) {
				served = append(served, r.Answer.Task)
			}
			continue
		}
		if !strings.Contains(r.Err, "refused") {
			t.Errorf("a request in the gap is not refused: %s", r.Err)
		}
		if from.IsZero() {
			from = r.At
		}
		to = r.At
	}
	if len(served) != 2 {
		t.Errorf("%v answered, want the old task and the new one", served)
	}
	gap, late := to.Sub(from), to.Sub(ran)
	t.Logf("stop first: a gap of %v, until %v after the new task ran", gap, late)
	// A start can take its time on a busy machine. What balancers add to it cannot.
	if most := labtest.Patience(5 * time.Second); gap > most {
		t.Errorf("the gap of a stop-first update lasts %v, want that of a restart: %v at most", gap, most)
	}
	if most := labtest.Patience(time.Second); late > most {
		t.Errorf("requests are refused until %v after the new task ran, want %v at most", late, most)
	}
}

// A failing update pauses, or rolls back, or goes on, as asked; rolled back is everything, ports included.
func TestE2ES32FailingUpdates(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.createWhoami("web", 8080, 3, "--update-monitor", "1s", "--rollback-monitor", "100ms", "--update-order", "start-first", "--restart-delay", "500ms")
	extra := func(node string) string { return fmt.Sprintf("http://%s:8081", lab.Addr(node)) }
	f := c.floodAll(8080, three...)
	f.during("an update that pauses, and is rolled back", func() {
		c.refused("n1", 1, []string{"the update of web stopped", "update paused"}, "service", "update", "web", "--quiet", "--publish-add", "8081:80",
			"--update-failure-action", "pause", "--", "false")
		c.answers(extra("n2"), 10*time.Second)
		c.must("n2", "service", "rollback", "--quiet", "web")
	})
	labtest.Eventually(t, 10*time.Second, "the port of the update to be gone", func() error {
		if r := c.ask(1, extra("n3"))[0]; !strings.Contains(r.Err, "refused") {
			return fmt.Errorf("it answers: %+v", r)
		}
		return nil
	})
	f.during("an update that rolls itself back", func() {
		c.refused("n1", 1, []string{"was rolled back"}, "service", "update", "web", "--quiet", "--update-failure-action", "rollback", "--", "false")
	})
	c.spread("web", 3, func(int) bool { return true })
	old := c.runningTasks("n1", "web")
	c.must("n1", "service", "update", "web", "--detach", "--update-order", "stop-first", "--update-failure-action", "continue", "--", "false")
	labtest.Eventually(t, 30*time.Second, "the update to go on to the last task", func() error {
		for _, r := range c.runningTasks("n1", "web") {
			if slices.Contains(ids(old), r.Name+" "+r.ID) {
				return fmt.Errorf("%s runs", r.Name)
			}
		}
		return nil
	})
}

// A service that is removed is gone from every node within two seconds: its port, its name, its tasks.
func TestE2ES33RemovedServiceIsGone(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	inside := c.sandbox("n2", 9000)
	var took []time.Duration
	for range 3 {
		c.createWhoami("web", 8080, 6)
		if len(inside.lookup("web")) == 0 {
			t.Fatal("web does not resolve")
		}
		began := time.Now()
		c.must("n3", "service", "rm", "web")
		for _, n := range three {
			labtest.Eventually(t, 15*time.Second, "all of web to leave "+n, func() error {
				if r := c.ask(1, web(n))[0]; !strings.Contains(r.Err, "refused") {
					return fmt.Errorf("its port: %+v", r)
				}
				if ps := c.must(n, "ps"); strings.Contains(ps, "web.") {
					return fmt.Errorf("its tasks: %s", ps)
				}
				return nil
			})
		}
		labtest.Eventually(t, 15*time.Second, "its names to be gone", func() error {
			if names := slices.Concat(inside.lookup("web"), inside.lookup("tasks.web")); len(names) > 0 {
				return fmt.Errorf("they resolve to %v", names)
			}
			return nil
		})
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("gone from every node after %v", took)
	if most := labtest.Patience(2 * time.Second); took[1] > most {
		t.Errorf("a removed service is gone after %v (median of %v), want %v at most", took[1], took, most)
	}
}
