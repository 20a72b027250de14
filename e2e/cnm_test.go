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

// The tests of this file and of the two beside it are named after the behaviours that they show (C01 …). Most of them are about one host that is in no cluster.

// hosts is a lab of so many nodes, each with a daemon, in no cluster.
func hosts(t *testing.T, count int, daemonArgs ...string) cluster {
	t.Helper()
	c := cluster{labtest.Up(t, lab.Config{Binary: binary, Managers: count, NoCluster: true}), t}
	for i := range count {
		if err := c.Start(t.Context(), fmt.Sprintf("n%d", i+1), daemonArgs...); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// box makes a sandbox on n1 that sleeps.
func (c cluster) box(name string, flags ...string) {
	c.t.Helper()
	c.must("n1", append(append([]string{"run", "-d", "--name", name}, flags...), "--", "sleep", "100000")...)
}

// inside runs a command in a sandbox of n1 and returns its output.
func (c cluster) inside(name string, command ...string) string {
	c.t.Helper()
	return c.must("n1", append([]string{"exec", name, "--"}, command...)...)
}

func (c cluster) stack(name string) probe.Stack {
	c.t.Helper()
	return decode[probe.Stack](c.t, c.inside(name, "swarmnet", "probe", "stack"))
}

// interfaces of a sandbox but its loopback: name → addresses.
func (c cluster) interfaces(name string) map[string][]string {
	c.t.Helper()
	out := map[string][]string{}
	for _, i := range c.stack(name).Interfaces {
		if i.Name != "lo" {
			out[i.Name] = slices.DeleteFunc(i.Addrs, func(a string) bool { return strings.HasPrefix(a, "fe80:") })
		}
	}
	return out
}

// gateway is where a sandbox's default route goes; empty: nowhere.
func (c cluster) gateway(name string) string {
	c.t.Helper()
	for _, r := range c.stack(name).Routes {
		if r.To == "0.0.0.0/0" {
			return r.Gateway
		}
	}
	return ""
}

// resolve asks a sandbox's own resolver.
func (c cluster) resolve(box, name string, flags ...string) probe.Resolved {
	c.t.Helper()
	return decode[probe.Resolved](c.t, c.inside(box, append([]string{"swarmnet", "probe", "dns", name}, flags...)...))
}

// names fails the test unless a sandbox's resolver gives just these addresses; none is NXDOMAIN or an empty answer.
func (c cluster) names(box, name string, want ...string) {
	c.t.Helper()
	if got := c.resolve(box, name).Answers; !slices.Equal(got, append([]string{}, want...)) {
		c.t.Errorf("in %s %s resolves to %v, want %v", box, name, got, want)
	}
}

// addr is the address of a sandbox of n1 on one of its networks.
func (c cluster) addr(name, network string) string {
	c.t.Helper()
	for _, h := range c.holders(network) {
		if h.Name == name {
			return h.Address
		}
	}
	c.t.Fatalf("%s has no address on %s", name, network)
	return ""
}

type holderRow struct{ Address, Kind, Name string }

func (c cluster) holders(network string) []holderRow {
	c.t.Helper()
	nets := decode[[]struct{ Holders []holderRow }](c.t, c.must("n1", "network", "inspect", "-v", network))
	return nets[0].Holders
}

func TestE2EC01Predefined(t *testing.T) {
	c := hosts(t, 1)
	if got := c.must("n1", "network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"); got != "bridge bridge node\nhost host node\nnone none node" {
		t.Errorf("a fresh node has the networks %q", got)
	}
	for _, name := range []string{"bridge", "host", "none"} {
		c.refused("n1", 1, []string{name, "predefined"}, "network", "rm", name)
		c.refused("n1", 1, []string{name}, "network", "create", name)
	}
}

func TestE2EC02Scopes(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "mynet")
	if got := c.must("n1", "network", "ls", "--filter", "name=mynet", "--format", "{{.Driver}} {{.Scope}}"); got != "bridge node" {
		t.Errorf("network create made %q", got)
	}
	c.refused("n1", 1, []string{"swarmnet cluster init", "swarmnet cluster join"}, "network", "create", "-d", "overlay", "app")
	c.must("n1", "cluster", "init")
	c.must("n1", "network", "create", "-d", "overlay", "app")
	if got := c.must("n1", "network", "ls", "--filter", "scope=cluster", "--filter", "name=app", "--format", "{{.Driver}}"); got != "overlay" {
		t.Errorf("network create -d overlay made %q", got)
	}
}

func TestE2EC03NamesOfNetworks(t *testing.T) {
	c := hosts(t, 2)
	c.must("n1", "cluster", "init")
	c.must("n2", "cluster", "join", "--token", c.must("n1", "cluster", "join-token", "-q", "manager"), lab.Addr("n1").String()+":4747")
	c.must("n1", "network", "create", "one")
	c.must("n1", "network", "create", "-d", "overlay", "two")
	c.refused("n1", 1, []string{"one"}, "network", "create", "one")
	c.refused("n1", 1, []string{"one"}, "network", "create", "-d", "overlay", "one")
	c.refused("n1", 1, []string{"two"}, "network", "create", "two")
	c.refused("n1", 1, []string{"two"}, "network", "create", "-d", "overlay", "two")
	// Another node may have a network of its own of one name: they are apart.
	if a, b := c.must("n1", "network", "inspect", "--format", "{{.ID}}", "one"), c.must("n2", "network", "create", "one"); a == b {
		t.Errorf("the networks of two nodes are one: %s", a)
	}
	c.must("n2", "network", "rm", "one")
	c.must("n1", "network", "inspect", "one")
}

func TestE2EC04Subnets(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "--subnet", "10.9.0.0/24", "one")
	before := c.must("n1", "network", "ls", "-q")
	for _, b := range []struct {
		status int
		flags  string
		pieces []string
	}{
		{2, "--subnet 10.8.0.1/24", []string{"10.8.0.0/24"}},
		{2, "--subnet 10.8.0.0/24 --gateway 10.7.0.1", []string{"10.7.0.1", "outside the subnet 10.8.0.0/24"}},
		{2, "--subnet 10.8.0.0/24 --ip-range 10.7.0.0/25", []string{"10.7.0.0/25", "outside the subnet 10.8.0.0/24"}},
		{2, "--subnet 10.8.0.0/24 --aux-address r=10.7.0.9", []string{"10.7.0.9", "outside the subnet 10.8.0.0/24"}},
		{1, "--subnet 10.9.0.0/16", []string{"overlaps", "one"}},
		{1, "--subnet 192.0.2.128/25", []string{"overlaps", "192.0.2.0/24"}}, // the underlay
	} {
		c.refused("n1", b.status, b.pieces, append(append([]string{"network", "create"}, strings.Fields(b.flags)...), "other")...)
	}
	if after := c.must("n1", "network", "ls", "-q"); after != before {
		t.Errorf("something changed: before %q, after %q", before, after)
	}
}

func TestE2EC05Addresses(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "--subnet", "10.9.0.0/24", "--ip-range", "10.9.0.8/29", "--aux-address", "router=10.9.0.10", "one")
	addrs := func(names ...string) []string {
		var out []string
		for _, n := range names {
			out = append(out, c.addr(n, "one"))
		}
		return out
	}
	c.box("a", "--network", "one")
	c.box("b", "--network", "one")
	c.box("c", "--network", "one")
	if got, want := addrs("a", "b", "c"), []string{"10.9.0.8", "10.9.0.9", "10.9.0.11"}; !slices.Equal(got, want) {
		t.Errorf("the first three have %v, want %v: ascending from the range on, without the auxiliary address", got, want)
	}
	c.must("n1", "rm", "-f", "a")
	c.box("d", "--network", "one")
	if got := c.addr("d", "one"); got != "10.9.0.12" {
		t.Errorf("after 10.9.0.8 was freed the next has %s, want 10.9.0.12: what was freed last is given out last", got)
	}
	for _, n := range []string{"e", "f", "g"} { // 13, 14, 15: the range is full but for the freed one
		c.box(n, "--network", "one")
	}
	c.box("h", "--network", "one")
	if got := c.addr("h", "one"); got != "10.9.0.8" {
		t.Errorf("the last of the range is %s, want 10.9.0.8", got)
	}
	c.refused("n1", 125, []string{"one"}, "run", "-d", "--network", "one", "--", "sleep", "1")
}

func TestE2EC06RemoveAndPrune(t *testing.T) {
	c := hosts(t, 1)
	for _, n := range []string{"used", "stopped", "idle"} {
		c.must("n1", "network", "create", n)
	}
	c.box("a", "--network", "used")
	c.box("b", "--network", "used")
	c.box("c", "--network", "stopped")
	c.must("n1", "stop", "-t", "0", "c")
	c.refused("n1", 1, []string{"used", "a", "b"}, "network", "rm", "used")
	c.refused("n1", 1, []string{"stopped", "c"}, "network", "rm", "stopped")
	if got := c.must("n1", "network", "prune", "--force"); got != "Deleted Networks:\nidle" {
		t.Errorf("prune says %q", got)
	}
	if got := c.must("n1", "network", "ls", "--format", "{{.Name}}"); got != "bridge\nhost\nnone\nstopped\nused" {
		t.Errorf("left are %q", got)
	}
	c.must("n1", "rm", "-f", "a", "b")
	c.must("n1", "network", "rm", "used")
}

func TestE2EC07HostStack(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "run", "-d", "--name", "web", "--network", "host", "--", "swarmnet", "whoami")
	own := decode[probe.Stack](t, c.must("n1", "probe", "stack"))
	if got := c.stack("web"); fmt.Sprint(got) != fmt.Sprint(own) {
		t.Errorf("on the host's stack %+v, want the host's %+v", got, own)
	}
	if got := c.must("n1", "inspect", "--format", "{{len .Endpoints}}", "web"); got != "0" {
		t.Errorf("it has %s endpoints", got)
	}
	c.answers("http://"+lab.Addr("n1").String(), 5*time.Second)
	r, err := c.Run(t.Context(), "n1", "swarmnet", "run", "--rm", "--network", "host", "--", "swarmnet", "whoami")
	if err != nil || r.Code == 0 || !strings.Contains(r.Stdout+r.Stderr, "in use") {
		t.Errorf("a second server on the port: %+v %v", r, err)
	}
	c.must("n1", "network", "create", "mynet")
	c.refused("n1", 1, []string{"host"}, "network", "connect", "mynet", "web")
	c.box("other", "--network", "mynet")
	c.refused("n1", 1, []string{"host"}, "network", "connect", "host", "other")
	c.refused("n1", 1, []string{"host"}, "network", "disconnect", "host", "web")
}

func TestE2EC08None(t *testing.T) {
	c := hosts(t, 1)
	c.box("a", "--network", "none")
	s := c.stack("a")
	if len(s.Interfaces) != 1 || s.Interfaces[0].Name != "lo" || !s.Interfaces[0].Up || len(s.Routes) != 0 {
		t.Errorf("on none: %+v", s)
	}
	c.must("n1", "network", "create", "mynet")
	c.must("n1", "network", "connect", "mynet", "a")
	if got := c.interfaces("a"); len(got) != 1 {
		t.Errorf("once connected it has %v", got)
	}
	if c.gateway("a") == "" {
		t.Error("once connected it has no default route")
	}
}
