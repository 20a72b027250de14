package local

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func env() Env {
	return Env{Now: t0, Routes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("192.0.2.0/24")}, Links: []string{"lo", "eth0"}}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

// world is a state that a test steps, with small words for each step.
type world struct {
	*testing.T
	State
	env Env
	n   int
}

func newWorld(t *testing.T) *world { return &world{T: t, State: New(env()), env: env()} }

func (w *world) network(name, subnet string, more ...func(*swarmnet.NetworkSpec)) Network {
	w.Helper()
	spec := swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverBridge}
	if subnet != "" {
		spec.IPAM = []swarmnet.IPAMConfig{{Subnet: prefix(subnet)}}
	}
	for _, f := range more {
		f(&spec)
	}
	s, n, err := w.CreateNetwork(swarmnet.NetworkID("net-"+name), spec, w.env)
	if err != nil {
		w.Fatal(err)
	}
	w.State = s
	return n
}

func (w *world) create(name string, spec swarmnet.SandboxSpec) (Sandbox, error) {
	spec.Name = name
	if spec.Task.Command == nil {
		spec.Task.Command = []string{"sleep", "60"}
	}
	w.n++
	s, sb, err := w.CreateSandbox(swarmnet.TaskID("id-"+name), spec, w.env)
	if err == nil {
		w.State = s
	}
	return sb, err
}

func (w *world) run(name string, spec swarmnet.SandboxSpec) Sandbox {
	w.Helper()
	if spec.Task.Restart == (swarmnet.RestartPolicy{}) {
		spec.Task.Restart.Condition = swarmnet.RestartNone
	}
	sb, err := w.create(name, spec)
	if err == nil {
		w.State, sb, err = w.Start(name, w.env)
	}
	if err != nil {
		w.Fatal(err)
	}
	w.report(name, swarmnet.TaskStatus{State: swarmnet.TaskRunning})
	return w.Sandboxes[sb.ID]
}

func (w *world) report(name string, st swarmnet.TaskStatus) Sandbox {
	w.Helper()
	sb, err := w.Sandbox(name)
	if err != nil {
		w.Fatal(err)
	}
	w.State = w.Report(sb.ID, sb.Run, st, w.env.Now)
	return w.Sandboxes[sb.ID]
}

func (w *world) remove(name string) {
	w.Helper()
	s, sb, err := w.RemoveSandbox(name, true)
	if err != nil {
		w.Fatal(err)
	}
	w.State = s.Gone(sb.ID)
}

func (w *world) refused(err error, kind Kind, words ...string) {
	w.Helper()
	r, ok := err.(*Refusal)
	if !ok || r.Kind != kind {
		w.Errorf("%v is not refused in the right way", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(r.Text, word) || strings.Contains(r.Text, "\n") {
			w.Errorf("%q does not say %q in one line", r.Text, word)
		}
	}
}

func on(nets ...string) swarmnet.SandboxSpec {
	var spec swarmnet.SandboxSpec
	for _, n := range nets {
		spec.Networks = append(spec.Networks, swarmnet.NetworkAttachment{Network: swarmnet.NetworkID(n)})
	}
	return spec
}

func addrOf(sb Sandbox) string { return sb.Endpoints[0].Addrs[0].String() }

func TestC01Predefined(t *testing.T) {
	w := newWorld(t)
	var names []string
	for _, n := range w.SortedNetworks() {
		names = append(names, n.Spec.Name+"/"+n.Spec.Driver)
		_, err := w.RemoveNetwork(n.Spec.Name)
		w.refused(err, Refused, n.Spec.Name, "predefined")
	}
	if got := strings.Join(names, " "); got != "bridge/bridge host/host none/none" {
		t.Errorf("predefined: %s", got)
	}
	if b, _ := w.Network("bridge"); b.Subnets[0].Prefix != prefix("172.29.0.0/16") {
		t.Errorf("the bridge is %s", b)
	}
	e := env()
	e.Routes = append(e.Routes, prefix("172.29.7.0/24"))
	if b, _ := New(e).Network("bridge"); b.Subnets[0].Prefix.Overlaps(prefix("172.29.7.0/24")) {
		t.Errorf("the bridge %s is on a route of the host", b)
	}
}

func TestC02OverlayNeedsACluster(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.CreateNetwork("x", swarmnet.NetworkSpec{Name: "app", Driver: swarmnet.DriverOverlay}, w.env)
	w.refused(err, Refused, "cluster init", "cluster join")
}

func TestC03NameTaken(t *testing.T) {
	w := newWorld(t)
	w.network("a", "")
	w.env.Cluster = []swarmnet.Network{{ID: "c", Spec: swarmnet.NetworkSpec{Name: "app", Driver: swarmnet.DriverOverlay}}}
	for _, name := range []string{"a", "app"} {
		_, _, err := w.CreateNetwork("x", swarmnet.NetworkSpec{Name: name}, w.env)
		w.refused(err, Exists, name, "taken")
	}
}

func TestC04Subnets(t *testing.T) {
	w := newWorld(t)
	w.network("a", "10.7.0.0/24")
	for _, c := range []struct {
		ipam swarmnet.IPAMConfig
		kind Kind
		says []string
	}{
		{swarmnet.IPAMConfig{Subnet: prefix("10.8.0.1/24")}, Invalid, []string{"host bits", "10.8.0.0/24"}},
		{swarmnet.IPAMConfig{Subnet: prefix("10.8.0.0/24"), Gateway: addr("10.9.0.1")}, Invalid, []string{"gateway 10.9.0.1", "outside"}},
		{swarmnet.IPAMConfig{Subnet: prefix("10.8.0.0/24"), Range: prefix("10.9.0.0/25")}, Invalid, []string{"10.9.0.0/25", "outside"}},
		{swarmnet.IPAMConfig{Subnet: prefix("10.8.0.0/24"), Aux: map[string]netip.Addr{"nas": addr("10.9.0.1")}}, Invalid, []string{"nas", "outside"}},
		{swarmnet.IPAMConfig{Subnet: prefix("10.7.0.128/25")}, Refused, []string{"10.7.0.0/24", "network a"}},
		{swarmnet.IPAMConfig{Subnet: prefix("192.0.2.128/25")}, Refused, []string{"route to 192.0.2.0/24"}},
	} {
		_, _, err := w.CreateNetwork("x", swarmnet.NetworkSpec{Name: "b", IPAM: []swarmnet.IPAMConfig{c.ipam}}, w.env)
		w.refused(err, c.kind, c.says...)
	}
}

func TestC05RangeAuxAndOrder(t *testing.T) {
	w := newWorld(t)
	w.network("a", "10.7.0.0/24", func(s *swarmnet.NetworkSpec) {
		s.IPAM[0].Range = prefix("10.7.0.16/29")
		s.IPAM[0].Aux = map[string]netip.Addr{"nas": addr("10.7.0.18")}
	})
	var got []string
	for _, name := range []string{"s1", "s2", "s3"} {
		got = append(got, addrOf(w.run(name, on("a"))))
	}
	w.remove("s2")
	w.remove("s1")
	for _, name := range []string{"s4", "s5", "s6", "s7", "s8", "s9"} {
		sb, err := w.create(name, on("a"))
		if err != nil {
			w.Fatal(err)
		}
		got = append(got, addrOf(sb))
	}
	want := "10.7.0.16/24 10.7.0.17/24 10.7.0.19/24 10.7.0.20/24 10.7.0.21/24 10.7.0.22/24 10.7.0.23/24 10.7.0.17/24 10.7.0.16/24"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("given out: %s\nwant:      %s", s, want)
	}
	_, err := w.create("s10", on("a"))
	w.refused(err, Refused, "no free address", "network a")
}

func TestC06RemoveInUse(t *testing.T) {
	w := newWorld(t)
	w.network("a", "")
	w.run("web", on("a"))
	w.run("db", on("a"))
	_, err := w.RemoveNetwork("a")
	w.refused(err, Refused, "db, web")
	w.remove("web")
	w.remove("db")
	if _, err := w.RemoveNetwork("a"); err != nil {
		t.Error(err)
	}
}

func TestC07Host(t *testing.T) {
	w := newWorld(t)
	w.network("a", "")
	sb := w.run("web", on("host"))
	if sb.Spec.Mode != swarmnet.ModeHost || len(sb.Endpoints) != 0 {
		t.Errorf("%+v", sb)
	}
	_, _, err := w.Connect("web", swarmnet.NetworkAttachment{Network: "a"}, w.env)
	w.refused(err, Refused, "web", "host")
	w.run("other", on("a"))
	_, _, err = w.Connect("other", swarmnet.NetworkAttachment{Network: "host"}, w.env)
	w.refused(err, Refused, "host")
	_, err = w.create("x", swarmnet.SandboxSpec{Mode: swarmnet.ModeHost, Ports: []swarmnet.PortSpec{{Target: 80, Mode: swarmnet.PublishHost}}})
	w.refused(err, Invalid, "published port")
}

func TestC08None(t *testing.T) {
	w := newWorld(t)
	w.network("a", "10.7.0.0/24")
	if sb := w.run("web", on("none")); len(sb.Endpoints) != 0 || sb.Spec.Mode != swarmnet.ModeNone {
		t.Errorf("%+v", sb)
	}
	s, sb, err := w.Connect("web", swarmnet.NetworkAttachment{Network: "a"}, w.env)
	if err != nil || addrOf(sb) != "10.7.0.2/24" || !sb.Endpoints[0].DefaultRoute {
		t.Fatalf("%v %+v", err, sb)
	}
	w.State = s
	if f := w.Fragment(t0); f.Stacks["id-web"].Interfaces["net-a"] != "eth0" || len(f.Endpoints) != 1 {
		t.Errorf("%+v", f)
	}
}

func TestC09MacvlanParent(t *testing.T) {
	w := newWorld(t)
	make := func(parent string) error {
		_, _, err := w.CreateNetwork("x", swarmnet.NetworkSpec{
			Name: "m", Driver: swarmnet.DriverMacvlan, Options: map[string]string{"parent": parent},
			IPAM: []swarmnet.IPAMConfig{{Subnet: prefix("192.0.2.0/24"), Range: prefix("192.0.2.64/27")}},
		}, w.env)
		return err
	}
	w.refused(make("eth7"), Refused, "eth7")
	w.refused(make("eth7.50"), Refused, "eth7.50")
	w.refused(make("eth0.5000"), Invalid, "1 to 4094")
	w.refused(make(""), Invalid, "parent=")
	for _, ok := range []string{"eth0", "eth0.50"} {
		if err := make(ok); err != nil {
			t.Error(err)
		}
	}
}

func TestC20Routes(t *testing.T) {
	w := newWorld(t)
	w.network("beta", "")
	w.network("alpha", "")
	w.network("closed", "", func(s *swarmnet.NetworkSpec) { s.Internal = true })
	routed := func(sb Sandbox) string {
		for _, ep := range sb.Endpoints {
			if ep.DefaultRoute {
				return string(ep.Network)
			}
		}
		return ""
	}
	if got := routed(w.run("a", on("closed", "beta", "alpha"))); got != "net-alpha" {
		t.Errorf("the default route is by %s", got)
	}
	spec := on("alpha", "beta")
	spec.Networks[1].GatewayPriority = 1
	if got := routed(w.run("b", spec)); got != "net-beta" {
		t.Errorf("the default route is by %s", got)
	}
	if got := routed(w.run("c", on("closed"))); got != "" {
		t.Errorf("an internal network has the default route")
	}
	_, _, err := w.Connect("a", swarmnet.NetworkAttachment{Network: "beta"}, w.env)
	w.refused(err, Exists, "a", "beta")
}

func TestC21InterfacesStay(t *testing.T) {
	w := newWorld(t)
	w.network("a", "")
	w.network("b", "")
	w.run("web", on("a", "b"))
	step := func(s State, _ Sandbox, err error) map[swarmnet.NetworkID]string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		w.State = s
		return s.Sandboxes["id-web"].Interfaces
	}
	if got := step(w.Disconnect("web", "a", w.env)); len(got) != 1 || got["net-b"] != "eth1" {
		t.Errorf("after the disconnect: %v", got)
	}
	if got := step(w.Connect("web", swarmnet.NetworkAttachment{Network: "bridge"}, w.env)); got["net-b"] != "eth1" || got[swarmnet.PredefinedNetworkID("bridge")] != "eth0" {
		t.Errorf("after the connect: %v", got)
	}
	_, _, err := w.Disconnect("web", "a", w.env)
	w.refused(err, Refused, "web", "not on network a")
}

func TestC22FixedAddresses(t *testing.T) {
	w := newWorld(t)
	w.network("a", "10.7.0.0/24")
	at := func(a string) swarmnet.SandboxSpec {
		spec := on("a")
		spec.Networks[0].Addrs = []netip.Addr{addr(a)}
		return spec
	}
	w.run("web", at("10.7.0.9"))
	for a, says := range map[string]string{"10.9.0.1": "outside network a", "10.7.0.1": "gateway", "10.7.0.9": "sandbox web", "10.7.0.255": "broadcast"} {
		kind := Refused
		if a == "10.9.0.1" {
			kind = Invalid
		}
		_, err := w.create("x", at(a))
		w.refused(err, kind, a, says)
	}
	if len(w.Sandboxes) != 1 {
		t.Error("something is left of what was refused")
	}
	dynamic := addrOf(w.run("db", on("a")))
	w.env.Now = t0.Add(time.Minute)
	s, _, err := w.Stop("db", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	w.State = s
	w.report("db", swarmnet.TaskStatus{State: swarmnet.TaskShutdown})
	w.run("other", on("a"))
	if w.State, _, err = w.Start("db", w.env); err != nil || addrOf(w.Sandboxes["id-db"]) != dynamic {
		t.Errorf("%v, the address was %s and is %s", err, dynamic, addrOf(w.Sandboxes["id-db"]))
	}
}

func TestC23Shared(t *testing.T) {
	w := newWorld(t)
	w.run("owner", on("bridge"))
	shared := func() swarmnet.SandboxSpec {
		return swarmnet.SandboxSpec{Mode: swarmnet.ModeShared, SharedWith: "owner"}
	}
	for says, spec := range map[string]func(*swarmnet.SandboxSpec){
		"published port": func(s *swarmnet.SandboxSpec) { s.Ports = []swarmnet.PortSpec{{Target: 80, Mode: swarmnet.PublishHost}} },
		"resolver":       func(s *swarmnet.SandboxSpec) { s.Task.DNS.Search = []string{"example"} },
		"host name":      func(s *swarmnet.SandboxSpec) { s.Task.Hostname = "x" },
		"network": func(s *swarmnet.SandboxSpec) {
			s.Networks = []swarmnet.NetworkAttachment{{Network: "bridge", Aliases: []string{"y"}}}
		},
	} {
		s := shared()
		spec(&s)
		_, err := w.create("x", s)
		w.refused(err, Invalid, says)
	}
	w.run("tools", shared())
	w.report("owner", swarmnet.TaskStatus{State: swarmnet.TaskComplete})
	f := w.Fragment(t0)
	if !f.Stacks["id-owner"].Lent || f.Tasks["id-owner"].Status.State.Terminal() || len(f.Endpoints) != 1 {
		t.Errorf("the stack in use is not kept: %+v", f)
	}
	for _, ep := range f.Endpoints {
		if !ep.State.Terminal() {
			t.Error("the names of a stopped sandbox go on")
		}
	}
	_, _, err := w.RemoveSandbox("owner", false)
	w.refused(err, Refused, "tools")
	w.report("tools", swarmnet.TaskStatus{State: swarmnet.TaskComplete})
	if f := w.Fragment(t0); f.Stacks["id-owner"].Lent || len(f.Endpoints) != 0 {
		t.Errorf("nobody uses the stack any more: %+v", f)
	}
	_, _, err = w.Start("tools", w.env)
	w.refused(err, Refused, "owner", "does not run")
}

func TestC31Ports(t *testing.T) {
	w := newWorld(t)
	w.env.Busy = func(p swarmnet.PortSpec) string {
		if p.Published == 22 || p.Published == firstPort {
			return "sshd (pid 7)"
		}
		return ""
	}
	publish := func(ports ...uint16) swarmnet.SandboxSpec {
		spec := on("bridge")
		for _, p := range ports {
			spec.Ports = append(spec.Ports, swarmnet.PortSpec{Target: 80, Published: p, Mode: swarmnet.PublishHost})
		}
		return spec
	}
	sb := w.run("web", publish(8080, 0, 0))
	if p := sb.Ports; p[0].Published != 8080 || p[1].Published != firstPort+1 || p[2].Published != firstPort+2 {
		t.Errorf("ports %v", p)
	}
	start := func(name string, spec swarmnet.SandboxSpec) error {
		if _, err := w.create(name, spec); err != nil {
			t.Fatal(err)
		}
		_, _, err := w.Start(name, w.env)
		return err
	}
	w.refused(start("a", publish(8080)), Refused, "8080/tcp", "sandbox web")
	w.refused(start("b", publish(22)), Refused, "22/tcp", "sshd (pid 7)")
	some := func(from, to uint16) swarmnet.PortSpec {
		return swarmnet.PortSpec{Target: 80, Published: from, PublishedTo: to, Mode: swarmnet.PublishHost}
	}
	spec := publish(8082)
	spec.Ports = append([]swarmnet.PortSpec{some(8080, 8090), some(8080, 8090)}, spec.Ports...)
	sb = w.run("choice", spec)
	if p := sb.Ports; p[0].Published != 8081 || p[1].Published != 8083 || p[2].Published != 8082 || p[0].PublishedTo != 0 {
		t.Errorf("the first free ports of a range are %v", p)
	}
	full := publish()
	full.Ports = []swarmnet.PortSpec{some(8080, 8083)}
	w.refused(start("full", full), Refused, "8080 to 8083/tcp", "sandbox web")
	w.report("web", swarmnet.TaskStatus{State: swarmnet.TaskFailed, ExitCode: 1})
	if _, _, err := w.Start("a", w.env); err != nil {
		t.Errorf("the port of a stopped sandbox is not free: %v", err)
	}
}

func TestRestartPolicies(t *testing.T) {
	policy := func(c swarmnet.RestartCondition, most uint32) swarmnet.SandboxSpec {
		spec := on("bridge")
		spec.Task.Restart = swarmnet.RestartPolicy{Condition: c, MaxAttempts: most}
		return spec
	}
	w := newWorld(t)
	w.run("always", policy(swarmnet.RestartAny, 9))
	w.run("failing", policy(swarmnet.RestartOnFailure, 2))
	failed, fine := swarmnet.TaskStatus{State: swarmnet.TaskFailed, ExitCode: 1}, swarmnet.TaskStatus{State: swarmnet.TaskComplete}
	for i, want := range []swarmnet.SandboxState{swarmnet.SandboxRestarting, swarmnet.SandboxRestarting, swarmnet.SandboxExited} {
		sb := w.report("failing", failed)
		if sb.State != want {
			t.Fatalf("end %d: %s", i, sb)
		}
		if want == swarmnet.SandboxRestarting {
			if d := w.Fragment(t0).Tasks[sb.ID].Desired; d != swarmnet.DesireReady {
				t.Errorf("wanted %s before it is due", d)
			}
			if due := w.NextDue(t0); due != t0.Add(firstDelay<<i) {
				t.Errorf("due %s", due)
			}
			if d := w.Fragment(sb.NotBefore).Tasks[sb.ID].Desired; d != swarmnet.DesireRunning {
				t.Errorf("wanted %s when it is due", d)
			}
			w.report("failing", swarmnet.TaskStatus{State: swarmnet.TaskRunning})
		}
	}
	if sb := w.report("always", fine); sb.State != swarmnet.SandboxRestarting || sb.Restarts != 1 {
		t.Errorf("%s", sb)
	}
	// A report about the run before is about nothing any more.
	sb := w.Sandboxes["id-always"]
	if s := w.Report(sb.ID, sb.Run-1, failed, t0); s.Sandboxes[sb.ID].Restarts != 1 {
		t.Error("an old report counted")
	}
	s, _, err := w.Stop("always", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	w.State = s
	if sb := w.report("always", swarmnet.TaskStatus{State: swarmnet.TaskShutdown}); sb.State != swarmnet.SandboxExited {
		t.Errorf("stopped, and %s", sb)
	}
	// One that never ran is not tried again: its maker is told.
	if _, err := w.create("typo", policy(swarmnet.RestartAny, 0)); err != nil {
		t.Fatal(err)
	}
	if w.State, _, err = w.Start("typo", w.env); err != nil {
		t.Fatal(err)
	}
	if sb := w.report("typo", swarmnet.TaskStatus{State: swarmnet.TaskRejected, Err: "command not found"}); sb.State != swarmnet.SandboxExited {
		t.Errorf("%s", sb)
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for i := range 500 {
		id := swarmnet.TaskID(swarmnet.DeriveID("x", string(rune(i))))
		s, sb, err := w.CreateSandbox(id, swarmnet.SandboxSpec{Mode: swarmnet.ModeNone, Task: swarmnet.TaskSpec{Command: []string{"x"}}}, w.env)
		if err != nil {
			t.Fatal(err)
		}
		w.State = s
		if seen[sb.Spec.Name] || sb.Spec.Validate() != nil {
			t.Fatalf("name %q", sb.Spec.Name)
		}
		seen[sb.Spec.Name] = true
	}
	w.run("web", on("bridge"))
	_, err := w.create("web", on("bridge"))
	w.refused(err, Exists, "web", "id-web")
}
