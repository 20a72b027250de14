package e2e

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// at6 is a port of an IPv6 address.
func at6(addr netip.Addr, port uint16) string { return netip.AddrPortFrom(addr, port).String() }

func web6(node string) string { return "http://" + at6(lab.Addr6(node), 8080) }

// dual is a cluster of three managers on an underlay with IPv6, of which the cluster makes use, with the network app of both families.
func dual(t *testing.T, under lab.Underlay, network ...string) cluster {
	t.Helper()
	c := cluster{labtest.Up(t, lab.Config{Binary: binary, Underlay: under}), t}
	c.must("n1", append([]string{"network", "create", "-d", "overlay", "--attachable", "--ipv6", "app"}, network...)...)
	return c
}

// sees asks from a node over HTTP, and fails the test unless every answer saw the client want.
func (c cluster) sees(from string, want netip.Addr, count int, urls ...string) (tasks map[string]int) {
	c.t.Helper()
	replies := decode[[]probe.Reply](c.t, c.must(from, append([]string{"probe", "ask", "--count", fmt.Sprint(count)}, urls...)...))
	tasks, clients := tally(c.t, replies)
	if len(clients) != 1 || clients[want.String()] != count {
		c.t.Errorf("%s asking %v was seen as %v, want %s alone", from, urls, clients, want)
	}
	return tasks
}

// seesUDP is sees for datagrams, of which one may be lost while a port is made.
func (c cluster) seesUDP(from string, want netip.Addr, to string) (task string) {
	c.t.Helper()
	labtest.Eventually(c.t, 10*time.Second, to+" to answer "+from+" by UDP", func() error {
		r := decode[[]probe.Reply](c.t, c.must(from, "probe", "udp", "--timeout", "500ms", to))[0]
		ap, err := netip.ParseAddrPort(r.Answer.Client)
		if r.Err != "" || err != nil || ap.Addr() != want {
			return fmt.Errorf("%+v, want the client %s", r, want)
		}
		task = r.Answer.Node
		return nil
	})
	return task
}

// The task sees the client's IPv6 address: ingress and host mode, TCP and UDP, local and remote task; and every node answers by each of its addresses.
func TestE2ES11IPv6(t *testing.T) {
	c := dual(t, lab.Underlay{IPv6: true})
	create := func(name string, flags ...string) {
		c.must("n1", append(append([]string{"service", "create", "--name", name, "--network", "app"}, flags...), "--", "swarmnet", "whoami")...)
	}
	create("web", "--replicas", "3", "--publish", "8080:80", "--publish", "8080:80/udp")
	create("host", "--mode", "global", "--publish", "mode=host,published=8090,target=80", "--publish", "mode=host,published=8090,target=80,protocol=udp")
	nodes := []string{"n1", "n2", "n3"}
	for _, n := range nodes {
		c.answers(web6(n), 10*time.Second)
		c.answers("http://"+at6(lab.Addr6(n), 8090), 10*time.Second)
	}
	outside := lab.Addr6(lab.Outside)
	for _, n := range nodes {
		if tasks := c.sees(lab.Outside, outside, 60, web6(n)); len(tasks) != 3 {
			t.Errorf("through %s %v answered, want three tasks, of this node and of the others", n, tasks)
		}
		by := map[string]bool{}
		for range 12 {
			by[c.seesUDP(lab.Outside, outside, at6(lab.Addr6(n), 8080))] = true
		}
		if len(by) < 2 {
			t.Errorf("datagrams through %s reached tasks on %v alone", n, by)
		}
		tasks := c.sees(lab.Outside, outside, 3, "http://"+at6(lab.Addr6(n), 8090))
		on := c.seesUDP(lab.Outside, outside, at6(lab.Addr6(n), 8090))
		if len(tasks) != 1 || on != n {
			t.Errorf("in host mode %s is answered by %v and by a task on %s", n, tasks, on)
		}
		c.sees(lab.Outside, lab.Addr(lab.Outside), 6, web(n)) // the other family as ever
	}
	// On a node itself: by its own address, that of the link to the fabric, and loopback, which cannot be kept beyond it.
	link := netip.MustParseAddr("fd00:5377:6d00::1")
	for _, by := range []struct{ addr, seen netip.Addr }{{lab.Addr6("n2"), lab.Addr6("n2")}, {netip.IPv6Loopback(), link}, {link, link}} {
		for _, port := range []uint16{8080, 8090} {
			c.sees("n2", by.seen, 3, "http://"+at6(by.addr, port))
			c.seesUDP("n2", by.seen, at6(by.addr, port))
		}
	}
	c.must("n3", "service", "rm", "web")
	labtest.Eventually(t, 10*time.Second, "the port to be free", func() error {
		for _, url := range []string{web6("n1"), web("n1")} {
			if r := c.ask(1, url)[0]; !strings.Contains(r.Err, "refused") {
				return fmt.Errorf("%+v, want refused", r)
			}
		}
		return nil
	})
}

// arpa is the name below ip6.arpa of an address (RFC 3596 section 2.5).
func arpa(a netip.Addr) string {
	var b strings.Builder
	for _, o := range slices.Backward(a.AsSlice()) {
		fmt.Fprintf(&b, "%x.%x.", o&15, o>>4)
	}
	return b.String() + "ip6.arpa"
}

// Names have both families, back and forth, virtual addresses too, and the task sees its client's own address.
func TestE2ES40IPv6(t *testing.T) {
	c := dual(t, lab.Underlay{IPv6: true}, "--subnet", "fd00:77::/64")
	six := netip.MustParsePrefix("fd00:77::/64")
	c.must("n1", "service", "create", "--name", "web", "--replicas", "3", "--network", "app", "--", "swarmnet", "whoami")
	c.must("n2", "run", "-d", "--name", "far", "--network", "app", "--ip6", "fd00:77::beef", "--", "swarmnet", "whoami")
	c.box("box", "--network", "app")
	labtest.Eventually(t, 10*time.Second, "all tasks of web to listen", func() error {
		return answeredBy(c.inside("box", "swarmnet", "probe", "ask", "--count", "60", "http://web"), 3)
	})
	answers := func(name, typ string, count int) []string {
		var got []string
		labtest.Eventually(t, 10*time.Second, typ+" of "+name, func() error {
			if got = c.resolve("box", name, "--type", typ).Answers; len(got) != count {
				return fmt.Errorf("%v, want %d", got, count)
			}
			return nil
		})
		return got
	}
	for _, name := range []string{"web", "WEB.app"} {
		vip := netip.MustParseAddr(answers(name, "AAAA", 1)[0])
		if !six.Contains(vip) || len(answers(name, "A", 1)) != 1 {
			t.Errorf("%s is %s", name, vip)
		}
		if got := answers(arpa(vip), "PTR", 1); got[0] != "web.app." {
			t.Errorf("%s is the address of %v", vip, got)
		}
		// East-west: three tasks behind the virtual address, which see the sandbox's own address.
		own := netip.MustParsePrefix(c.interfaces("box")["eth0"][1]).Addr()
		replies := decode[[]probe.Reply](t, c.inside("box", "swarmnet", "probe", "ask", "--count", "60", "http://"+at6(vip, 80)))
		if tasks, clients := tally(t, replies); len(tasks) != 3 || clients[own.String()] != 60 {
			t.Errorf("%s at %s: %v answered and saw %v, want three and %s", name, vip, tasks, clients, own)
		}
		if r := decode[[]probe.Reply](t, c.inside("box", "swarmnet", "probe", "udp", at6(vip, 80)))[0]; r.Err != "" || !strings.HasPrefix(r.Answer.Client, "["+own.String()+"]:") {
			t.Errorf("a datagram to %s: %+v", vip, r)
		}
	}
	for _, a := range answers("tasks.web", "AAAA", 3) {
		if !six.Contains(netip.MustParseAddr(a)) {
			t.Errorf("a task at %s", a)
		}
	}
	if got := answers("far", "AAAA", 1); got[0] != "fd00:77::beef" {
		t.Errorf("far is at %v", got)
	}
	if got := answers(arpa(netip.MustParseAddr("fd00:77::beef")), "PTR", 1); got[0] != "far.app." {
		t.Errorf("fd00:77::beef is the address of %v", got)
	}
	// A fixed address that is taken is refused on whichever node, and the holder named.
	c.refused("n3", 125, []string{"fd00:77::beef", "far"}, "run", "-d", "--name", "thief", "--network", "app", "--ip6", "fd00:77::beef", "--", "sleep", "1000")
	type inspected struct {
		Subnets []struct{ Prefix, Gateway string }
		Holders []holderRow
	}
	n := decode[[]inspected](t, c.must("n3", "network", "inspect", "-v", "app"))[0]
	if len(n.Subnets) != 2 || n.Subnets[1].Prefix != "fd00:77::/64" || n.Subnets[1].Gateway != "fd00:77::1" {
		t.Errorf("inspect shows the subnets %v", n.Subnets)
	}
	for _, want := range []holderRow{{Address: "fd00:77::1", Kind: "gateway"}, {Address: "fd00:77::beef", Kind: "sandbox", Name: "far"}} {
		if !slices.ContainsFunc(n.Holders, func(h holderRow) bool { return h.Address == want.Address && h.Kind == want.Kind && h.Name == want.Name }) {
			t.Errorf("inspect -v does not show %+v: %+v", want, n.Holders)
		}
	}
	// trace follows either family.
	for _, to := range []string{"[fd00:77::beef]:80", "web:80"} {
		v, status := c.look("n1", "trace", "box", to)
		if status != 0 || !slices.ContainsFunc(v, func(s verdict) bool { return s.Step == "probe" && strings.Contains(s.Found, "[fd00:77:") }) {
			t.Errorf("trace to %s: %+v", to, v)
		}
	}
}

// The cluster and its data path on an underlay that has no IPv4: names, virtual addresses and ports of both families, and all heals.
func TestE2EIPv6Underlay(t *testing.T) {
	c := dual(t, lab.Underlay{IPv6Only: true})
	c.must("n1", "service", "create", "--name", "web", "--replicas", "3", "--network", "app", "--publish", "8080:80", "--", "swarmnet", "whoami")
	for _, n := range []string{"n1", "n2", "n3"} {
		c.answers(web6(n), 10*time.Second)
		if tasks := c.sees(lab.Outside, lab.Addr6(lab.Outside), 60, web6(n)); len(tasks) != 3 {
			t.Errorf("through %s %v answered", n, tasks)
		}
	}
	c.box("box", "--network", "app")
	for _, typ := range []string{"A", "AAAA"} {
		vip := netip.MustParseAddr(c.resolve("box", "web", "--type", typ).Answers[0])
		if tasks, _ := tally(t, decode[[]probe.Reply](t, c.inside("box", "swarmnet", "probe", "ask", "--count", "30", "http://"+at6(vip, 80)))); len(tasks) != 3 {
			t.Errorf("%s: %v answered, want three tasks over VXLAN", vip, tasks)
		}
	}
	// Outer headers of IPv6 take 20 octets more: the MTU says so, and what fills it gets through, both ways.
	for _, i := range c.stack("box").Interfaces {
		if i.Name == "eth0" && i.MTU != 1430 {
			t.Errorf("the MTU is %d, want 1430", i.MTU)
		}
	}
	for _, a := range c.resolve("box", "tasks.web", "--type", "AAAA").Answers {
		url := "http://" + at6(netip.MustParseAddr(a), 80) + "/bytes/3000000"
		if d := decode[probe.Download](t, c.inside("box", "swarmnet", "probe", "fetch", "--octets", "3000000", url)); d.Err != "" {
			t.Errorf("%s: %+v", url, d)
		}
	}
	for _, v := range []string{"n2", "n3"} {
		checks, status := c.look(v, "doctor")
		if status != 0 || !slices.ContainsFunc(checks, func(f verdict) bool { return f.Check == "node" && strings.Contains(f.Found, "[2001:db8::1]:4789") }) {
			t.Errorf("doctor on %s: %d %+v", v, status, checks)
		}
	}
	c.agree(10*time.Second, "n1", "n2", "n3")
	// An admin from elsewhere, over IPv6.
	admin := filepath.Join(c.Dir(), "admin")
	c.must("n1", "cluster", "admin-cert", "-o", admin)
	if got := c.must(lab.Outside, "--host", at6(lab.Addr6("n2"), 4747), "--cert-path", admin, "node", "ls", "-q"); strings.Count(got, "\n") != 2 {
		t.Errorf("node ls from outside: %q", got)
	}
	if err := c.Kill("n3"); err != nil {
		t.Fatal(err)
	}
	c.spread("web", 3, func(onN3 int) bool { return onN3 == 0 })
	labtest.Eventually(t, 20*time.Second, "n1 to lead to what lives alone", func() error {
		for _, r := range c.ask(10, web6("n1")) {
			if r.Err != "" {
				return fmt.Errorf("%s", r.Err)
			}
		}
		return nil
	})
	if err := c.Start(t.Context(), "n3"); err != nil {
		t.Fatal(err)
	}
	c.answers(web6("n3"), 30*time.Second)
}

// The demo over IPv6 comes out as it says.
func TestE2EDemoIPv6(t *testing.T) {
	name := labtest.Name(t)
	before := labtest.Snapshot(name)
	out, err := exec.Command(binary, "lab", "demo", "--ipv6", "--name", name).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "everything checked out") || !strings.Contains(string(out), "http://[2001:db8::1]:8080") {
		t.Errorf("lab demo --ipv6: %v\n%s", err, out)
	}
	labtest.Unchanged(t, name, before)
}
