package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

func TestE2EC40Names(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "one")
	c.box("asker", "--network", "one")
	c.box("db", "--network", "one,alias=store")
	want := c.addr("db", "one")
	id := c.must("n1", "ps", "-q", "--filter", "name=db")
	for _, name := range []string{"db", "DB", "Store", "store", id, strings.ToUpper(id)} {
		c.names("asker", name, want)
	}
}

// On the default bridge nobody is found by name, only what is the sandbox's own and names outside.
func TestE2EC40DefaultBridge(t *testing.T) {
	c := hosts(t, 1, "--dns", lab.Addr(lab.Outside).String())
	upstream := c.nameserver(lab.Outside, "far.example=198.51.100.7")
	c.box("x")
	c.box("y", "--hostname", "host-y")
	id := c.must("n1", "ps", "-q", "--filter", "name=y")
	for _, name := range []string{"y", "y.bridge", id} {
		c.names("x", name)
	}
	c.names("x", "far.example", "198.51.100.7")
	addr := strings.Split(c.addr("y", "bridge"), ".")
	slices.Reverse(addr)
	reverse := strings.Join(addr, ".") + ".in-addr.arpa"
	if r := c.resolve("x", reverse, "--type", "PTR"); len(r.Answers) > 0 || len(upstream.asked(reverse+".")) == 0 {
		t.Errorf("PTR of another member: %+v, want it forwarded", r)
	}
	if got := c.inside("y", "getent", "hosts", "host-y"); !strings.HasPrefix(got, c.addr("y", "bridge")) {
		t.Errorf("its own name is %q", got)
	}
	// A user-made network beside it has names, on either side of the connect.
	c.must("n1", "network", "create", "--subnet", "10.9.0.0/24", "one")
	c.must("n1", "network", "connect", "one", "x")
	c.must("n1", "network", "connect", "one", "y")
	c.names("x", "y", c.addr("y", "one"))
}

func TestE2EC41WhoSeesWhom(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "one")
	c.must("n1", "network", "create", "two")
	c.box("a", "--network", "one")
	c.box("b", "--network", "two,alias=nick")
	c.box("both", "--network", "one,alias=left", "--network", "two,alias=nick")
	c.names("a", "b")
	c.names("a", "nick") // of the other network
	c.names("a", "left", c.addr("both", "one"))
	c.names("b", "left")
	nicks := []string{c.addr("b", "two"), c.addr("both", "two")}
	slices.Sort(nicks)
	c.names("b", "nick", nicks...)
	c.names("both", "b", c.addr("b", "two"))
}

func TestE2EC42Qualified(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "--subnet", "10.9.1.0/24", "aaa")
	c.must("n1", "network", "create", "--subnet", "10.9.2.0/24", "bbb")
	c.box("asker", "--network", "aaa", "--network", "bbb")
	c.box("db", "--network", "aaa", "--network", "bbb")
	c.names("asker", "db.aaa", c.addr("db", "aaa"))
	c.names("asker", "db.bbb", c.addr("db", "bbb"))
	c.names("asker", "db", c.addr("db", "aaa")) // the first by name
}

func TestE2EC42OverlayFirst(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "cluster", "init")
	c.must("n1", "network", "create", "--subnet", "10.9.1.0/24", "aaa")
	c.must("n1", "network", "create", "--subnet", "10.9.2.0/24", "bbb")
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "zzz")
	for _, n := range []string{"asker", "db"} {
		c.box(n, "--network", "name=aaa,gw-priority=-1", "--network", "bbb", "--network", "zzz")
	}
	c.names("asker", "db", c.addr("db", "zzz"))
	c.must("n1", "network", "disconnect", "zzz", "asker")
	c.names("asker", "db", c.addr("db", "bbb")) // aaa is the first by name, and of a lower priority
	c.names("asker", "db.aaa", c.addr("db", "aaa"))
}

func TestE2EC43OtherTypes(t *testing.T) {
	c := hosts(t, 1)
	upstream := c.nameserver(lab.Outside, "db=192.0.2.77")
	c.must("n1", "network", "create", "one")
	c.box("asker", "--network", "one", "--dns", lab.Addr(lab.Outside).String())
	c.box("db", "--network", "one")
	for _, qtype := range []string{"AAAA", "MX", "TXT"} {
		if r := c.resolve("asker", "db", "--type", qtype); r.Rcode != "NOERROR" || len(r.Answers) > 0 || r.Err != "" {
			t.Errorf("%s of a known name: %+v, want NOERROR and nothing", qtype, r)
		}
	}
	if asked := upstream.asked("db."); len(asked) > 0 {
		t.Errorf("a known name was forwarded: %+v", asked)
	}
}

func TestE2EC44Reverse(t *testing.T) {
	c := hosts(t, 1)
	upstream := c.nameserver(lab.Outside)
	c.must("n1", "network", "create", "--subnet", "10.9.0.0/24", "one")
	c.box("asker", "--network", "one", "--dns", lab.Addr(lab.Outside).String())
	c.box("db", "--network", "one", "--ip", "10.9.0.77")
	if r := c.resolve("asker", "77.0.9.10.in-addr.arpa", "--type", "PTR"); !slices.Equal(r.Answers, []string{"db.one."}) {
		t.Errorf("PTR of a member: %+v, want db.one.", r)
	}
	c.resolve("asker", "1.2.3.4.in-addr.arpa", "--type", "PTR")
	if len(upstream.asked("1.2.3.4.in-addr.arpa.")) == 0 {
		t.Error("PTR of another address was not forwarded")
	}
	if len(upstream.asked("77.0.9.10.in-addr.arpa.")) > 0 {
		t.Error("PTR of a member was forwarded")
	}
}

func TestE2EC45Upstreams(t *testing.T) {
	c := hosts(t, 2)
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("many.example=198.51.100.%d", i+1))
	}
	good := c.nameserver(lab.Outside, append(many, "far.example=198.51.100.7", "half.example=198.51.100.8")...)
	c.nameserver("n2", "half.example=SERVFAIL", "far.example=REFUSED", "broken.example=SERVFAIL")
	c.box("one", "--dns", lab.Addr(lab.Outside).String())
	c.names("one", "far.example", "198.51.100.7")
	r := c.resolve("one", "none.example")
	if r.Rcode != "NXDOMAIN" || !slices.Contains(r.Authority, "SOA") {
		t.Errorf("an unknown name: %+v, want NXDOMAIN and its SOA", r)
	}
	if r := c.resolve("one", "many.example"); !r.Truncated {
		t.Errorf("a large answer over plain UDP: %d of 100, truncated %v", len(r.Answers), r.Truncated)
	}
	for _, flags := range [][]string{{"--tcp"}, {"--edns", "4096"}} {
		if r := c.resolve("one", "many.example", flags...); r.Truncated || len(r.Answers) != 100 {
			t.Errorf("a large answer with %v: %d of 100, truncated %v", flags, len(r.Answers), r.Truncated)
		}
	}
	// The first upstream answers SERVFAIL or REFUSED, or nothing at all: the next is asked.
	c.box("two", "--dns", lab.Addr("n2").String(), "--dns", lab.Addr(lab.Outside).String())
	c.names("two", "half.example", "198.51.100.8")
	c.names("two", "far.example", "198.51.100.7")
	c.box("silent", "--dns", "192.0.2.200", "--dns", lab.Addr(lab.Outside).String())
	for range 3 {
		if r := c.resolve("silent", "far.example"); !slices.Equal(r.Answers, []string{"198.51.100.7"}) || r.Took > 3*time.Second {
			t.Errorf("with a silent upstream: %+v", r)
		}
	}
	c.box("none", "--dns", lab.Addr("n2").String())
	if r := c.resolve("none", "broken.example"); r.Rcode != "SERVFAIL" {
		t.Errorf("no upstream left: %+v, want SERVFAIL", r)
	}
	if len(good.asked("far.example.")) == 0 {
		t.Error("the upstream was never asked")
	}
}

func TestE2EC46Internal(t *testing.T) {
	c := hosts(t, 1, "--dns", lab.Addr(lab.Outside).String())
	upstream := c.nameserver(lab.Outside, "far.example=198.51.100.7")
	c.must("n1", "network", "create", "--internal", "--subnet", "10.9.0.0/24", "inner")
	c.must("n1", "network", "create", "outer")
	c.box("a", "--network", "inner")
	if c.gateway("a") != "" {
		t.Errorf("an internal network has the default route %s", c.gateway("a"))
	}
	if r := c.resolve("a", "far.example"); r.Rcode != "SERVFAIL" {
		t.Errorf("inside alone: %+v, want SERVFAIL", r)
	}
	if asked := upstream.asked("far.example."); len(asked) > 0 {
		t.Errorf("the name leaked: %+v", asked)
	}
	c.must("n1", "network", "connect", "outer", "a")
	c.names("a", "far.example", "198.51.100.7")
	c.must("n1", "network", "disconnect", "outer", "a")
	if r := c.resolve("a", "far2.example"); r.Rcode != "SERVFAIL" || len(upstream.asked("far2.example.")) > 0 {
		t.Errorf("inside alone again: %+v", r)
	}
	// A name server inside is asked.
	c.must("n1", "run", "-d", "--name", "ns", "--network", "inner", "--ip", "10.9.0.53", "--", "swarmnet", "probe", "nameserver", "--listen", "10.9.0.53:53", "near.example=198.51.100.9")
	c.box("b", "--network", "inner", "--dns", "10.9.0.53")
	labtest.Eventually(t, 5*time.Second, "the name server inside to answer", func() error {
		if r := c.resolve("b", "near.example"); !slices.Equal(r.Answers, []string{"198.51.100.9"}) {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

func TestE2EC47Files(t *testing.T) {
	c := hosts(t, 1, "--dns", lab.Addr(lab.Outside).String())
	upstream := c.nameserver(lab.Outside, "www.corp.example=198.51.100.7", "far.example=198.51.100.8")
	c.must("n1", "network", "create", "one")
	c.box("a", "--network", "one", "--dns-search", "corp.example", "--dns-option", "ndots:2", "--add-host", "db:192.0.2.99", "--hostname", "host-a")
	resolv := c.inside("a", "cat", "/etc/resolv.conf")
	for _, want := range []string{"search corp.example", "ndots:2", "nameserver 127.0.0.11"} {
		if !strings.Contains(resolv, want) {
			t.Errorf("resolv.conf %q lacks %q", resolv, want)
		}
	}
	if hosts := c.inside("a", "cat", "/etc/hosts"); !strings.Contains(hosts, "db") || !strings.Contains(hosts, "192.0.2.99") || !strings.Contains(hosts, "host-a") {
		t.Errorf("hosts %q", hosts)
	}
	if got := c.inside("a", "cat", "/etc/hostname") + c.inside("a", "uname", "-n"); got != "host-ahost-a" {
		t.Errorf("hostname %q", got)
	}
	// They take effect: the search domain, and the daemon's default name server.
	c.must("n1", "run", "-d", "--name", "prober", "--network", "one", "--dns-search", "corp.example", "--", "swarmnet", "probe", "serve")
	url := "http://" + c.addr("prober", "one") + "/lookup?name=www"
	labtest.Eventually(t, 5*time.Second, "www to be found by the search domain", func() error {
		l := decode[probe.Looked](t, c.inside("a", "swarmnet", "probe", "get", url))
		if !slices.Equal(l.Addrs, []string{"198.51.100.7"}) {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
	c.names("a", "far.example", "198.51.100.8")
	if len(upstream.asked("far.example.")) == 0 {
		t.Error("the daemon's default name server was not asked")
	}
	// What a user writes stays.
	c.inside("a", "sh", "-c", "echo '# mine' >> /etc/resolv.conf")
	c.must("n1", "network", "create", "two")
	c.must("n1", "network", "connect", "two", "a")
	if got := c.inside("a", "cat", "/etc/resolv.conf"); !strings.Contains(got, "# mine") {
		t.Errorf("an edited resolv.conf is now %q", got)
	}
}

// One sandbox asks more than its share of names that nobody answers: that is refused and counted, and another's queries are answered meanwhile.
func TestE2EC48Storm(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "one")
	c.box("calm", "--network", "one")
	c.must("n1", "run", "-d", "--name", "stormy", "--network", "one", "--dns", "192.0.2.200", "--", "sleep", "100000")
	storm := c.start("n1", "exec", "stormy", "--", "swarmnet", "probe", "storm", "--count", "150", "--quiet", "2s", "silent.example")
	for ended := false; !ended; {
		c.names("calm", "stormy", c.addr("stormy", "one"))
		select {
		case <-storm.done:
			ended = true
		default:
		}
	}
	codes := decode[map[string]int](t, storm.finish(t, time.Minute))
	refused := codes["REFUSED"]
	if refused == 0 || refused > 50 {
		t.Errorf("of 150 at once the answers are %v, want 50 refused or, on a slow machine, fewer", codes)
	}
	got, _ := c.look("n1", "doctor")
	if !slices.ContainsFunc(got, func(v verdict) bool {
		return v.Check == "resolver" && strings.HasPrefix(v.Found, fmt.Sprintf("%d queries of stormy were refused", refused))
	}) {
		t.Errorf("doctor says %+v", got)
	}
	c.names("stormy", "calm", c.addr("calm", "one"))
}

// nameserver runs a name server on a node until the test ends.
func (c cluster) nameserver(node string, records ...string) *nameserver {
	c.t.Helper()
	n := &nameserver{c: c, node: node}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		c.RunTo(ctx, n, n, lab.Command{Node: node, Argv: append([]string{"swarmnet", "probe", "nameserver"}, records...)}) //nolint:errcheck // it ends with the test
	})
	c.t.Cleanup(func() { cancel(); wg.Wait() })
	labtest.Eventually(c.t, 5*time.Second, "the name server on "+node, func() error {
		r := decode[probe.Resolved](c.t, c.must(node, "probe", "dns", "--server", "127.0.0.1:53", "ready.example"))
		if r.Err != "" {
			return fmt.Errorf("%s", r.Err)
		}
		return nil
	})
	return n
}

// nameserver notes what it was asked.
type nameserver struct {
	c    cluster
	node string
	mu   sync.Mutex
	text string
	told int // how often asked was called
}

func (n *nameserver) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text += string(b)
	return len(b), nil
}

// asked is what it was asked for a name until now: it notes each question before it answers, and what it notes comes here in that order, so all
// is here once one more question of our own is.
func (n *nameserver) asked(name string) []probe.Asked {
	n.c.t.Helper()
	n.told++
	last := fmt.Sprintf("last%d.example.", n.told)
	n.c.must(n.node, "probe", "dns", "--server", "127.0.0.1:53", last)
	var got []probe.Asked
	labtest.Eventually(n.c.t, 5*time.Second, "what "+n.node+" was asked to be told", func() error {
		if got = n.noted(); !slices.ContainsFunc(got, func(a probe.Asked) bool { return a.Name == last }) {
			return fmt.Errorf("%d questions are told", len(got))
		}
		return nil
	})
	return slices.DeleteFunc(got, func(a probe.Asked) bool { return a.Name != name })
}

// noted are the questions whose notes have come here whole.
func (n *nameserver) noted() []probe.Asked {
	n.mu.Lock()
	defer n.mu.Unlock()
	return lines[probe.Asked](n.c.t, whole(n.text))
}
