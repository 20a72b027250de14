package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// hosts6 are so many hosts with IPv6, each with a daemon, in no cluster.
func hosts6(t *testing.T, count int) cluster {
	t.Helper()
	c := cluster{labtest.Up(t, lab.Config{Binary: binary, Managers: count, NoCluster: true, Underlay: lab.Underlay{IPv6: true}}), t}
	for i := range count {
		if err := c.Start(t.Context(), fmt.Sprintf("n%d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// six is the IPv6 address of a sandbox of n1 that has one interface.
func (c cluster) six(box string) netip.Addr {
	c.t.Helper()
	for _, a := range c.interfaces(box)["eth0"] {
		if p := netip.MustParsePrefix(a); p.Addr().Is6() {
			return p.Addr()
		}
	}
	c.t.Fatalf("%s has no IPv6 address: %v", box, c.interfaces(box))
	return netip.Addr{}
}

// --ipv6 alone is enough for a network of either kind; what cannot be is refused whole, in one line.
func TestE2EC04IPv6(t *testing.T) {
	c := hosts6(t, 1)
	c.must("n1", "network", "create", "--ipv6", "any")
	c.must("n1", "network", "create", "--ipv6", "--subnet", "fd00:7::/64", "--gateway", "fd00:7::ffff", "--ip-range", "fd00:7::8000:0:0:0/66",
		"--aux-address", "nas=fd00:7::8000:0:0:1", "named")
	for name, is := range map[string]netip.Prefix{"any": netip.MustParsePrefix("fd00::/8"), "named": netip.MustParsePrefix("fd00:7::/64")} {
		got := decode[[]struct {
			Subnets []struct{ Prefix netip.Prefix }
		}](t, c.must("n1", "network", "inspect", name))[0].Subnets
		if len(got) != 2 || !got[0].Prefix.Addr().Is4() || got[1].Prefix.Bits() != 64 || !is.Contains(got[1].Prefix.Addr()) {
			t.Errorf("network %s has the subnets %v", name, got)
		}
	}
	for _, r := range []struct {
		says []string
		args []string
	}{
		{[]string{"bits set beyond its length", "fd00:8::/64"}, []string{"--ipv6", "--subnet", "fd00:8::1/64"}},
		{[]string{"outside", "fd00:9::1"}, []string{"--ipv6", "--subnet", "fd00:8::/64", "--gateway", "fd00:9::1"}},
		{[]string{"outside", "fd00:9::/80"}, []string{"--ipv6", "--subnet", "fd00:8::/64", "--ip-range", "fd00:9::/80"}},
		{[]string{"outside", "fd00:9::1"}, []string{"--ipv6", "--subnet", "fd00:8::/64", "--aux-address", "nas=fd00:9::1"}},
		{[]string{"overlaps", "network named"}, []string{"--ipv6", "--subnet", "fd00:7::/48"}},
		{[]string{"overlaps", "route to 2001:db8::/64"}, []string{"--ipv6", "--subnet", "2001:db8::/80"}},
		{[]string{"--ipv6"}, []string{"--subnet", "fd00:8::/64"}},
		{[]string{"without IPv4", "--ipv6"}, []string{"--ipv4=false", "--ipv6"}},
		{[]string{"at most one subnet of each family"}, []string{"--ipv6", "--subnet", "fd00:8::/64", "--subnet", "fd00:9::/64"}},
		{[]string{"1280"}, []string{"--ipv6", "--opt", "mtu=1200"}},
	} {
		status := 1
		if r.says[0] == "outside" || r.says[0] == "bits set beyond its length" { // wrong as they are typed
			status = 2
		}
		c.refused("n1", status, r.says, append(append([]string{"network", "create"}, r.args...), "x")...)
	}
	// 2^64 addresses, the first of the range that is nobody's; a fixed one, and one that is taken.
	c.box("a", "--network", "named")
	c.box("b", "--network", "named")
	c.box("f", "--network", "named", "--ip6", "fd00:7::beef")
	for box, want := range map[string]string{"a": "fd00:7:0:0:8000::", "b": "fd00:7:0:0:8000::2", "f": "fd00:7::beef"} {
		if got := c.six(box); got != netip.MustParseAddr(want) {
			t.Errorf("%s is at %s, want %s", box, got, want)
		}
	}
	for a, says := range map[string]string{"fd00:7::beef": "sandbox f", "fd00:7::ffff": "gateway", "fd00:9::1": "outside network named", "10.0.0.1": "not an IPv6 address"} {
		status := 125
		c.refused("n1", status, []string{a, says}, "run", "-d", "--name", "x", "--network", "named", "--ip6", a, "--", "sleep", "1000")
	}
	c.refused("n1", 125, []string{"fd00:7::1", "outside"}, "run", "-d", "--name", "x", "--ip6", "fd00:7::1", "--", "sleep", "1000") // the default bridge has none
}

// What the kernel does by itself on an IPv6 interface is off: our addresses are unique, and nobody else is asked. They can be used at once.
func TestE2EC20IPv6Sysctls(t *testing.T) {
	c := hosts6(t, 1)
	c.must("n1", "network", "create", "--ipv6", "dual")
	c.must("n1", "network", "create", "four")
	c.whoami("web", "--network", "dual")
	// The first thing that a sandbox does needs its address: no time passes until it is set up, no detection of duplicates goes on.
	url := "http://" + at6(c.six("web"), 80)
	for range 5 {
		r := decode[[]probe.Reply](t, c.must("n1", "run", "--rm", "--network", "dual", "--", "swarmnet", "probe", "ask", url))[0]
		if r.Err != "" || r.Answer.Task != "web" {
			t.Errorf("at once: %+v", r)
		}
	}
	c.box("box", "--network", "dual", "--network", "four")
	for key, want := range map[string]string{
		"eth0/accept_dad": "0", "eth0/accept_ra": "0", "eth0/forwarding": "0", "eth0/disable_ipv6": "0", "all/disable_ipv6": "0", "lo/disable_ipv6": "0", "eth1/disable_ipv6": "1",
	} {
		if got := strings.TrimSpace(c.inside("box", "cat", "/proc/sys/net/ipv6/conf/"+key)); got != want {
			t.Errorf("net.ipv6.conf.%s is %s, want %s", strings.ReplaceAll(key, "/", "."), got, want)
		}
	}
	if got := c.inside("box", "cat", "/proc/net/if_inet6"); strings.Contains(got, "eth1") {
		t.Errorf("an interface without an IPv6 subnet has IPv6 addresses: %s", got)
	}
	// A network with IPv6 may come later.
	c.box("spare", "--network", "four")
	c.must("n1", "network", "connect", "dual", "spare")
	if got := c.resolve("box", "spare", "--type", "AAAA").Answers; len(got) != 1 {
		t.Errorf("spare is at %v", got)
	}
	if got := strings.TrimSpace(c.inside("spare", "cat", "/proc/sys/net/ipv6/conf/eth1/disable_ipv6")); got != "0" {
		t.Errorf("net.ipv6.conf.eth1.disable_ipv6 is %s", got)
	}
}

// A published port of a sandbox by every address of the host, of both families, and by loopback; from the host, from outside, from another sandbox, from itself.
func TestE2EC30IPv6(t *testing.T) {
	c := hosts6(t, 2)
	c.must("n1", "network", "create", "--ipv6", "lan")
	c.must("n1", "network", "create", "--ipv6", "dmz")
	c.whoami("web", "--network", "lan", "-p", "8080:80", "-p", "8080:80/udp", "-p", "[2001:db8::1]:8081:80", "-p", "[::1]:8082:80", "-p", "192.0.2.1:8083:80")
	c.box("far", "--network", "dmz")
	n1, outside, link, far := lab.Addr6("n1"), lab.Addr6(lab.Outside), netip.MustParseAddr("fd00:5377:6d00::1"), c.six("far")
	c.answers("http://"+at6(n1, 8080), 10*time.Second)
	for _, who := range []struct {
		from, box string
		to, seen  netip.Addr
	}{
		{lab.Outside, "", n1, outside}, {"n2", "", n1, lab.Addr6("n2")}, {"n1", "", n1, n1}, {"n1", "", netip.IPv6Loopback(), link}, {"n1", "", link, link},
		{"n1", "far", n1, far}, {"n1", "web", n1, netip.Addr{}},
	} {
		for _, how := range [][]string{{"ask", "http://" + at6(who.to, 8080)}, {"udp", at6(who.to, 8080)}} {
			args := append([]string{"probe"}, how...)
			if who.box != "" {
				args = append([]string{"exec", who.box, "--", "swarmnet"}, args...)
			}
			r := decode[[]probe.Reply](t, c.must(who.from, args...))[0]
			ap, err := netip.ParseAddrPort(r.Answer.Client)
			if r.Err != "" || err != nil || who.seen.IsValid() && ap.Addr() != who.seen {
				t.Errorf("%s%s %v: %+v, want to be seen as %s", who.from, who.box, how, r, who.seen)
			}
		}
	}
	refused := func(from, url string) {
		t.Helper()
		if r := decode[[]probe.Reply](t, c.must(from, "probe", "ask", url))[0]; !strings.Contains(r.Err, "refused") {
			t.Errorf("%s asking %s: %+v, want it refused", from, url, r)
		}
	}
	c.sees(lab.Outside, outside, 1, "http://"+at6(n1, 8081))
	refused("n1", "http://[::1]:8081")
	c.sees("n1", link, 1, "http://[::1]:8082")
	refused(lab.Outside, "http://"+at6(n1, 8082))
	refused(lab.Outside, "http://"+at6(n1, 8083))
	if got := c.must("n1", "port", "web", "80/tcp"); !strings.Contains(got, "[::]:8080") || !strings.Contains(got, "[2001:db8::1]:8081") || !strings.Contains(got, "[::1]:8082") {
		t.Errorf("port prints %q", got)
	}
	c.must("n1", "rm", "-f", "web")
	labtest.Eventually(t, 5*time.Second, "the ports to be free", func() error {
		if r := c.ask(1, "http://"+at6(n1, 8080))[0]; !strings.Contains(r.Err, "refused") {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

// A sandbox gets out under the host's address of the family, if the network lets it.
func TestE2EC10IPv6Egress(t *testing.T) {
	c := hosts6(t, 1)
	c.start(lab.Outside, "whoami", "--port", "9090")
	c.must("n1", "network", "create", "--ipv6", "lan")
	c.must("n1", "network", "create", "--ipv6", "--internal", "inner")
	c.box("box", "--network", "lan")
	c.box("in", "--network", "inner")
	url := "http://" + at6(lab.Addr6(lab.Outside), 9090)
	labtest.Eventually(t, 10*time.Second, "the sandbox to reach outside", func() error {
		r := decode[[]probe.Reply](t, c.inside("box", "swarmnet", "probe", "ask", url))[0]
		if ap, err := netip.ParseAddrPort(r.Answer.Client); r.Err != "" || err != nil || ap.Addr() != lab.Addr6("n1") {
			return fmt.Errorf("%+v, want to be seen as %s", r, lab.Addr6("n1"))
		}
		return nil
	})
	if r := decode[[]probe.Reply](t, c.inside("in", "swarmnet", "probe", "ask", "--timeout", "1s", url))[0]; r.Err == "" {
		t.Errorf("from an internal network: %+v", r)
	}
	if got := c.six("in"); !netip.MustParsePrefix("fd00::/8").Contains(got) {
		t.Errorf("a member of the internal network is at %s", got)
	}
}

// A name that exists has no AAAA record on a network without IPv6: that is an empty answer, and nobody else is asked. On a network with both it has both.
func TestE2EC43IPv6(t *testing.T) {
	c := hosts6(t, 1)
	c.must("n1", "network", "create", "four")
	c.must("n1", "network", "create", "--ipv6", "dual")
	c.box("a", "--network", "four", "--network", "dual", "--network-alias", "al")
	c.box("b", "--network", "four")
	c.box("d", "--network", "dual")
	for _, q := range []struct {
		box, name, typ string
		count          int
	}{
		{"a", "b", "AAAA", 0}, {"a", "b", "A", 1}, {"a", "d", "AAAA", 1}, {"a", "d", "A", 1}, {"b", "a", "AAAA", 0}, {"d", "a", "AAAA", 1}, {"d", "a.dual", "AAAA", 1},
		{"d", "D", "AAAA", 1}, {"d", arpa(c.six("d")), "PTR", 1},
	} {
		got := c.resolve(q.box, q.name, "--type", q.typ)
		if got.Rcode != "NOERROR" || len(got.Answers) != q.count {
			t.Errorf("%s of %s in %s: %+v, want %d", q.typ, q.name, q.box, got, q.count)
		}
	}
	if got := c.resolve("a", arpa(c.six("d")), "--type", "PTR").Answers; !slices.Equal(got, []string{"d.dual."}) {
		t.Errorf("d's address is %v", got)
	}
}

// macvlan with both families: outside reaches a sandbox directly, and finds the next one that has its address at once, by another Ethernet address.
func TestE2EC09IPv6(t *testing.T) {
	c := hosts6(t, 1)
	create := []string{"network", "create", "-d", "macvlan", "--opt", "parent=eth0", "--ipv6", "--subnet", "2001:db8::/64", "--gateway", "2001:db8::ffff", "--ip-range", "2001:db8::8000:0/112"}
	c.refused("n1", 1, []string{"IPv4", "--subnet"}, append(create, "m")...)
	c.must("n1", append(create, "--subnet", "192.0.2.0/24", "--gateway", "192.0.2.99", "--ip-range", "192.0.2.128/25", "m")...)
	for i, mac := range []string{"02:aa:00:00:00:01", "02:aa:00:00:00:02"} {
		name := fmt.Sprint("web", i)
		c.must("n1", "run", "-d", "--name", name, "--network", "m", "--ip", "192.0.2.200", "--ip6", "2001:db8::beef", "--mac-address", mac, "--", "swarmnet", "whoami")
		for _, url := range []string{"http://192.0.2.200", "http://[2001:db8::beef]"} {
			// What outside has cached is good for 15 s at least, unless it is told otherwise.
			c.answers(url, 10*time.Second)
			if r := c.ask(1, url)[0]; r.Answer.Task != name {
				t.Errorf("%s: %+v, want %s", url, r, name)
			}
		}
		c.must("n1", "rm", "-f", name)
	}
}

// A name server at an IPv6 address: of the sandbox's own, asked from it, and of the daemon, asked from the host.
func TestE2EC47IPv6(t *testing.T) {
	server := lab.Addr6(lab.Outside)
	c := cluster{labtest.Up(t, lab.Config{Binary: binary, Managers: 1, NoCluster: true, Underlay: lab.Underlay{IPv6Only: true}}), t}
	if err := c.Start(t.Context(), "n1", "--dns", server.String()); err != nil {
		t.Fatal(err)
	}
	upstream := c.nameserver(lab.Outside, "far.example=2001:db8::7")
	c.must("n1", "network", "create", "--ipv6", "lan")
	c.box("own", "--network", "lan", "--dns", server.String())
	c.box("plain", "--network", "lan")
	for _, box := range []string{"own", "plain"} {
		if got := c.resolve(box, "far.example", "--type", "AAAA"); !slices.Equal(got.Answers, []string{"2001:db8::7"}) {
			t.Errorf("%s: %+v", box, got)
		}
	}
	if got := upstream.asked("far.example."); len(got) == 0 || !strings.HasPrefix(got[0].From, "["+lab.Addr6("n1").String()+"]:") {
		t.Errorf("the name server was asked %+v", got)
	}
}

// A fixed address of a live connection, and names of both families that come and go with it.
func TestE2EC21IPv6(t *testing.T) {
	c := hosts6(t, 1)
	c.must("n1", "network", "create", "one")
	c.must("n1", "network", "create", "--ipv6", "--subnet", "fd00:21::/64", "two")
	c.whoami("web", "--network", "one")
	c.box("box", "--network", "two")
	c.refused("n1", 1, []string{"fd00:21::1", "gateway"}, "network", "connect", "--ip6", "fd00:21::1", "two", "web")
	for range 2 {
		c.must("n1", "network", "connect", "--ip6", "fd00:21::77", "--alias", "al", "two", "web")
		for _, name := range []string{"web", "al"} {
			if got := c.resolve("box", name, "--type", "AAAA").Answers; !slices.Equal(got, []string{"fd00:21::77"}) {
				t.Errorf("%s resolves to %v", name, got)
			}
		}
		if got := c.asks("box", "http://[fd00:21::77]"); got != "web" {
			t.Errorf("%q answers at once", got)
		}
		c.must("n1", "network", "disconnect", "two", "web")
		if got := c.resolve("box", "web", "--type", "AAAA"); len(got.Answers) != 0 {
			t.Errorf("after disconnect web resolves to %v", got.Answers)
		}
	}
}
