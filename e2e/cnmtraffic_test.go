package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// asks has a sandbox of n1 ask a whoami; empty: it gets no answer.
func (c cluster) asks(box, url string) (task string) {
	c.t.Helper()
	r := decode[[]probe.Reply](c.t, c.inside(box, "swarmnet", "probe", "ask", "--timeout", "1s", url))[0]
	return r.Answer.Task
}

// whoami runs a whoami in a sandbox of n1 and waits until it answers there.
func (c cluster) whoami(name string, flags ...string) {
	c.t.Helper()
	c.must("n1", append(append([]string{"run", "-d", "--name", name}, flags...), "--", "swarmnet", "whoami")...)
	labtest.Eventually(c.t, 10*time.Second, name+" to answer", func() error {
		if got := c.asks(name, "http://127.0.0.1"); got != name {
			return fmt.Errorf("%q answers", got)
		}
		return nil
	})
}

func TestE2EC10Internal(t *testing.T) {
	c := hosts(t, 1, "--dns", lab.Addr(lab.Outside).String())
	upstream := c.nameserver(lab.Outside, "far.example="+lab.Addr(lab.Outside).String())
	c.start(lab.Outside, "whoami", "--port", "9090")
	c.must("n1", "network", "create", "--internal", "inner")
	c.must("n1", "network", "create", "outer")
	c.whoami("a", "--network", "inner")
	c.whoami("b", "--network", "inner")
	c.box("free", "--network", "outer")
	far := fmt.Sprintf("http://%s:9090", lab.Addr(lab.Outside))
	reaches := func(box string) bool {
		return decode[[]probe.Reply](t, c.inside(box, "swarmnet", "probe", "ask", "--timeout", "1s", far))[0].Err == ""
	}
	labtest.Eventually(t, 10*time.Second, "a member of another network to reach outside", func() error {
		if !reaches("free") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	if got := c.gateway("a"); got != "" {
		t.Errorf("its default route goes to %s", got)
	}
	if reaches("a") {
		t.Error("a member of the internal network reaches outside")
	}
	c.resolve("a", "far.example")
	if asked := upstream.asked("far.example."); len(asked) > 0 {
		t.Errorf("what it looks for is told outside: %+v", asked)
	}
	if got := c.asks("a", "http://b"); got != "b" {
		t.Errorf("the other member by name: %q answers", got)
	}
}

func TestE2EC11WithoutICC(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "--opt", "com.docker.network.bridge.enable_icc=false", "long")
	c.must("n1", "network", "create", "--opt", "icc=false", "short")
	for i, n := range []string{"long", "short"} {
		port := 8080 + i
		c.whoami("web-"+n, "--network", n, "-p", fmt.Sprintf("%d:80", port))
		c.whoami("peer-"+n, "--network", n)
		if got := c.asks("peer-"+n, "http://web-"+n); got != "" {
			t.Errorf("%s: a member reaches another: %s answers", n, got)
		}
		c.answers(web80("n1", port), 5*time.Second)
		if got := c.asks("peer-"+n, web80("n1", port)); got != "web-"+n {
			t.Errorf("%s: by its published port: %q answers", n, got)
		}
	}
}

// A UDP client that keeps its port reaches whoever has the published port now.
func TestE2EC33ReplacedUnderDatagrams(t *testing.T) {
	c := hosts(t, 1)
	say := func() probe.Reply {
		t.Helper()
		return decode[[]probe.Reply](t, c.must(lab.Outside, "probe", "udp", "--port", "40000", "--timeout", "500ms", fmt.Sprintf("%s:5300", lab.Addr("n1"))))[0]
	}
	for _, name := range []string{"one", "two", "three"} {
		c.must("n1", "run", "-d", "--name", name, "-p", "5300:80/udp", "--", "swarmnet", "whoami")
		labtest.Eventually(t, 10*time.Second, name+" to answer", func() error {
			if r := say(); r.Answer.Task != name {
				return fmt.Errorf("%q answers: %s", r.Answer.Task, r.Err)
			}
			return nil
		})
		c.must("n1", "rm", "-f", name)
		if r := say(); r.Err == "" { // and it leaves a trace that the next one must not be missed by
			t.Errorf("%s was removed, and %q answers", name, r.Answer.Task)
		}
	}
}
