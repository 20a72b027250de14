package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// watchedNames are those of services that are there all the time, and of some that come and go.
var watchedNames = []string{"web", "tasks.web", "rr", "tasks.rr", "glob", "tasks.glob", "tmp1", "tasks.tmp1", "tmp2", "tasks.tmp2"}

// cutHeal is a cluster that schedules are tried on: a node's link is cut, tasks start and stop on both sides, and the link is healed.
type cutHeal struct {
	cluster
	rnd     *rand.Rand
	watches map[string]*background // by node: what a sandbox there resolves
	tmp     map[string]bool        // services that come and go, and are there
}

// S42, moby#53141: a node is cut off for a while, with no command given afterwards. $SWARMNET_SCHEDULES is how many schedules are tried (make
// schedules: 20), $SWARMNET_CUT for how many seconds each cuts (30), and $SWARMNET_SEED the first one's seed.
func TestE2ES42CutAndHeal(t *testing.T) {
	c := &cutHeal{cluster: up(t), watches: map[string]*background{}, tmp: map[string]bool{}}
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "app")
	for _, flags := range []string{"web --replicas 4 --publish 8080:80", "rr --replicas 3 --endpoint-mode dnsrr", "glob --mode global"} {
		args := "service create --network app --restart-delay 0s --update-parallelism 0 --update-monitor 100ms --name " + flags + " -- swarmnet whoami"
		c.must("n1", strings.Fields(args)...)
	}
	for _, n := range three {
		c.must(n, "run", "-d", "--name", "client", "--network", "app", "--", "sleep", "100000")
	}
	for _, n := range three {
		c.watches[n] = c.start(n, append([]string{"exec", "client", "--", "swarmnet", "probe", "names"}, watchedNames...)...)
	}
	c.converged(time.Now())
	seed := number("SWARMNET_SEED", 1)
	for i := range number("SWARMNET_SCHEDULES", 2) {
		c.rnd = rand.New(rand.NewPCG(uint64(seed+i), 42))
		t.Logf("seed %d: %s", seed+i, c.schedule(time.Duration(number("SWARMNET_CUT", 10))*time.Second))
		if t.Failed() {
			t.Fatalf("seed %d: %s", seed+i, c.describeWatches())
		}
	}
}

// schedule cuts a node off, has things happen, heals it and returns what was seen.
func (c *cutHeal) schedule(cut time.Duration) string {
	c.t.Helper()
	cutNode := three[c.rnd.IntN(3)]
	rest := slices.DeleteFunc(slices.Clone(three), func(n string) bool { return n == cutNode })
	began := time.Now()
	if err := c.Cut(cutNode); err != nil {
		c.t.Fatal(err)
	}
	done := []string{}
	for time.Since(began) < cut {
		done = append(done, c.happen(cutNode, rest[c.rnd.IntN(2)]))
		select {
		case <-c.t.Context().Done():
			c.t.Fatal("it is over")
		case <-time.After(time.Duration(c.rnd.IntN(2000)) * time.Millisecond): // of the schedule, not waited for anything
		}
	}
	if err := c.Heal(cutNode); err != nil {
		c.t.Fatal(err)
	}
	healed := time.Now()
	took := c.converged(healed)
	c.neverUnknown(began)
	c.agree(20*time.Second, three...)
	c.reaches()
	return fmt.Sprintf("%s was cut off for %v; %s; every name right on every node %v after the heal", cutNode,
		healed.Sub(began).Round(100*time.Millisecond), strings.Join(done, ", "), took.Round(10*time.Millisecond))
}

// happen does one random thing on one of the sides. What cannot be done, while a new leader is looked for, is not done.
func (c *cutHeal) happen(cutNode, other string) string {
	try := func(what, node string, args ...string) string {
		if _, err := c.Swarmnet(c.t.Context(), node, args...); err != nil {
			return what + " (refused)"
		}
		return what
	}
	switch c.rnd.IntN(8) {
	case 0, 1:
		n := 1 + c.rnd.IntN(7)
		return try(fmt.Sprintf("web=%d", n), other, "service", "scale", "--detach", fmt.Sprintf("web=%d", n))
	case 2:
		return try("rr replaced", other, "service", "update", "--detach", "--force", "rr")
	case 3:
		name := fmt.Sprintf("tmp%d", 1+c.rnd.IntN(2))
		if c.tmp[name] {
			c.tmp[name] = false
			return try(name+" removed", other, "service", "rm", name)
		}
		c.tmp[name] = true
		return try(name+" made", other, "service", "create", "--detach", "--name", name, "--replicas", "2", "--network", "app", "--", "swarmnet", "whoami")
	case 4:
		return c.killTask(other)
	case 5, 6:
		return c.killTask(cutNode)
	}
	box := fmt.Sprintf("box%d", c.rnd.IntN(1<<20))
	started := try("a sandbox starts and stops on "+cutNode, cutNode, "run", "-d", "--name", box, "--", "sleep", "1000")
	return try(started, cutNode, "rm", "-f", box)
}

// killTask ends a task of web or rr on a node, from inside.
func (c *cutHeal) killTask(node string) string {
	service := []string{"web", "rr"}[c.rnd.IntN(2)]
	ids := strings.Fields(c.must(node, "ps", "-q", "--filter", "label=swarmnet.service="+service))
	if len(ids) == 0 {
		return "no " + service + " on " + node
	}
	// All processes of the sandbox but its first; whether the command lives to tell does not matter.
	if _, err := c.Run(c.t.Context(), node, "swarmnet", "exec", ids[c.rnd.IntN(len(ids))], "--", "sh", "-c", "kill -9 -1"); err != nil {
		c.t.Fatal(err)
	}
	return "a task of " + service + " on " + node + " killed"
}

// running are the tasks that run, as a manager knows them, by service.
type running map[string][]holder

type holder struct{ Address, Kind, Name, State string }

// truth is what the managers know of the network; nil while one cannot tell.
func (c *cutHeal) truth() (tasks running, names map[string][]string) {
	out, err := c.Swarmnet(c.t.Context(), "n1", "network", "inspect", "-v", "app")
	if err != nil {
		return nil, nil
	}
	info := decode[[]struct{ Holders []holder }](c.t, out)
	tasks, names = running{}, map[string][]string{}
	for _, h := range info[0].Holders {
		switch service, _, _ := strings.Cut(h.Name, "."); {
		case h.Kind == "service":
			names[h.Name] = []string{h.Address}
		case h.Kind == "task" && strings.EqualFold(h.State, "running"):
			tasks[service] = append(tasks[service], h)
			names["tasks."+service] = append(names["tasks."+service], h.Address)
		}
	}
	names["rr"] = names["tasks.rr"]
	for _, addrs := range names {
		slices.Sort(addrs)
	}
	return tasks, names
}

// seen are the sights of a node's sandbox so far, by name, oldest first.
func (c *cutHeal) seen(node string) map[string][]probe.Sight {
	out := map[string][]probe.Sight{}
	for _, s := range lines[probe.Sight](c.t, whole(c.watches[node].text())) {
		out[s.Name] = append(out[s.Name], s)
	}
	return out
}

// converged waits until every name resolves on every node to what the managers know, and returns how long after a moment the last answer changed.
func (c *cutHeal) converged(since time.Time) (took time.Duration) {
	c.t.Helper()
	labtest.Eventually(c.t, time.Minute, "every name to be right on every node", func() error {
		_, want := c.truth()
		if want == nil {
			return fmt.Errorf("no manager answers")
		}
		took = 0
		for _, n := range three {
			seen := c.seen(n)
			for _, name := range watchedNames {
				all := seen[name]
				if len(all) == 0 {
					return fmt.Errorf("%s has not asked for %s yet", n, name)
				}
				last := all[len(all)-1]
				if !slices.Equal(last.Answers, want[name]) {
					return fmt.Errorf("%s: %s is %v, the managers have %v", n, name, last.Answers, want[name])
				}
				took = max(took, last.At.Sub(since))
			}
		}
		return nil
	})
	if limit := time.Duration(number("SWARMNET_HEAL", 5)) * time.Second; took > limit {
		c.t.Errorf("the last name came right %v after the heal, want %v at most", took, limit)
	}
	return took
}

// neverUnknown: a task of glob ran on each node all the time, and the services are there.
func (c *cutHeal) neverUnknown(since time.Time) {
	c.t.Helper()
	for _, n := range three {
		seen := c.seen(n)
		for _, name := range watchedNames[:6] {
			for _, s := range seen[name] {
				if s.At.After(since) && (s.Rcode != "NOERROR" || strings.Contains(name, "glob") && len(s.Answers) == 0) {
					c.t.Errorf("%s: %s was %s %v %s at %v", n, name, s.Rcode, s.Answers, s.Err, s.At.Sub(since))
				}
			}
		}
	}
}

// reaches waits until each node's sandbox reaches every task at its address, and everybody outside each node's published port. What the schedule
// began last may still be going on: a task that starts is the managers' truth a moment before it listens.
func (c *cutHeal) reaches() {
	c.t.Helper()
	labtest.Eventually(c.t, 10*time.Second, "every task to be reached from every node", c.unreached)
}

// unreached is what is not reached yet.
func (c *cutHeal) unreached() error {
	tasks, _ := c.truth()
	if tasks == nil {
		return fmt.Errorf("no manager answers")
	}
	var urls, names []string
	for _, hs := range tasks {
		for _, h := range hs {
			urls, names = append(urls, "http://"+h.Address), append(names, h.Name)
		}
	}
	for _, n := range three {
		args := append([]string{"exec", "client", "--", "swarmnet", "probe", "ask", "--count", fmt.Sprint(len(urls))}, urls...)
		for i, r := range decode[[]probe.Reply](c.t, c.must(n, args...)) {
			if r.Err != "" || r.Answer.Task != names[i] {
				return fmt.Errorf("%s: %s at %s: %s answers; %s", n, names[i], r.URL, r.Answer.Task, r.Err)
			}
		}
		for _, r := range c.ask(3*len(tasks["web"]), fmt.Sprintf("http://%s:8080", lab.Addr(n))) {
			if r.Err != "" || !slices.ContainsFunc(tasks["web"], func(h holder) bool { return h.Name == r.Answer.Task }) {
				return fmt.Errorf("the port of %s: %s answers, of %v; %s", n, r.Answer.Task, tasks["web"], r.Err)
			}
		}
	}
	return nil
}

// describeWatches is what all sandboxes have seen, for a report.
func (c *cutHeal) describeWatches() string {
	var b strings.Builder
	for _, n := range three {
		fmt.Fprintf(&b, "%s:\n%s", n, c.watches[n].text())
	}
	return b.String()
}
