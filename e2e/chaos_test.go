package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// chaosFor is how long the chaos goes on when nobody says otherwise: $SWARMNET_SOAK, as of `make soak DURATION=10m SEED=7`.
const chaosFor = 100 * time.Second

// TestE2EChaos takes random steps on a lab under load: nodes are killed, cut off and healed, daemons stopped, rules and devices deleted, services
// scaled, updated, made and removed. Now and then all is mended and nothing more is done: at that quiet moment every node must agree with what it
// should have, every name, virtual address and published port answer on every node, and nothing be left of what is gone.
func TestE2EChaos(t *testing.T) {
	seed, duration := uint64(time.Now().UnixNano()), chaosFor
	if s := os.Getenv("SWARMNET_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	if s := os.Getenv("SWARMNET_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		duration = d
	}
	t.Logf("SEED=%d DURATION=%s", seed, duration)
	c := newChaos(up(t), seed)
	for end := time.Now().Add(duration); time.Now().Before(end); {
		for range 3 + c.rand.IntN(8) {
			c.step()
		}
		c.quiet()
	}
	c.clear()
	t.Logf("%d steps, %d quiet moments; of %s", c.steps, c.moments, c.loads())
}

// chaos is the random walk and its model: what it decides depends on the seed and the model alone, never on what it finds or how long that took.
type chaos struct {
	cluster
	rand           *rand.Rand
	began          time.Time
	log            []string
	steps, moments int

	services map[string]chaosService
	made     int
	// ails is the node that something is wrong with, and what: one at a time, so that the others decide.
	ails string
	how  ailment
	load *background
}

type chaosService struct{ replicas, port int }

type ailment int

const (
	well    ailment = iota
	stopped         // its daemon does not run
	off             // it has no power
	cut             // its link is cut
)

var threeNodes = []string{"n1", "n2", "n3"}

func newChaos(c cluster, seed uint64) *chaos {
	x := &chaos{cluster: c, rand: rand.New(rand.NewPCG(seed, 25)), began: time.Now(), services: map[string]chaosService{}}
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Logf("SEED=%d; the steps:\n%s", seed, strings.Join(x.log, "\n"))
		}
	})
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "app")
	for _, n := range threeNodes {
		c.must(n, "run", "-d", "--restart", "always", "--name", "client-"+n, "--network", "app", "--", "sleep", "1000000")
	}
	x.create()
	x.quiet()
	x.load = c.start(lab.Outside, "probe", "load", "--rate", "40", "--duration", "24h", "--timeout", "5s", x.url("n1", x.services["s1"]), x.url("n2", x.services["s1"]), x.url("n3", x.services["s1"]))
	return x
}

func (c *chaos) say(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf("%7.2fs ", time.Since(c.began).Seconds())+fmt.Sprintf(format, args...))
}

func (c *chaos) url(node string, s chaosService) string {
	return fmt.Sprintf("http://%s:%d", lab.Addr(node), s.port)
}

// healthy are the nodes with which nothing is wrong.
func (c *chaos) healthy() []string {
	return slices.DeleteFunc(slices.Clone(threeNodes), func(n string) bool { return n == c.ails })
}

func (c *chaos) pick(list []string) string { return list[c.rand.IntN(len(list))] }

// step does one thing.
func (c *chaos) step() {
	c.t.Helper()
	c.steps++
	switch n := c.rand.IntN(100); {
	case n < 25:
		c.meddle()
	case n < 40:
		c.ail()
	case n < 55:
		c.mend()
	case n < 75:
		c.scale()
	case n < 85:
		c.update()
	case n < 93:
		c.create()
	default:
		c.remove()
	}
	time.Sleep(time.Duration(c.rand.IntN(700)) * time.Millisecond) // not to wait for anything: things happen at any moment of others
}

// control runs a command that changes what is wanted, on a manager that is well, until it is taken: leaders come and go.
func (c *chaos) control(args ...string) {
	c.t.Helper()
	nodes := c.healthy()
	first := c.rand.IntN(len(nodes))
	c.say("%s", strings.Join(args, " "))
	tries := 0
	labtest.Eventually(c.t, 40*time.Second, "a manager to take "+strings.Join(args, " "), func() error {
		node := nodes[(first+tries)%len(nodes)]
		tries++
		_, err := c.Swarmnet(c.t.Context(), node, args...)
		if err != nil && tries > 1 && (strings.Contains(err.Error(), "exists") || args[1] == "rm" && strings.Contains(err.Error(), "no service")) {
			return nil // it was taken the first time
		}
		return err
	})
}

func (c *chaos) names() []string { return slices.Sorted(maps.Keys(c.services)) }

func (c *chaos) create() {
	c.t.Helper()
	if len(c.services) >= 4 {
		return
	}
	c.made++
	name, s := fmt.Sprint("s", c.made), chaosService{1 + c.rand.IntN(4), 8000 + c.made}
	c.services[name] = s
	c.control("service", "create", "-d", "--name", name, "--replicas", fmt.Sprint(s.replicas), "--network", "app", "--publish", fmt.Sprintf("%d:80", s.port), "--stop-grace-period", "2s",
		"--restart-delay", "100ms", "--", "swarmnet", "whoami")
}

func (c *chaos) scale() {
	c.t.Helper()
	name := c.pick(c.names())
	s := c.services[name]
	s.replicas = 1 + c.rand.IntN(5)
	c.services[name] = s
	c.control("service", "scale", "-d", fmt.Sprintf("%s=%d", name, s.replicas))
}

func (c *chaos) update() {
	c.t.Helper()
	order := c.pick([]string{"start-first", "stop-first"})
	c.control("service", "update", "-d", "--update-order", order, "--update-delay", "0s", "--force", c.pick(c.names()))
}

// remove removes a service, but the first, which is asked all the time.
func (c *chaos) remove() {
	c.t.Helper()
	names := slices.DeleteFunc(c.names(), func(n string) bool { return n == "s1" })
	if len(names) == 0 {
		return
	}
	name := c.pick(names)
	delete(c.services, name)
	c.control("service", "rm", name)
}

// meddle damages something on a node that has power.
func (c *chaos) meddle() {
	c.t.Helper()
	kinds := append(slices.Sorted(maps.Keys(meddlers)), "unmount-fabric")
	if os.Getenv(labtest.BalancerEnv) == "ipvs" {
		kinds = append(kinds, slices.Sorted(maps.Keys(ipvsMeddlers))...)
	}
	kind, seed, nodes := c.pick(kinds), c.rand.Uint64(), threeNodes
	if c.how == off {
		nodes = c.healthy()
	}
	node := c.pick(nodes)
	exe, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	if kind == "unmount-fabric" && c.how == stopped && node == c.ails {
		return // then nobody holds the namespace: what is in it ends, as with its power
	}
	r, err := c.Run(c.t.Context(), node, exe, meddleArg, kind, fmt.Sprint(seed))
	c.say("on %s: %s%s", node, strings.TrimSpace(r.Stdout), r.Stderr)
	if err != nil || r.Code != 0 {
		c.t.Fatalf("%s on %s: %v %+v", kind, node, err, r)
	}
}

// ail has something go wrong with one of the nodes that are well.
func (c *chaos) ail() {
	c.t.Helper()
	node, how, kill := c.pick(threeNodes), ailment(1+c.rand.IntN(3)), c.rand.IntN(2) == 0
	if c.how != well {
		return
	}
	c.ails, c.how = node, how
	var err error
	switch how {
	case stopped:
		c.say("stop the daemon of %s, kill=%t", node, kill)
		err = c.Stop(node, kill)
	case off:
		c.say("kill %s", node)
		err = c.Kill(node)
	case cut:
		c.say("cut %s", node)
		err = c.Cut(node)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *chaos) mend() {
	c.t.Helper()
	if c.how == well {
		return
	}
	c.say("mend %s", c.ails)
	var err error
	switch c.how {
	case stopped, off:
		err = c.Start(c.t.Context(), c.ails)
	case cut:
		err = c.Heal(c.ails)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.ails, c.how = "", well
}

// quiet mends what is wrong, waits until the cluster is whole, and looks at everything.
func (c *chaos) quiet() {
	c.t.Helper()
	c.mend()
	c.moments++
	began := time.Now()
	if err := c.WaitFormed(c.t.Context(), 3, 3, 60*time.Second); err != nil {
		c.t.Fatal(err)
	}
	for _, name := range c.names() {
		labtest.Eventually(c.t, 90*time.Second, fmt.Sprintf("%s to have %d tasks", name, c.services[name].replicas), func() error { return c.converged(name) })
	}
	formed := time.Since(began)
	agreed := c.agree(30*time.Second, threeNodes...)
	for _, name := range c.names() {
		for _, n := range threeNodes {
			labtest.Eventually(c.t, 15*time.Second, name+" to answer through "+n, func() error { return answerAll(c.ask(5, c.url(n, c.services[name])), name) })
			labtest.Eventually(c.t, 15*time.Second, name+" to answer to the sandbox on "+n, func() error {
				r, err := c.Run(c.t.Context(), n, "swarmnet", "exec", "client-"+n, "--", "swarmnet", "probe", "ask", "--count", "5", "http://"+name)
				if err != nil || r.Code != 0 {
					return fmt.Errorf("%v %s", err, r.Stderr)
				}
				return answerAll(decode[[]probe.Reply](c.t, r.Stdout), name)
			})
		}
	}
	for _, n := range threeNodes {
		labtest.Eventually(c.t, 30*time.Second, "nothing to be left on "+n, func() error { return c.leaks(n) })
	}
	c.agree(10*time.Second, threeNodes...)
	c.say("quiet: whole after %v, agreed after another %v, all answer after %v", formed.Round(time.Millisecond), agreed.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

func answerAll(replies []probe.Reply, service string) error {
	for _, r := range replies {
		if r.Err != "" || r.Answer.Service != service {
			return fmt.Errorf("%s: %s %s", r.URL, r.Err, r.Answer.Service)
		}
	}
	return nil
}

// converged reports whether a service has as many tasks as it should, all of them running, and no update is going on.
func (c *chaos) converged(name string) error {
	out, err := c.Swarmnet(c.t.Context(), "n1", "service", "ps", name, "--format", "json")
	if err != nil {
		return err
	}
	running, others := 0, []string{}
	for _, r := range lines[taskRow](c.t, out) {
		switch {
		case r.running():
			running++
		case r.DesiredState == "Running" || strings.HasPrefix(r.CurrentState, "Running"):
			others = append(others, fmt.Sprintf("%+v", r))
		}
	}
	if running != c.services[name].replicas || len(others) > 0 {
		return fmt.Errorf("%d run, and there are %v", running, others)
	}
	return nil
}

// leaks compares what a node has, by its own kernel and files, with the sandboxes that run on it.
func (c *chaos) leaks(node string) error {
	out, err := c.Swarmnet(c.t.Context(), node, "ps", "-q", "--no-trunc")
	if err != nil {
		return err
	}
	boxes := len(strings.Fields(out))
	const count = `set -- /run/swarmnet/netns/sb-*; [ -e "$1" ] && echo netns $# || echo netns 0
echo mounts $(grep -c /run/swarmnet/netns/ /proc/self/mountinfo)
echo ports $(nsenter --net=/run/swarmnet/netns/fabric ip -o link | grep -c '^[0-9]*: ve')
echo shims $(for p in /proc/[0-9]*/cmdline; do tr '\0' ' ' <$p 2>/dev/null; echo; done | grep -c 'swarmnet shim $')
true`
	r, err := c.Run(c.t.Context(), node, "sh", "-c", count)
	if err != nil || r.Code != 0 {
		return fmt.Errorf("%v %+v", err, r)
	}
	want := fmt.Sprintf("netns %d\nmounts %d\nports %d\nshims %d\n", boxes, boxes+1, boxes, boxes)
	if r.Stdout != want {
		return fmt.Errorf("of %d sandboxes there are\n%swant\n%s", boxes, r.Stdout, want)
	}
	return nil
}

// clear removes everything, of which nothing may be left.
func (c *chaos) clear() {
	c.t.Helper()
	c.load.stop()
	<-c.load.done
	c.control(append([]string{"service", "rm"}, c.names()...)...)
	for _, n := range threeNodes {
		c.must(n, "rm", "-f", "client-"+n)
	}
	for _, n := range threeNodes {
		labtest.Eventually(c.t, 30*time.Second, "nothing to be left on "+n, func() error {
			if err := c.leaks(n); err != nil {
				return err
			}
			r, err := c.Run(c.t.Context(), n, "nsenter", "--net=/run/swarmnet/netns/fabric", "ip", "-o", "link")
			if err == nil && strings.Count(r.Stdout, "\n") != 4 { // lo, uplink, and the ingress network's
				err = fmt.Errorf("the fabric has\n%s", r.Stdout)
			}
			return err
		})
	}
	c.agree(10*time.Second, threeNodes...)
}

// loads says what became of the requests that were made all the time. Some must fail: each goes to one node, which may have no power.
func (c *chaos) loads() string {
	failed, all := 0, lines[probe.Reply](c.t, whole(c.load.text()))
	for _, r := range all {
		if r.Err != "" {
			failed++
		}
	}
	if len(all) == 0 || failed == len(all) {
		c.t.Errorf("%d of %d requests failed", failed, len(all))
	}
	return fmt.Sprintf("%d requests %d failed", len(all), failed)
}
