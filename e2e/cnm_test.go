package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// The tests of this file are named after the behaviours that they show (C01 …). Most of them are about one host that is in no cluster.

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

func TestE2EC20SeveralNetworks(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "--subnet", "10.9.1.0/24", "alpha")
	c.must("n1", "network", "create", "--subnet", "10.9.2.0/24", "beta")
	c.must("n1", "network", "create", "--subnet", "10.9.3.0/24", "gamma")
	c.box("a", "--network", "beta", "--network", "alpha")
	if got := c.interfaces("a"); len(got) != 2 {
		t.Errorf("interfaces %v, want one for each network", got)
	}
	if got := c.must("n1", "inspect", "--format", "{{len .Endpoints}}", "a"); got != "2" {
		t.Errorf("%s endpoints, want one for each network", got)
	}
	if got := c.gateway("a"); got != "10.9.1.1" {
		t.Errorf("the default route goes to %s, want alpha's: the first by name", got)
	}
	c.must("n1", "network", "connect", "--gw-priority", "5", "gamma", "a")
	if got := c.gateway("a"); got != "10.9.3.1" {
		t.Errorf("the default route goes to %s, want gamma's: it has the highest priority", got)
	}
	c.refused("n1", 1, []string{"a", "gamma", "already"}, "network", "connect", "gamma", "a")
	c.must("n1", "network", "disconnect", "gamma", "a")
	if got := c.gateway("a"); got != "10.9.1.1" {
		t.Errorf("the default route goes to %s, want alpha's again", got)
	}
}

func TestE2EC21ConnectLive(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "one")
	c.must("n1", "network", "create", "--subnet", "10.9.2.0/24", "two")
	c.must("n1", "run", "-d", "--name", "web", "--network", "one", "--", "swarmnet", "whoami")
	c.box("a", "--network", "one")
	c.box("b", "--network", "two")
	// A download over the network that stays, while the other comes and goes.
	const octets = 4 << 20
	var (
		wg sync.WaitGroup
		d  probe.Download
	)
	wg.Go(func() {
		out, err := c.Swarmnet(t.Context(), "n1", "exec", "a", "--", "swarmnet", "probe", "fetch", "--octets", fmt.Sprint(octets), "--pace", fmt.Sprint(octets/3), fmt.Sprintf("http://web/bytes/%d", octets))
		if err == nil {
			err = json.Unmarshal([]byte(out), &d)
		}
		if err != nil {
			d.Err = err.Error()
		}
	})
	for range 3 {
		c.must("n1", "network", "connect", "--alias", "nick", "--ip", "10.9.2.77", "two", "a")
		if got := c.interfaces("a"); len(got) != 2 {
			t.Errorf("connected, the interfaces are %v", got)
		}
		c.names("b", "nick", "10.9.2.77")
		c.names("b", "a", "10.9.2.77")
		c.must("n1", "network", "disconnect", "two", "a")
		if got := c.interfaces("a"); len(got) != 1 {
			t.Errorf("disconnected, the interfaces are %v", got)
		}
		c.names("b", "nick")
		c.names("b", "a")
	}
	wg.Wait()
	if d.Err != "" || d.Octets != octets {
		t.Errorf("the download over the network that stayed: %+v", d)
	}
	// On a stopped one it applies at its start.
	c.must("n1", "stop", "-t", "0", "a")
	c.must("n1", "network", "connect", "two", "a")
	c.must("n1", "network", "disconnect", "one", "a")
	c.must("n1", "start", "a")
	if got := fmt.Sprint(c.interfaces("a")); !strings.Contains(got, "10.9.2.") || len(c.interfaces("a")) != 1 {
		t.Errorf("after the start the interfaces are %v", got)
	}
}

func TestE2EC22FixedAddresses(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "--subnet", "10.9.0.0/24", "one")
	c.box("a", "--network", "one", "--ip", "10.9.0.77")
	c.box("b", "--network", "one")
	dynamic := c.addr("b", "one")
	before := c.must("n1", "ps", "-a", "-q")
	c.refused("n1", 125, []string{"10.8.0.1", "10.9.0.0/24"}, "run", "-d", "--network", "one", "--ip", "10.8.0.1", "--", "sleep", "1")
	c.refused("n1", 125, []string{"10.9.0.77", "a"}, "run", "-d", "--network", "one", "--ip", "10.9.0.77", "--", "sleep", "1")
	if after := c.must("n1", "ps", "-a", "-q"); after != before {
		t.Errorf("something was left of what was refused: %q, before %q", after, before)
	}
	for _, n := range []string{"a", "b"} {
		c.must("n1", "stop", "-t", "0", n)
	}
	c.box("c", "--network", "one")
	for _, n := range []string{"b", "a"} {
		c.must("n1", "start", n)
	}
	if got := fmt.Sprint(c.addr("a", "one"), " ", c.interfaces("a")); !strings.HasPrefix(got, "10.9.0.77 ") || !strings.Contains(got, "10.9.0.77/24") {
		t.Errorf("after a restart the fixed address is %s", got)
	}
	if got := c.addr("b", "one"); got != dynamic {
		t.Errorf("after a restart the dynamic address is %s, before %s", got, dynamic)
	}
}

func TestE2EC23SharedStack(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "one")
	c.must("n1", "run", "-d", "--name", "web", "--network", "one", "--", "swarmnet", "whoami")
	c.box("peer", "--network", "one")
	c.box("side", "--network", "container:web")
	if own, shared := c.stack("web"), c.stack("side"); fmt.Sprint(own) != fmt.Sprint(shared) {
		t.Errorf("the sharer's stack is %+v, the owner's %+v", shared, own)
	}
	reply := decode[[]probe.Reply](t, c.inside("side", "swarmnet", "probe", "ask", "http://127.0.0.1"))
	if reply[0].Err != "" {
		t.Errorf("the owner's port on loopback: %+v", reply[0])
	}
	c.names("side", "peer", c.addr("peer", "one"))
	if own, shared := c.inside("web", "cat", "/etc/resolv.conf"), c.inside("side", "cat", "/etc/resolv.conf"); own != shared {
		t.Errorf("the sharer's resolver is %q, the owner's %q", shared, own)
	}
	for _, flags := range []string{"--publish 80", "--dns 192.0.2.1", "--hostname x", "--network-alias x"} {
		c.refused("n1", 125, []string{strings.Fields(flags)[0], "container:web"},
			append(append([]string{"run", "-d", "--network", "container:web"}, strings.Fields(flags)...), "--", "sleep", "1")...)
	}
	before := fmt.Sprint(c.stack("side"))
	c.must("n1", "stop", "-t", "0", "web")
	if after := fmt.Sprint(c.stack("side")); after != before {
		t.Errorf("when the owner has stopped the sharer has %s, before %s", after, before)
	}
	if got := c.must("n1", "ps", "--filter", "name=side", "--format", "{{.Status}}"); !strings.Contains(got, "web") || !strings.Contains(got, "stopped") {
		t.Errorf("ps says %q of the sharer", got)
	}
}

func TestE2EC24Exec(t *testing.T) {
	c := hosts(t, 1)
	c.must("n1", "network", "create", "one")
	c.box("a", "--network", "one", "--hostname", "ay", "--add-host", "far:192.0.2.99")
	if got := c.inside("a", "cat", "/etc/hosts"); !strings.Contains(got, "192.0.2.99") || !strings.Contains(got, c.addr("a", "one")) {
		t.Errorf("the hosts file inside is %q", got)
	}
	if got := c.inside("a", "cat", "/etc/resolv.conf"); !strings.Contains(got, "nameserver 127.0.0.11") {
		t.Errorf("the resolver inside is %q", got)
	}
	for _, e := range []struct {
		want   int
		script string
	}{{0, "exit 0"}, {7, "exit 7"}, {137, "kill -KILL $$"}} {
		r, err := c.Run(t.Context(), "n1", "swarmnet", "exec", "a", "--", "sh", "-c", e.script)
		if err != nil || r.Code != e.want {
			t.Errorf("exec sh -c %q: %+v %v, want status %d", e.script, r, err, e.want)
		}
	}
	for command, want := range map[string]int{"no-such-command": 127, "/etc/hosts": 126} {
		if r, err := c.Run(t.Context(), "n1", "swarmnet", "exec", "a", "--", command); err != nil || r.Code != want || !strings.HasPrefix(r.Stderr, "Error: ") {
			t.Errorf("exec %s: %+v %v, want status %d", command, r, err, want)
		}
	}
	c.refused("n1", 125, []string{"nosuch"}, "exec", "nosuch", "--", "true")
	if got := c.inside("a", "sh", "-c", "test -t 1 || echo none"); got != "none" {
		t.Errorf("without -t there is a terminal: %q", got)
	}
	if got := c.must("n1", "exec", "-t", "a", "--", "sh", "-c", "test -t 0 && test -t 1 && echo both"); got != "both" {
		t.Errorf("with -t there is none: %q", got)
	}
	if got := c.must("n1", "exec", "-e", "A=1", "-w", "/tmp", "a", "--", "sh", "-c", "echo $A; pwd"); got != "1\n/tmp" {
		t.Errorf("with -e and -w: %q", got)
	}
	// A signal goes to the command, which ends as it likes.
	signals := make(chan os.Signal, 1)
	out, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var (
		wg   sync.WaitGroup
		code int
	)
	wg.Go(func() {
		code, err = c.Exec(t.Context(), lab.Command{Node: "n1", Stdout: out, Signals: signals,
			Argv: []string{"swarmnet", "exec", "a", "--", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"}})
	})
	labtest.Eventually(t, 5*time.Second, "the command to run", func() error {
		if b, err := os.ReadFile(out.Name()); err != nil || string(b) != "ready\n" {
			return fmt.Errorf("%q %v", b, err)
		}
		return nil
	})
	signals <- syscall.SIGTERM
	wg.Wait()
	if err != nil || code != 9 {
		t.Errorf("SIGTERM to exec: status %d %v, want the command's 9", code, err)
	}
}

func TestE2EC32Ports(t *testing.T) {
	c := hosts(t, 1)
	web := func(name string, flags ...string) {
		t.Helper()
		c.must("n1", append(append([]string{"run", "-d", "--name", name}, flags...), "--", "swarmnet", "whoami")...)
	}
	web("web", "-p", "8080:80", "-p", "127.0.0.1:9000-9001:80-81", "-p", "5300:53/udp")
	if got, want := c.must("n1", "port", "web"), "53/udp -> 0.0.0.0:5300\n80/tcp -> 0.0.0.0:8080\n80/tcp -> 127.0.0.1:9000\n81/tcp -> 127.0.0.1:9001"; got != want {
		t.Errorf("port: %q, want %q", got, want)
	}
	if got := c.must("n1", "port", "web", "80/tcp"); got != "0.0.0.0:8080\n127.0.0.1:9000" {
		t.Errorf("port 80/tcp: %q", got)
	}
	if got := c.must("n1", "port", "web", "53/udp"); got != "0.0.0.0:5300" {
		t.Errorf("port 53/udp: %q", got)
	}
	c.refused("n1", 1, []string{"82/tcp"}, "port", "web", "82")
	c.answers(web80("n1", 8080), 5*time.Second)
	c.refused("n1", 125, []string{"8080", "web"}, "run", "-d", "-p", "8080:80", "--", "sleep", "1")
	c.must("n1", "stop", "-t", "0", "web")
	if got := c.must("n1", "port", "web"); got != "" {
		t.Errorf("stopped, its ports are %q", got)
	}
	web("any", "-p", "80")
	if got := c.must("n1", "port", "any", "80"); !strings.HasPrefix(got, "0.0.0.0:") || got == "0.0.0.0:0" {
		t.Errorf("a port that was chosen: %q", got)
	}
}

func web80(node string, port int) string { return fmt.Sprintf("http://%s:%d", lab.Addr(node), port) }

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

// nameserver runs a name server on a node until the test ends.
func (c cluster) nameserver(node string, records ...string) *nameserver {
	c.t.Helper()
	n := &nameserver{t: c.t}
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
	t    *testing.T
	mu   sync.Mutex
	text string
}

func (n *nameserver) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text += string(b)
	return len(b), nil
}

func (n *nameserver) asked(name string) []probe.Asked {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(lines[probe.Asked](n.t, n.text), func(a probe.Asked) bool { return a.Name != name })
}
