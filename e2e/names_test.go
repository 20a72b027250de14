package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// query asks a sandbox's name server, as the sandbox does.
func (c cluster) query(node, box, name, qtype string) probe.Resolved {
	c.t.Helper()
	return decode[probe.Resolved](c.t, c.must(node, "exec", box, "--", "swarmnet", "probe", "dns", "--type", qtype, name))
}

// countNames waits until a name resolves to so many addresses.
func (c cluster) countNames(node, box, name string, count int) []string {
	c.t.Helper()
	var got []string
	labtest.Eventually(c.t, 10*time.Second, fmt.Sprintf("%s to resolve to %d addresses", name, count), func() error {
		if got = c.query(node, box, name, "A").Answers; len(got) != count {
			return fmt.Errorf("it resolves to %v", got)
		}
		return nil
	})
	return got
}

// vips are a service's virtual addresses by network.
func (c cluster) vips(service string) map[string]string {
	c.t.Helper()
	out := map[string]string{}
	for _, s := range decode[[]struct {
		VIPs []struct{ Network, Addr string }
	}](c.t, c.must("n1", "service", "inspect", service)) {
		for _, v := range s.VIPs {
			out[v.Network] = v.Addr
		}
	}
	return out
}

// What services' names resolve to, and what a service has on the networks that it comes to and leaves.
func TestE2ES03S40S41S43Names(t *testing.T) {
	c := up(t)
	for _, n := range []string{"app", "back"} {
		c.must("n1", "network", "create", "-d", "overlay", "--attachable", n)
		c.must("n2", "run", "-d", "--name", "on-"+n, "--network", n, "--", "sleep", "1000")
	}
	t.Run("S03 networks more and less", c.networksMoreAndLess)
	t.Run("S40 names and aliases", c.namesAndAliases)
	t.Run("S41 how long a record lives", c.recordsLives)
	t.Run("S43 where ports are served", c.servers)
}

func (c cluster) networksMoreAndLess(t *testing.T) {
	c = c.on(t)
	c.must("n1", "service", "create", "--name", "web", "--replicas", "2", "--network", "app", "--update-parallelism", "0", "--update-order", "start-first", "--update-monitor", "100ms", "--", "swarmnet", "whoami")
	if v := c.vips("web"); len(v) != 1 {
		t.Errorf("on one network it has the virtual addresses %v", v)
	}
	ask := func(network string) error {
		r, err := c.Run(t.Context(), "n2", "swarmnet", "exec", "on-"+network, "--", "swarmnet", "probe", "ask", "--count", "10", "http://web")
		if err != nil {
			return err
		}
		for _, r := range decode[[]probe.Reply](t, r.Stdout) {
			if r.Err != "" || r.Answer.Service != "web" {
				return fmt.Errorf("%+v", r)
			}
		}
		return nil
	}
	endpoints := func(want int) {
		t.Helper()
		tasks := c.fullTasks("web") // those that the update has replaced may still be ending
		if len(tasks) != 2 {
			t.Errorf("the tasks %v run, want two", tasks)
		}
		for name, task := range tasks {
			if row := c.inspectBox(task.Node, task.ID); len(row.Endpoints) != want {
				t.Errorf("%s on %s has %d endpoints, want %d", name, task.Node, len(row.Endpoints), want)
			}
		}
	}
	for _, step := range []struct {
		flags   []string
		on, off []string
	}{
		{[]string{"--network-add", "back"}, []string{"app", "back"}, nil},
		{[]string{"--network-rm", "app"}, []string{"back"}, []string{"app"}},
	} {
		before := c.vips("web")
		c.must("n1", append([]string{"service", "update", "web"}, step.flags...)...)
		vips := c.vips("web")
		if len(vips) != len(step.on) {
			t.Errorf("%v: it has the virtual addresses %v", step.flags, vips)
		}
		for n, addr := range before {
			if is, still := vips[n]; still && is != addr {
				t.Errorf("%v: its virtual address on a network that it stays on was %s, is %s", step.flags, addr, is)
			}
		}
		endpoints(len(step.on))
		for _, n := range step.on {
			labtest.Eventually(t, 5*time.Second, "web to answer on "+n, func() error { return ask(n) })
			c.countNames("n2", "on-"+n, "tasks.web", 2)
		}
		for _, n := range step.off {
			c.countNames("n2", "on-"+n, "web", 0)
			c.countNames("n2", "on-"+n, "tasks.web", 0)
		}
	}
	c.refused("n1", 1, []string{"--network-rm", "not on it"}, "service", "update", "web", "--network-rm", "app")
	c.refused("n1", 1, []string{"--network-add", "already"}, "service", "update", "web", "--network-add", "back")
	c.rm("web")
}

func (c cluster) namesAndAliases(t *testing.T) {
	c = c.on(t)
	c.must("n1", "service", "create", "--name", "vip", "--replicas", "2", "--network", "app,alias=both,alias=mine", "--", "swarmnet", "whoami")
	c.must("n1", "service", "create", "--name", "rr", "--replicas", "4", "--endpoint-mode", "dnsrr", "--network", "app,alias=both,alias=theirs", "--", "swarmnet", "whoami")
	vip := c.countNames("n2", "on-app", "vip", 1)
	tasks := c.countNames("n2", "on-app", "tasks.vip", 2)
	rr := c.countNames("n2", "on-app", "rr", 4)
	for name, want := range map[string][]string{"mine": vip, "tasks.mine": tasks, "theirs": rr, "tasks.rr": rr, "tasks.theirs": rr,
		"both": slices.Concat(vip, rr), "tasks.both": slices.Concat(tasks, rr), "vip.app": vip} {
		slices.Sort(want)
		if got := c.query("n2", "on-app", name, "A").Answers; !slices.Equal(got, want) {
			t.Errorf("%s resolves to %v, want %v", name, got, want)
		}
	}
	if slices.Contains(tasks, vip[0]) {
		t.Errorf("the virtual address %v is a task's", vip)
	}
	orders := map[string]bool{}
	for range 12 { // of 24 orders; that all are one has a probability of 24^-11
		var looked probe.Looked
		if looked = decode[probe.Looked](t, c.must("n2", "exec", "on-app", "--", "swarmnet", "probe", "lookup", "rr")); len(looked.Addrs) != 4 {
			t.Fatalf("rr resolves to %+v", looked)
		}
		orders[looked.Addrs[0]] = true
	}
	if len(orders) < 2 {
		t.Errorf("of rr's addresses %v always comes first", orders)
	}
	labtest.Eventually(t, 10*time.Second, "the alias of two services to lead to the tasks of both, who have published nothing that their nodes would wait for", func() error {
		return answeredBy(c.must("n2", "exec", "on-app", "--", "swarmnet", "probe", "ask", "--count", "60", "http://both"), 6)
	})
	c.rm("vip", "rr")
}

func (c cluster) recordsLives(t *testing.T) {
	c = c.on(t)
	c.must("n1", "service", "create", "--name", "rr", "--replicas", "3", "--endpoint-mode", "dnsrr", "--network", "app", "--", "swarmnet", "whoami")
	c.must("n1", "service", "create", "--name", "vip", "--replicas", "1", "--network", "app", "--", "swarmnet", "whoami")
	for _, name := range []string{"rr", "tasks.rr", "vip", "on-app"} {
		if r := c.query("n2", "on-app", name, "A"); len(r.Answers) == 0 || r.TTL == 0 || r.TTL > 10 {
			t.Errorf("%s: %+v, want a time to live of a few seconds", name, r)
		}
	}
	was := c.countNames("n2", "on-app", "rr", 3)
	c.must("n1", "service", "scale", "rr=1")
	last := c.countNames("n2", "on-app", "rr", 1)
	if !slices.Contains(was, last[0]) {
		t.Errorf("%v is left of %v", last, was)
	}
	c.must("n1", "service", "scale", "rr=0")
	for _, name := range []string{"rr", "tasks.rr"} {
		c.countNames("n2", "on-app", name, 0)
		if r := c.query("n2", "on-app", name, "A"); r.Rcode != "NOERROR" {
			t.Errorf("a service without tasks: %s is answered by %s, want no address and no error", name, r.Rcode)
		}
	}
	c.rm("rr", "vip")
	labtest.Eventually(t, 10*time.Second, "the names of removed services to be gone", func() error {
		for _, name := range []string{"rr", "tasks.rr", "vip", "tasks.vip"} {
			if r := c.query("n2", "on-app", name, "A"); len(r.Answers) > 0 {
				return fmt.Errorf("%s resolves to %v", name, r.Answers)
			}
		}
		return nil
	})
}

func (c cluster) servers(t *testing.T) {
	c = c.on(t)
	c.must("n1", "service", "create", "--name", "web", "--replicas", "2", "--network", "app", "--publish", "published=8080,target=80,name=http", "--", "swarmnet", "whoami")
	for _, name := range []string{"_http._tcp.web", "_80._tcp.web", "_80._tcp.web.app"} {
		if r := c.query("n2", "on-app", name, "SRV"); !slices.Equal(r.Answers, []string{"0 1 80 web.app."}) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	r := c.query("n2", "on-app", "_http._tcp.tasks.web", "SRV")
	if len(r.Answers) != 2 {
		t.Errorf("of the tasks: %+v", r)
	}
	for _, line := range r.Answers {
		f := strings.Fields(line)
		if out := decode[[]probe.Reply](t, c.must("n2", "exec", "on-app", "--", "swarmnet", "probe", "ask", "http://"+strings.TrimSuffix(f[3], ".")+":"+f[2])); out[0].Err != "" || !strings.HasPrefix(f[3], out[0].Answer.Task) {
			t.Errorf("%s: %+v", line, out)
		}
	}
	if r := c.query("n2", "on-app", "_81._tcp.web", "SRV"); len(r.Answers) > 0 {
		t.Errorf("a port that is not published: %+v", r)
	}
	c.rm("web")
}
