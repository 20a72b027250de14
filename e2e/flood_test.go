package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// flood is many clients of outside that ask through all nodes, over kept and over new connections, while other things happen.
type flood struct {
	c    cluster
	b    *background
	each int // requests of each sort that are made during each thing, at least
}

// number is a figure of the environment.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// away is for how long there is no manager: longer than a node may be away before its tasks are given up.
func away() time.Duration { return time.Duration(number("SWARMNET_AWAY", 6)) * time.Second }

// floodAll asks through the nodes, with 50 clients at once over kept connections and 50 over new ones. $SWARMNET_REQUESTS is how many requests
// are made of each sort during each thing (make flood: 50,000), $SWARMNET_RATE how many a second, 0 for as many as are answered, and
// $SWARMNET_AWAY for how many seconds there is no manager.
func (c cluster) floodAll(port int, nodes ...string) *flood {
	c.t.Helper()
	args := []string{"probe", "flood", "--timeout", "8s", "--parallel", strconv.Itoa(labtest.Load(100)),
		"--rate", strconv.Itoa(number("SWARMNET_RATE", labtest.Load(400)))}
	for _, n := range nodes {
		args = append(args, fmt.Sprintf("http://%s:%d", lab.Addr(n), port))
	}
	f := &flood{c, c.start(lab.Outside, args...), number("SWARMNET_REQUESTS", 300)}
	f.reach(probe.Tallies{}, 100)
	return f
}

// tallies are the counts so far.
func (f *flood) tallies() probe.Tallies {
	f.c.t.Helper()
	text := strings.TrimSuffix(whole(f.b.text()), "\n")
	text = text[strings.LastIndexByte(text, '\n')+1:]
	var now probe.Tallies
	if text != "" {
		if err := json.Unmarshal([]byte(text), &now); err != nil {
			f.c.t.Fatalf("%v in %q", err, text)
		}
	}
	return now
}

// reach waits until so many more requests of each sort are over.
func (f *flood) reach(since probe.Tallies, more int) {
	f.c.t.Helper()
	within := 20*time.Second + time.Duration(more)*20*time.Millisecond
	labtest.Eventually(f.c.t, within, fmt.Sprintf("%d requests of each sort", more), func() error {
		now := f.tallies()
		if now.Kept.Requests-since.Kept.Requests < more || now.New.Requests-since.New.Requests < more {
			return fmt.Errorf("%+v", now)
		}
		return nil
	})
}

// during does something while the flood goes on. No request that is made meanwhile, and for a while afterwards, may fail.
func (f *flood) during(what string, do func()) {
	f.c.t.Helper()
	before, began := f.tallies(), time.Now()
	do()
	took := time.Since(began)
	f.reach(f.tallies(), 100)
	f.reach(before, f.each)
	now := f.tallies()
	f.c.t.Logf("%s (%v): %d requests over kept connections, %d over new ones", what, took.Round(10*time.Millisecond),
		now.Kept.Requests-before.Kept.Requests, now.New.Requests-before.New.Requests)
	for sort, pair := range map[string][2]probe.Tally{"kept": {before.Kept, now.Kept}, "new": {before.New, now.New}} {
		if was, is := pair[0], pair[1]; is.Failed > was.Failed {
			f.c.t.Errorf("%s: %d of %d requests over %s connections failed; the first of all, %v after it began: %s", what, is.Failed-was.Failed,
				is.Requests-was.Requests, sort, is.FirstAt.Sub(began).Round(time.Millisecond), is.First)
		}
	}
}

var three = []string{"n1", "n2", "n3"}

// createWhoami makes a service that is published at a port and returns when it answers on every node.
func (c cluster) createWhoami(name string, port, replicas int, flags ...string) {
	c.t.Helper()
	args := []string{"service", "create", "--name", name, "--replicas", strconv.Itoa(replicas), "--network", "app", "--publish", fmt.Sprintf("%d:80", port)}
	c.must("n1", append(append(args, flags...), "--", "swarmnet", "whoami")...)
}

// What changes in a cluster changes nothing for a service's clients: whichever node they ask, over old connections and new ones.
func TestE2ENoFailedRequestWhileTasksComeAndGo(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.createWhoami("web", 8080, 2)
	f := c.floodAll(8080, three...)
	f.during("2 → 20 tasks", func() { c.must("n1", "service", "scale", "web=20") })
	f.during("20 → 2 tasks", func() { c.must("n2", "service", "scale", "web=2") })
	f.during("2 → 10 tasks", func() { c.must("n3", "service", "scale", "web=10") })
	f.during("S30: a node is drained", func() {
		c.must("n1", "node", "update", "--availability", "drain", "n3")
		c.spread("web", 10, func(onN3 int) bool { return onN3 == 0 })
	})
}

func TestE2ENoFailedRequestWhileAllTasksAreReplaced(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.createWhoami("web", 8080, 10, "--update-monitor", "100ms", "--update-parallelism", "5")
	f := c.floodAll(8080, three...)
	for _, order := range []string{"start-first", "stop-first"} {
		before := c.runningTasks("n1", "web")
		f.during(order, func() { c.must("n2", "service", "update", "web", "--force", "--update-order", order) })
		after := fmt.Sprint(ids(c.runningTasks("n1", "web")))
		for _, r := range before {
			if strings.Contains(after, r.ID) {
				t.Errorf("%s: %s was not replaced", order, r.Name)
			}
		}
	}
}

// Daemons and managers may be away: what is in the kernel goes on.
func TestE2ENoFailedRequestWithoutDaemons(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.createWhoami("web", 8080, 6)
	f := c.floodAll(8080, three...)
	for _, n := range three {
		f.during("kill -9 and restart of the daemon of "+n, func() {
			if err := c.Stop(n, true); err != nil {
				t.Fatal(err)
			}
			if err := c.Start(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if err := c.WaitFormed(t.Context(), 3, 3, 30*time.Second); err != nil {
				t.Fatal(err)
			}
		})
	}
	f.during(fmt.Sprintf("no manager at all for %v", away()), func() {
		for _, n := range three {
			if err := c.Stop(n, false); err != nil {
				t.Fatal(err)
			}
		}
		until := time.After(away())
		f.reach(f.tallies(), f.each)
		<-until
		for _, n := range three {
			if err := c.Start(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.WaitFormed(t.Context(), 3, 3, 30*time.Second); err != nil {
			t.Fatal(err)
		}
	})
}
