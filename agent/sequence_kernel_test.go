package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/executor/process"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/sequences"
	"github.com/swarmnet/swarmnet/overlay"
)

// TestMain: this test binary is the shim of the workloads, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == process.ShimArg {
		os.Exit(process.ShimMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// TestKernelC25Sequences takes the sequences of TestC25Sequences on a real kernel with real processes, one host for all: what one leaves behind the
// next one finds. At the end, as before the first, there is nothing.
func TestKernelC25Sequences(t *testing.T) {
	m := newIron(t)
	before := m.machineWide()
	var q *sequence
	for i := range max(2, sequences.Count(60)) {
		last := q
		q = newSequence(t, m, m.dir, uint64(i))
		if last == nil {
			q.start()
		} else {
			q.local, q.agent, q.life, q.ended, q.ids = last.local, last.agent, last.life, last.ended, last.ids
		}
		q.take(5 + q.rand.IntN(10))
		q.clear()
	}
	q.stop()
	if err := q.agent.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := m.machineWide(); !slices.Equal(before, after) {
		t.Errorf("left behind: %v", without(after, before))
	}
}

// TestKernelC26StartsAndStops starts and stops sandboxes 1,000 times, with published ports, twenty at once.
func TestKernelC26StartsAndStops(t *testing.T) {
	m := newIron(t)
	before := m.machineWide()
	q := newSequence(t, m, m.dir, 26)
	q.start()
	q.createNetwork("x")
	const boxes = 20
	for i := range boxes {
		name := fmt.Sprint("box", i)
		b := &modelBox{id: swarmnet.TaskID(name), networks: map[string]bool{"x": true}, ports: []uint16{uint16(19000 + i)}}
		spec := swarmnet.SandboxSpec{Name: name, Networks: []swarmnet.NetworkAttachment{{Network: "x"}},
			Ports: []swarmnet.PortSpec{{Protocol: swarmnet.TCP, Published: b.ports[0], Target: 80, Mode: swarmnet.PublishHost}}}
		spec.Task.Command, spec.Task.Restart.Condition = []string{"sleep", "100000"}, swarmnet.RestartNone
		if _, err := q.step(func(s local.State) (local.State, local.Sandbox, error) { return s.CreateSandbox(b.id, spec, q.env()) }); err != nil {
			t.Fatal(err)
		}
		q.boxes[name] = b
	}
	for range max(1, sequences.Count(1000/boxes)) {
		for _, running := range []bool{true, false} {
			for name, b := range q.boxes {
				b.up = running
				_, err := q.step(func(s local.State) (local.State, local.Sandbox, error) {
					if running {
						return s.Start(name, q.env())
					}
					return s.Stop(name, "SIGKILL", 0)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			q.until("all have changed", func(s local.State) bool { return q.known(s) == "" })
		}
	}
	q.quiet()
	q.clear()
	q.stop()
	if err := q.agent.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := m.machineWide(); !slices.Equal(before, after) {
		t.Errorf("left behind: %v", without(after, before))
	}
}

func up(name string) error {
	c, err := nl.Open("")
	if err != nil {
		return err
	}
	defer c.Close()
	l, _, err := c.Link(name)
	if err != nil {
		return err
	}
	return c.SetUp(l.Index)
}

// iron is a machine with the kernel that the test runs on.
type iron struct {
	testing.TB
	dir string
}

// newIron skips the test on a host that has a use already: agents work on the test's own namespace, which must be a fresh one.
func newIron(t *testing.T) *iron {
	t.Helper()
	kerneltest.Require(t, kerneltest.Namespaces, kerneltest.Bridge, kerneltest.NFTables)
	m := &iron{TB: t, dir: t.TempDir()}
	if links, err := m.host(); err != nil || len(links) > 0 {
		t.Skipf("needs a network namespace to itself (go test -exec nsexec): %v %v", links, err)
	}
	if err := up("lo"); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *iron) boot(cfg Config, changed func(swarmnet.TaskID)) (p parts, err error) {
	if p, err = newParts(cfg, nil); err != nil {
		return p, err
	}
	p.executor, err = process.New(process.Config{Dir: cfg.tasksDir(), Changed: changed, Logger: cfg.Logger})
	return p, err
}

func (m *iron) kill(id swarmnet.TaskID) {
	if st := m.record(string(id)); st.PID > 1 {
		_ = syscall.Kill(st.PID, syscall.SIGKILL)
	}
}

// record is what a shim wrote of its workload.
func (m *iron) record(id string) (st struct {
	Phase executor.Phase `json:"phase"`
	PID   int            `json:"pid"`
}) {
	b, err := os.ReadFile(filepath.Join(m.dir, "tasks", id, "state.json"))
	if err == nil {
		_ = json.Unmarshal(b, &st) // half-written: looked at again
	}
	return st
}

// view reads the kernel by itself, not as what is tested does; what is looked at amid a change is looked at again.
func (m *iron) view(local.State) (out []string) {
	for _, look := range []func() ([]string, error){m.stacks, m.fabric, m.host, m.tables, m.processes} {
		lines, err := look()
		if out = append(out, lines...); err != nil {
			out = append(out, "error "+err.Error())
		}
	}
	return out
}

func (m *iron) stacks() (out []string, _ error) {
	names, err := os.ReadDir(filepath.Join(m.dir, "netns"))
	if err != nil {
		return nil, nil
	}
	for _, e := range names {
		path := filepath.Join(m.dir, "netns", e.Name())
		id, ok := strings.CutPrefix(e.Name(), "sb-")
		if !ok {
			if e.Name() != "fabric" {
				out = append(out, "file "+path)
			}
			continue
		}
		out = append(out, "stack "+id)
		c, err := nl.Open(path)
		if err != nil {
			return out, err
		}
		lines, err := inStack(c, id)
		c.Close()
		if out = append(out, lines...); err != nil {
			return out, err
		}
		bound := 0
		err = netns.Do(path, func() error {
			for _, f := range []string{"udp", "tcp"} {
				b, err := os.ReadFile("/proc/thread-self/net/" + f)
				if err != nil {
					return err
				}
				bound += bytes.Count(b, []byte(" 0B00007F:0035 00000000:0000"))
			}
			return nil
		})
		if err != nil {
			return out, err
		}
		if bound > 0 {
			out = append(out, fmt.Sprintf("resolver %s on %d", id, bound))
		}
	}
	return out, nil
}

func inStack(c *nl.Conn, id string) (out []string, _ error) {
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	routes, err := c.AllRoutes()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		addrs, err := c.Addrs(l.Index)
		if err != nil {
			return out, err
		}
		if l.Name == "lo" {
			if !l.Up {
				out = append(out, "down lo of "+id)
			}
			continue
		}
		out = append(out, fmt.Sprintf("interface %s of %s: %s %v up=%t", l.Name, id, l.MAC, addrs, l.Up))
		for _, r := range routes {
			if r.Index == l.Index && r.Dst.Addr().Is4() {
				out = append(out, fmt.Sprintf("route of %s: %s via %s dev %s", id, r.Dst, r.Via, l.Name))
			}
		}
	}
	return out, nil
}

func (m *iron) fabric() (out []string, _ error) {
	c, err := nl.Open(filepath.Join(m.dir, "netns", "fabric"))
	if err != nil {
		return nil, nil // there is none yet
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Index] = l.Name
	}
	for _, l := range links {
		switch {
		case l.Kind == "bridge":
			addrs, err := c.Addrs(l.Index)
			if err != nil {
				return out, err
			}
			out = append(out, fmt.Sprintf("network %s %s %v up=%t", l.Name, l.MAC, addrs, l.Up))
			neighbours, err := c.Neighs(l.Index)
			if err != nil {
				return out, err
			}
			for _, n := range neighbours {
				out = append(out, fmt.Sprintf("neighbour %s %s %s", l.Name, n.MAC, n.Addr))
			}
		case l.Alias != "":
			out = append(out, fmt.Sprintf("port of %s on %s up=%t", strings.TrimPrefix(l.Alias, "swarmnet "), names[l.Master], l.Up))
			entries, err := c.FDB(l.Index)
			if err != nil {
				return out, err
			}
			for _, e := range entries {
				if e.MAC != l.MAC { // the port's own
					out = append(out, fmt.Sprintf("behind the port of %s: %s", strings.TrimPrefix(l.Alias, "swarmnet "), e.MAC))
				}
			}
		case l.Name != "lo" && l.Name != "uplink":
			out = append(out, "link "+l.Name+" in the fabric")
		}
	}
	rules, err := c.Rules()
	for _, r := range rules {
		out = append(out, fmt.Sprintf("rule in the fabric %+v", r))
	}
	return out, err
}

func (m *iron) host() (out []string, _ error) {
	c, err := nl.Open("")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Name != "lo" && l.Name != "swarmnet0" {
			out = append(out, "link "+l.Name+" of the host")
		}
	}
	routes, err := c.Routes(0)
	for _, r := range routes {
		if r.Via.IsValid() { // others lead to the fabric itself
			out = append(out, fmt.Sprintf("route of the host: %s via %s", r.Dst, r.Via))
		}
	}
	return out, err
}

// tables are the elements for published ports in the host's and the fabric's tables; the keys begin with protocol and port.
func (m *iron) tables() (out []string, _ error) {
	port := func(key string) string {
		return fmt.Sprintf("%d/%d", binary.BigEndian.Uint16([]byte(key[4:])), key[0])
	}
	for _, look := range []struct{ ns, table, set, what string }{
		{"", "swarmnet_ingress", "held", "held"}, {"", "swarmnet_ingress", "published4", "published"},
		{"fabric", "swarmnet_balancer", "services4", "balanced"}, {"fabric", "swarmnet_balancer", "backends4", "backend"},
		{"fabric", "swarmnet_hairpin", "services4", "hairpin"}, {"fabric", "swarmnet_hairpin", "backends4", "hairpin backend"},
		{"fabric", "swarmnet_hairpin", "direct4", "direct"},
	} {
		ns, err := netns.Current()
		if look.ns != "" {
			if ns != nil {
				ns.Close()
			}
			if ns, err = netns.Open(filepath.Join(m.dir, "netns", look.ns)); err != nil {
				continue // there is none yet
			}
		}
		if err != nil {
			return out, err
		}
		c, err := nft.Open(ns)
		ns.Close()
		if err != nil {
			return out, err
		}
		t, err := c.Observe(nft.INet, look.table)
		c.Close()
		if err != nil || t == nil {
			if err != nil {
				return out, err
			}
			continue
		}
		for _, set := range t.Sets {
			if set.Name != look.set {
				continue
			}
			for key, data := range set.Elems {
				line := look.what + " " + port(key)
				switch {
				case look.what == "direct":
					name, addr := key[:len(key)-4], key[len(key)-4:]
					line = fmt.Sprintf("direct %s %s", strings.TrimRight(name, "\x00"), netip.AddrFrom4([4]byte([]byte(addr))))
				case strings.HasSuffix(look.what, "backend"):
					line += fmt.Sprintf(" %s:%d", netip.AddrFrom4([4]byte([]byte(data[:4]))), binary.BigEndian.Uint16([]byte(data[4:])))
				}
				out = append(out, line)
			}
		}
	}
	return out, nil
}

// processes are those of the workloads, with what their directories and the state's hold.
func (m *iron) processes() (out []string, _ error) {
	tasks, err := os.ReadDir(filepath.Join(m.dir, "tasks"))
	if err != nil {
		return nil, nil
	}
	for _, e := range tasks {
		out = append(out, "record "+e.Name())
		if st := m.record(e.Name()); st.Phase == executor.Running && syscall.Kill(st.PID, 0) == nil {
			out = append(out, "process "+e.Name())
		}
	}
	for _, pattern := range []string{"tasks/*/*.tmp", "local/*/*.tmp", "local/*/*.damaged", "*.tmp"} {
		found, err := filepath.Glob(filepath.Join(m.dir, pattern))
		if err != nil {
			return out, err
		}
		for _, f := range found {
			out = append(out, "file "+f)
		}
	}
	files, err := filepath.Glob(filepath.Join(m.dir, "local", "sandboxes", "*.json"))
	for _, f := range files {
		out = append(out, "kept "+strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	out = append(out, fmt.Sprintf("%d shims", len(m.shims())))
	return out, err
}

// shims are the processes that work in the directory of a task.
func (m *iron) shims() (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*") //nolint:errcheck // the pattern is well-formed
	for _, p := range all {
		cmd, err := os.ReadFile(p + "/cmdline")
		if err != nil || !bytes.HasSuffix(cmd, []byte("\x00"+process.ShimArg+"\x00")) {
			continue
		}
		if cwd, err := os.Readlink(p + "/cwd"); err == nil && strings.HasPrefix(cwd, m.dir) {
			pids = append(pids, filepath.Base(p))
		}
	}
	return pids
}

// machineWide is what can be left on a machine when all is taken away.
func (m *iron) machineWide() (out []string) {
	lines, err := m.host()
	if err != nil {
		m.Fatal(err)
	}
	out = append(out, lines...)
	c, err := nl.Open("")
	if err != nil {
		m.Fatal(err)
	}
	defer c.Close()
	if _, there, err := c.Link("swarmnet0"); there || err != nil {
		out = append(out, fmt.Sprint("link swarmnet0 of the host ", err))
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, m.dir) {
			out = append(out, "mount "+line)
		}
	}
	ns, err := netns.Current()
	if err != nil {
		m.Fatal(err)
	}
	defer ns.Close()
	tables, err := nft.Open(ns)
	if err != nil {
		m.Fatal(err)
	}
	defer tables.Close()
	for _, name := range []string{"swarmnet_ingress", "swarmnet_fabric"} {
		if t, err := tables.Observe(nft.INet, name); t != nil || err != nil {
			out = append(out, fmt.Sprint("table ", name, err))
		}
	}
	for _, pattern := range []string{"tasks/*", "netns/*"} {
		files, _ := filepath.Glob(filepath.Join(m.dir, pattern)) //nolint:errcheck // the pattern is well-formed
		out = append(out, files...)
	}
	return append(out, m.shims()...)
}

func (m *iron) expect(s local.State, stacks, processes []local.Sandbox) (out []string) {
	const tcp = 6
	once := map[string]bool{}
	for _, sb := range stacks {
		out = append(out, "stack "+string(sb.ID), fmt.Sprintf("resolver %s on 2", sb.ID))
		for _, ep := range sb.Endpoints {
			n := s.Networks[ep.Network]
			br, name, addr := overlay.BridgeName(n.VNI), sb.Interfaces[n.ID], ep.Addrs[0]
			once[fmt.Sprintf("network %s %s [%s/%d] up=true", br, swarmnet.GatewayMAC(n.VNI), n.Subnets[0].Gateway, n.Subnets[0].Prefix.Bits())] = true
			once[fmt.Sprintf("route of the host: %s via 169.254.77.2", n.Subnets[0].Prefix)] = true
			out = append(out,
				fmt.Sprintf("interface %s of %s: %s [%s] up=true", name, sb.ID, ep.MAC, addr),
				fmt.Sprintf("route of %s: %s via invalid IP dev %s", sb.ID, addr.Masked(), name),
				fmt.Sprintf("port of %s %s on %s up=true", sb.ID, name, br),
				fmt.Sprintf("behind the port of %s %s: %s", sb.ID, name, ep.MAC),
				fmt.Sprintf("neighbour %s %s %s", br, ep.MAC, addr.Addr()))
			if ep.DefaultRoute {
				out = append(out, fmt.Sprintf("route of %s: 0.0.0.0/0 via %s dev %s", sb.ID, n.Subnets[0].Gateway, name))
			}
		}
	}
	for _, sb := range processes {
		out = append(out, "process "+string(sb.ID))
		for _, p := range sb.Spec.Ports {
			key := fmt.Sprintf("%d/%d", p.Published, tcp)
			out = append(out, "held "+key)
			i := slices.IndexFunc(sb.Endpoints, func(ep swarmnet.Endpoint) bool { return ep.DefaultRoute })
			if i < 0 {
				continue
			}
			addr := sb.Endpoints[i].Addrs[0].Addr()
			out = append(out, "published "+key, "balanced "+key, fmt.Sprintf("backend %s %s:%d", key, addr, p.Target),
				"hairpin "+key, fmt.Sprintf("hairpin backend %s %s:%d", key, addr, p.Target))
			for _, ep := range sb.Endpoints {
				out = append(out, fmt.Sprintf("direct %s %s", overlay.BridgeName(s.Networks[ep.Network].VNI), addr))
			}
		}
	}
	for id, sb := range s.Sandboxes {
		out = append(out, "kept "+string(id))
		if sb.Run > 0 && m.hasRecord(sb) {
			out = append(out, "record "+string(id))
		}
	}
	out = append(out, fmt.Sprintf("%d shims", len(processes)))
	return append(out, slices.Collect(maps.Keys(once))...)
}

// hasRecord reports whether a sandbox's process has a record. One that was stopped before its start has none.
func (m *iron) hasRecord(sb local.Sandbox) bool {
	_, err := os.Stat(filepath.Join(m.dir, "tasks", string(sb.ID)))
	return err == nil || sb.State == swarmnet.SandboxRunning
}
