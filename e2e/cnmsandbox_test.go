package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

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
	c.whoami("web", "--network", "one")
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
	c.whoami("web", "--network", "one")
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
