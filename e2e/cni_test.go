package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/internal/cnitest"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// plugged is a host with a network of the recording plugin, mynet.
func plugged(t *testing.T, capabilities ...string) (cluster, *cnitest.Recorder) {
	t.Helper()
	rec := cnitest.Install(t)
	c := hosts(t, 1)
	c.plug(rec, "mynet", capabilities...)
	return c, rec
}

func (c cluster) plug(rec *cnitest.Recorder, name string, capabilities ...string) {
	c.t.Helper()
	c.must("n1", "network", "create", "-d", "cni", "--opt", "conf="+rec.File(name+".conflist", rec.Conf(capabilities...)), "--opt", "bin-dir="+rec.BinDir(), name)
}

type endpointRow struct {
	Addrs, Gateways []string
	DNS             struct{ Servers, Search []string }
	DefaultRoute    bool
}

func (c cluster) endpointsOf(name string) []endpointRow {
	c.t.Helper()
	return decode[[]struct{ Endpoints []endpointRow }](c.t, c.must("n1", "inspect", name))[0].Endpoints
}

// released waits until the plugin holds just these addresses.
func released(t *testing.T, rec *cnitest.Recorder, want ...string) {
	t.Helper()
	labtest.Eventually(t, 10*time.Second, "the plugin to be called for what has gone", func() error {
		if got := rec.Held(); !slices.Equal(got, want) {
			return fmt.Errorf("it holds %v, want %v; it was called %s", got, want, rec.Commands())
		}
		return nil
	})
}

// hostLinks are the host's interfaces of the plugin, but its bridge.
func (c cluster) hostLinks() []string {
	c.t.Helper()
	var out []string
	for _, name := range strings.Fields(c.must("n1", "probe", "stack")) {
		if strings.Contains(name, `"rec`) && !strings.Contains(name, `"rec0"`) {
			out = append(out, name)
		}
	}
	return out
}

func TestE2EC12PluginIsCalled(t *testing.T) {
	c, rec := plugged(t)
	rec.File("mynet.conflist", "what is in the file later does not matter")
	c.box("a", "--network", "mynet")
	c.box("b", "--network", "mynet")
	id := c.must("n1", "inspect", "--format", "{{.ID}}", "a")
	calls := rec.Calls()
	if got := rec.Commands(); got != "ADD ADD" {
		t.Fatalf("for two sandboxes the plugin was called %q", got)
	}
	if a := calls[0]; a.ContainerID != id || a.IfName != "eth0" || !strings.HasSuffix(a.Netns, id) || a.Args != "" {
		t.Errorf("ADD was called with %+v; the sandbox is %s", a, id)
	}
	if got := c.interfaces("a"); !slices.Equal(got["eth0"], []string{"10.88.0.2/24"}) || len(got) != 1 {
		t.Errorf("inside a there is %v", got)
	}
	if got := c.gateway("a"); got != "10.88.0.1" {
		t.Errorf("the default route leads to %q", got)
	}
	ep := c.endpointsOf("a")[0]
	if !slices.Equal(ep.Addrs, []string{"10.88.0.2/24"}) || !slices.Equal(ep.Gateways, []string{"10.88.0.1"}) || !slices.Equal(ep.DNS.Servers, []string{"10.88.0.53"}) || !ep.DefaultRoute {
		t.Errorf("inspect shows the endpoint %+v", ep)
	}
	if got := c.addr("b", "mynet"); got != "10.88.0.3" {
		t.Errorf("network inspect shows b at %s", got)
	}
	if got := c.inside("a", "cat", "/etc/resolv.conf"); !strings.Contains(got, "rec.example") {
		t.Errorf("the search domain of the result is not in %q", got)
	}
	c.names("a", "b", "10.88.0.3")
	c.names("b", "a.mynet", "10.88.0.2")
	c.refused("n1", 1, []string{"mynet", "a", "b"}, "network", "rm", "mynet")

	c.must("n1", "stop", "-t", "0", "a")
	released(t, rec, "10.88.0.3")
	labtest.Eventually(t, 5*time.Second, "the address to be nobody's", func() error {
		if ep := c.endpointsOf("a")[0]; len(ep.Addrs) != 0 {
			return fmt.Errorf("stopped it still has %v", ep.Addrs)
		}
		return nil
	})
	c.must("n1", "start", "a")
	if got := c.addr("a", "mynet"); got != "10.88.0.2" {
		t.Errorf("started again it has %s", got)
	}
	c.must("n1", "rm", "-f", "a", "b")
	released(t, rec)
	if got := rec.Commands(); got != "ADD ADD DEL ADD DEL DEL" {
		t.Errorf("in all the plugin was called %q", got)
	}
	for _, call := range rec.Calls() {
		if call.IfName != "eth0" {
			t.Errorf("%s was called for %s", call.Command, call.IfName)
		}
	}
	if got := c.hostLinks(); len(got) != 0 {
		t.Errorf("left on the host: %v", got)
	}
	c.must("n1", "network", "rm", "mynet")
}

func TestE2EC12RefusedConfigurations(t *testing.T) {
	rec := cnitest.Install(t)
	c := hosts(t, 1)
	good := rec.File("good.conflist", rec.Conf())
	before := c.must("n1", "network", "ls", "-q")
	for _, b := range []struct {
		flags  string
		pieces []string
	}{
		{"", []string{"conf"}},
		{"--opt conf=x.conflist", []string{"x.conflist", "begins with /"}},
		{"--opt conf=/nonexistent.conflist", []string{"/nonexistent.conflist", "no such file"}},
		{"--opt conf=" + rec.File("text", "not JSON"), []string{"not JSON"}},
		{"--opt conf=" + rec.File("nothing", "{}"), []string{"name"}},
		{"--opt conf=" + rec.File("empty", `{"name":"x","cniVersion":"1.0.0","plugins":[]}`), []string{"no plugins"}},
		{"--opt conf=" + rec.File("old", strings.Replace(rec.Conf(), "1.0.0", "7.0.0", 1)) + " --opt bin-dir=" + rec.BinDir(), []string{"7.0.0"}},
		{"--opt conf=" + good, []string{`"recorder"`, "/opt/cni/bin", "bin-dir"}},
		{"--opt conf=" + good + " --opt mtu=1400", []string{"mtu", "bin-dir, conf"}},
		{"--opt conf=" + good + " --opt bin-dir=" + rec.BinDir() + " --subnet 10.9.0.0/24", []string{"--subnet"}},
		{"--opt conf=" + good + " --opt bin-dir=" + rec.BinDir() + " --internal", []string{"--internal"}},
	} {
		c.refused("n1", 1, b.pieces, append(append([]string{"network", "create", "-d", "cni"}, strings.Fields(b.flags)...), "mynet")...)
	}
	if after := c.must("n1", "network", "ls", "-q"); after != before {
		t.Errorf("something was made: before %q, after %q", before, after)
	}
	// The configuration of one plugin alone is a list of one.
	single := rec.File("single.conf", fmt.Sprintf(`{"name":"one","cniVersion":"0.4.0","type":"recorder","dir":%q}`, t.TempDir()))
	c.must("n1", "network", "create", "-d", "cni", "--opt", "conf="+single, "--opt", "bin-dir="+rec.BinDir(), "one")
	c.box("a", "--network", "one")
	if got := c.addr("a", "one"); got != "10.88.0.2" {
		t.Errorf("it gives %s", got)
	}
}

func TestE2EC12FailedAddLeavesNothing(t *testing.T) {
	c, rec := plugged(t)
	for _, command := range []string{"ADD", "late ADD"} {
		rec.Fail(command)
		c.refused("n1", 125, []string{"mynet", "told to fail"}, "run", "-d", "--name", "a", "--network", "mynet", "--", "sleep", "1")
		released(t, rec)
		if got := c.must("n1", "ps", "-aq"); got != "" {
			t.Errorf("%s: left are the sandboxes %q", command, got)
		}
		if got := c.hostLinks(); len(got) != 0 {
			t.Errorf("%s: left on the host: %v", command, got)
		}
		adds, dels := strings.Count(rec.Commands(), "ADD"), strings.Count(rec.Commands(), "DEL")
		if adds == 0 || dels < adds || !strings.HasSuffix(rec.Commands(), "DEL") {
			t.Errorf("%s: the plugin was called %q", command, rec.Commands())
		}
	}
	// A sandbox that runs stays as it was.
	rec.Fail()
	c.must("n1", "network", "create", "own")
	c.box("b", "--network", "own")
	rec.Fail("late ADD")
	before := fmt.Sprint(c.stack("b"))
	c.refused("n1", 1, []string{"mynet", "told to fail"}, "network", "connect", "mynet", "b")
	released(t, rec)
	if after := fmt.Sprint(c.stack("b")); after != before {
		t.Errorf("its stack was %s, is %s", before, after)
	}
	if got := len(c.endpointsOf("b")); got != 1 {
		t.Errorf("it has %d endpoints", got)
	}
	// Nor does a DEL that fails keep a sandbox: the plugin is called again until it succeeds.
	rec.Fail()
	c.must("n1", "network", "connect", "mynet", "b")
	rec.Fail("DEL")
	c.must("n1", "rm", "-f", "b")
	rec.Fail()
	labtest.Eventually(t, 20*time.Second, "DEL to be called again", func() error {
		if held := rec.Held(); len(held) != 0 {
			return fmt.Errorf("the plugin holds %v", held)
		}
		return nil
	})
}

func TestE2EC12ConnectBesideOwnNetworks(t *testing.T) {
	c, rec := plugged(t, "ips", "mac")
	c.must("n1", "network", "create", "own")
	c.box("a", "--network", "own")
	c.box("b", "--network", "mynet")
	was := c.gateway("a")
	c.must("n1", "network", "connect", "--ip", "10.88.0.9", "--alias", "ay", "mynet", "a")
	if got := c.interfaces("a"); !slices.Equal(got["eth1"], []string{"10.88.0.9/24"}) || len(got["eth0"]) != 1 {
		t.Errorf("inside there is %v", got)
	}
	last := rec.Calls()[1]
	if got := last.Runtime("ips"); got != `["10.88.0.9"]` || last.IfName != "eth1" {
		t.Errorf("the plugin was asked for %s on %s", got, last.IfName)
	}
	c.names("b", "ay", "10.88.0.9")
	// mynet comes before own by name.
	if got := c.gateway("a"); got != "10.88.0.1" {
		t.Errorf("the default route leads to %q", got)
	}
	c.must("n1", "network", "disconnect", "mynet", "a")
	if got := c.gateway("a"); got != was {
		t.Errorf("disconnected, the default route leads to %q, before to %q", got, was)
	}
	if got := c.interfaces("a"); len(got) != 1 {
		t.Errorf("disconnected there is %v", got)
	}
	released(t, rec, "10.88.0.2")
	c.must("n1", "run", "-d", "--name", "m", "--network", "mynet", "--mac-address", "02:00:00:00:00:77", "--", "sleep", "1000")
	if got := c.stack("m").Interfaces; !slices.ContainsFunc(got, func(i probe.Interface) bool { return i.MAC == "02:00:00:00:00:77" }) {
		t.Errorf("its Ethernet address was asked for: %+v", got)
	}
	// On a sandbox that does not run it applies at start; another's interface name is free again.
	c.must("n1", "stop", "-t", "0", "a")
	c.must("n1", "network", "disconnect", "own", "a")
	c.must("n1", "network", "connect", "mynet", "a")
	c.must("n1", "start", "a")
	if got := c.interfaces("a"); !slices.Equal(got["eth0"], []string{"10.88.0.4/24"}) {
		t.Errorf("started, inside there is %v", got)
	}
	c.must("n1", "network", "disconnect", "mynet", "a")
	c.must("n1", "network", "connect", "own", "a")
	if got := c.interfaces("a"); len(got) != 1 || len(got["eth0"]) != 1 || strings.HasPrefix(got["eth0"][0], "10.88.") {
		t.Errorf("back on its own network there is %v", got)
	}
	released(t, rec, "10.88.0.2", "10.88.0.3")
}

func TestE2EC12Capabilities(t *testing.T) {
	c, rec := plugged(t)
	run := func(flags ...string) []string {
		return append(append([]string{"run", "-d", "--name", "a", "--network", "mynet"}, flags...), "--", "sleep", "1000")
	}
	c.refused("n1", 125, []string{"mynet", `"ips"`, "--ip"}, run("--ip", "10.88.0.9")...)
	c.refused("n1", 125, []string{"mynet", `"mac"`}, run("--mac-address", "02:00:00:00:00:77")...)
	c.refused("n1", 125, []string{"mynet", `"portMappings"`}, run("-p", "8080:80")...)
	if got := rec.Commands(); got != "" {
		t.Errorf("all the same the plugin was called %q", got)
	}
	c.plug(rec, "ports", "portMappings")
	c.must("n1", "run", "-d", "--name", "p", "--network", "ports", "-p", "127.0.0.1:8080:80", "-p", "5300:53/udp", "--", "sleep", "1000")
	want := `[{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"},{"hostPort":5300,"containerPort":53,"protocol":"udp"}]`
	if got := rec.Calls()[0].Runtime("portMappings"); got != want {
		t.Errorf("the plugin was asked to map %s, want %s", got, want)
	}
	if got := c.must("n1", "port", "p", "80"); got != "127.0.0.1:8080" {
		t.Errorf("port says %q", got)
	}
	c.refused("n1", 125, []string{"8080", "p"}, "run", "-d", "-p", "8080:80", "--", "sleep", "1")
}

func TestE2EC12DaemonAndPower(t *testing.T) {
	c, rec := plugged(t)
	c.must("n1", "network", "create", "own")
	c.must("n1", "run", "-d", "--name", "a", "--restart", "always", "--network", "mynet", "--network", "own", "--", "sleep", "100000")
	c.must("n1", "run", "-d", "--name", "b", "--restart", "always", "--network", "mynet", "--", "sleep", "100000")
	before := fmt.Sprint(c.stack("a"))
	kill := func() {
		t.Helper()
		if err := c.Stop("n1", true); err != nil {
			t.Fatal(err)
		}
	}
	start := func() {
		t.Helper()
		if err := c.Start(t.Context(), "n1"); err != nil {
			t.Fatal(err)
		}
	}
	kill()
	start()
	labtest.Eventually(t, 20*time.Second, "the next daemon to check what it found", func() error {
		if got := rec.Commands(); got != "ADD ADD CHECK CHECK" {
			return fmt.Errorf("the plugin was called %q", got)
		}
		return nil
	})
	if after := fmt.Sprint(c.stack("a")); after != before {
		t.Errorf("after kill -9 of the daemon the stack is %s, before %s", after, before)
	}
	c.names("b", "a", "10.88.0.2")
	// What somebody deletes comes back.
	id := c.must("n1", "inspect", "--format", "{{.ID}}", "a")
	if r, err := c.Run(t.Context(), "n1", "nsenter", "--net=/run/swarmnet/netns/sb-"+id, "ip", "link", "del", "eth0"); err != nil || r.Code != 0 {
		t.Fatalf("ip link del: %+v %v", r, err)
	}
	labtest.Eventually(t, 20*time.Second, "the interface to come back", func() error {
		if got := c.interfaces("a")["eth0"]; !slices.Equal(got, []string{"10.88.0.2/24"}) {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
	if err := c.Kill("n1"); err != nil {
		t.Fatal(err)
	}
	start()
	labtest.Eventually(t, 20*time.Second, "both to run again with addresses of theirs", func() error {
		for _, name := range []string{"a", "b"} {
			r, err := c.Run(t.Context(), "n1", "swarmnet", "exec", name, "--", "true")
			if err != nil || r.Code != 0 {
				return fmt.Errorf("%+v %v", r, err)
			}
		}
		return nil
	})
	if got := rec.Held(); !slices.Equal(got, []string{"10.88.0.2", "10.88.0.3"}) {
		t.Errorf("after a power cut and a boot the plugin holds %v", got)
	}
	c.names("a", "b", c.addr("b", "mynet"))
	c.must("n1", "rm", "-f", "a", "b")
	released(t, rec)
}
