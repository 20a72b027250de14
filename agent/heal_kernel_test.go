package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/agent/local/store"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// ward is a node of a cluster of two, on the real kernel, that others meddle with: a network with a task of its own and one elsewhere, a service
// with a virtual address and a published port, a network of the node's own with a sandbox on it.
type ward struct {
	*iron
	t     *testing.T
	boss  *boss
	local *store.Store
	agent *Agent
	stop  func()
}

func newWard(t *testing.T) *ward {
	t.Helper()
	kerneltest.Require(t, kerneltest.VXLAN, kerneltest.IPv6)
	w := &ward{iron: newIron(t), t: t, boss: newBoss(t)}
	meddle(t, "", func() error {
		if err := netlink.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}}); err != nil {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0p"})
		}
		return nil
	})
	t.Cleanup(func() { meddle(t, "", func() error { return withLink("eth0", netlink.LinkDel) }) })
	meddle(t, "", func() error {
		a, err := netlink.ParseAddr("192.0.2.1/24")
		return errors.Join(err, withLink("eth0", func(l netlink.Link) error { return errors.Join(netlink.AddrAdd(l, a), netlink.LinkSetUp(l)) }))
	})
	var err error
	if w.local, err = store.Open(filepath.Join(w.dir, "local"), local.Env{Now: time.Now()}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range []string{"box", "plain"} {
			_, err := w.local.Step(func(s local.State) (local.State, error) {
				next, _, err := s.RemoveSandbox(name, true)
				return next, err
			})
			if err != nil {
				t.Error(err)
			}
		}
		eventually(t, "the sandbox is gone", func() bool { return len(w.local.Read().Sandboxes) == 0 })
		w.stop()
		if err := w.agent.Leave(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// start runs an agent that looks by itself every resync.
func (w *ward) start(resync time.Duration) {
	w.t.Helper()
	cfg := Config{
		NodeID: "n1", ClusterID: "c1", DataDir: w.dir, RunDir: w.dir, Hostname: "n1", VTEP: netip.MustParseAddr("192.0.2.1"), Local: w.local, resync: resync,
		Managers: []string{w.boss.addr}, Logger: slog.New(slog.DiscardHandler),
	}
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	cfg = cfg.withDefaults()
	var a atomic.Pointer[Agent] // workloads that are there already are told of before there is one
	p, err := w.boot(cfg, func(id swarmnet.TaskID) {
		if a := a.Load(); a != nil {
			a.workloadChanged(id)
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Dial = func(_ context.Context, addr string) (*grpc.ClientConn, error) {
		return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	w.agent = newAgent(cfg, p, make([]byte, 64))
	a.Store(w.agent)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.agent.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
		w.stop = nil
	}
}

// assign is what the managers want.
func (w *ward) assign() swarmnet.AssignmentSet {
	set := swarmnet.EmptyAssignmentSet()
	set.Revision, set.Self = 1, "n1"
	set.Cluster = swarmnet.ClusterView{ID: "c1", DataPathPort: swarmnet.DefaultDataPathPort}
	for i, id := range []swarmnet.NodeID{"n1", "n2"} {
		set.Nodes[id] = swarmnet.Node{ID: id, Index: uint16(i + 1), Description: swarmnet.NodeDescription{Hostname: string(id), VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})},
			Status: swarmnet.NodeStatus{State: swarmnet.NodeReady}, Ingress: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 255, 0, byte(i + 1)}), 24)}}
	}
	set.Networks["ingress"] = swarmnet.Network{ID: "ingress", VNI: 4096, Spec: swarmnet.NetworkSpec{Name: "ingress", Driver: swarmnet.DriverOverlay, Ingress: true},
		Subnets: []swarmnet.Subnet{{Prefix: netip.MustParsePrefix("10.255.0.0/24")}}}
	set.Networks["app"] = swarmnet.Network{ID: "app", VNI: 4097, Spec: swarmnet.NetworkSpec{Name: "app", Driver: swarmnet.DriverOverlay},
		Subnets: []swarmnet.Subnet{{Prefix: netip.MustParsePrefix("10.0.1.0/24"), Gateway: netip.MustParseAddr("10.0.1.1")}}}
	ports := []swarmnet.PortSpec{{Protocol: swarmnet.TCP, Published: 8080, Target: 80, Mode: swarmnet.PublishIngress}}
	set.Services["web"] = swarmnet.Service{ID: "web", Spec: swarmnet.ServiceSpec{Name: "web"}, Ports: ports, VIPs: []swarmnet.VIP{{Network: "app", Addr: netip.MustParseAddr("10.0.1.9")}}}
	for i, id := range []swarmnet.TaskID{"t1", "t2"} {
		addr := netip.AddrFrom4([4]byte{10, 0, 1, byte(11 + i)})
		node := swarmnet.NodeID(fmt.Sprint("n", i+1))
		set.Endpoints[swarmnet.EndpointID(id)] = swarmnet.PeerEndpoint{Desired: swarmnet.DesireRunning, State: swarmnet.TaskRunning, Endpoint: swarmnet.Endpoint{
			ID: swarmnet.EndpointID(id), Network: "app", Task: id, Service: "web", Node: node, MAC: swarmnet.MACFor(addr), Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}, DefaultRoute: true}}
	}
	set.Tasks["t1"] = swarmnet.Task{ID: "t1", Service: "web", ServiceName: "web", Slot: 1, Node: "n1", Desired: swarmnet.DesireRunning, Ports: ports,
		Networks: []swarmnet.NetworkAttachment{{Network: "app"}}, Spec: swarmnet.TaskSpec{Command: []string{"sleep", "100000"}}}
	return set
}

// agrees waits until nothing differs, and the agent has found so itself.
func (w *ward) agrees(what string) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		d, err := w.agent.Diff(w.t.Context())
		if err == nil && d.Agrees() {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: %v %+v\n%s", what, err, d, strings.Join(w.look(), "\n"))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// meddle does something in a namespace, as somebody else does.
func meddle(t *testing.T, path string, fn func() error) {
	t.Helper()
	if err := netns.Do(path, fn); err != nil {
		t.Fatal(err)
	}
}

func (w *ward) fabricPath() string { return filepath.Join(w.dir, "netns", "fabric") }

func (w *ward) boxPath(id string) string { return filepath.Join(w.dir, "netns", "sb-"+id) }

// look is all of ours that is in the kernel, a line a thing.
func (w *ward) look() (out []string) {
	for name, path := range map[string]string{"host": "", "fabric": w.fabricPath(), "task": w.boxPath("t1"), "box": w.boxPath("box"), "plain": w.boxPath("plain")} {
		var lines []string
		err := netns.Do(path, func() (err error) { lines, err = lookHere(); return err })
		if err != nil {
			lines = append(lines, "error "+err.Error())
		}
		lines = append(lines, tablesOf(path)...)
		for _, l := range lines {
			out = append(out, name+": "+l)
		}
	}
	slices.Sort(out)
	return out
}

// lookHere reads by the library, not as what is tested does.
func lookHere() (out []string, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range links {
		a := l.Attrs()
		mac := a.HardwareAddr.String()
		if l.Type() == "veth" && !strings.HasPrefix(a.Name, "eth") || l.Type() == "vxlan" {
			mac = "random"
		}
		line := fmt.Sprintf("link %s %s %s mtu=%d up=%t master=%s alias=%q", a.Name, l.Type(), mac, a.MTU, a.Flags&net.FlagUp != 0, names[a.MasterIndex], a.Alias)
		if v, ok := l.(*netlink.Vxlan); ok {
			line += fmt.Sprintf(" id=%d local=%s learning=%t", v.VxlanId, v.SrcAddr, v.Learning)
		}
		if b, ok := l.(*netlink.Bridge); ok && b.VlanFiltering != nil {
			line += fmt.Sprintf(" filtering=%t", *b.VlanFiltering)
		}
		out = append(out, line)
		if a.MasterIndex != 0 {
			if p, err := netlink.LinkGetProtinfo(l); err == nil {
				out = append(out, fmt.Sprintf("port %s %+v", a.Name, p))
			}
		}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6, unix.AF_BRIDGE} {
			list, err := netlink.NeighList(a.Index, family)
			if err != nil {
				return out, err
			}
			for _, n := range list {
				if n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 && n.LinkIndex == a.Index && (n.HardwareAddr[0] == 2 && n.HardwareAddr[1] == 0x42) {
					out = append(out, fmt.Sprintf("neigh %d %s %s %s", family, a.Name, n.IP, n.HardwareAddr))
				}
			}
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return out, err
		}
		for _, x := range addrs {
			if x.Scope != unix.RT_SCOPE_LINK || x.IP.To4() != nil {
				out = append(out, fmt.Sprintf("addr %s dev %s", x.IPNet, a.Name))
			}
		}
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Protocol: nl.RouteProtocol}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return out, err
	}
	for _, r := range routes {
		out = append(out, fmt.Sprintf("route %s via %s dev %s table %d metric %d", r.Dst, r.Gw, names[r.LinkIndex], r.Table, r.Priority))
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rules, err := netlink.RuleList(family)
		if err != nil {
			return out, err
		}
		for _, r := range rules {
			out = append(out, "rule "+r.String())
		}
	}
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/all/accept_ra", "net/ipv6/conf/all/accept_dad",
		"net/ipv4/conf/swarmnet0/route_localnet", "net/ipv4/conf/br-4096/rp_filter", "net/bridge/bridge-nf-call-iptables"} {
		if b, err := os.ReadFile("/proc/sys/" + key); err == nil {
			out = append(out, key+"="+strings.TrimSpace(string(b)))
		}
	}
	return out, nil
}

// uplinkRules gives the rules that go by the uplink's index names that do not depend on it: made anew, it has another. It puts a table's text in one
// line, too.
func uplinkRules(path string) *strings.Replacer {
	index := 0
	if c, err := nl.Open(path); err == nil {
		if l, ok, err := c.Link("uplink"); err == nil && ok {
			index = l.Index
		}
		c.Close()
	}
	away := nft.R(nft.INet, nft.IIFIsNot(index), nft.OIFIsNot(index), nft.GotoChain("between"))
	stays := nft.R(nft.INet, nft.OIFIsNot(index), nft.Accept())
	return strings.NewReplacer(away.ID, "neither is uplink", stays.ID, "not to uplink", "\n", "; ")
}

// ourTables are the names of the tables that we make, wherever.
var ourTables = []string{"swarmnet_fabric", "swarmnet_ingress", "swarmnet_balancer", "swarmnet_hairpin", "swarmnet_vip"}

func tablesOf(path string) (out []string) {
	byIndex := uplinkRules(path)
	withTables(path, func(c *nft.Conn) {
		for _, name := range ourTables {
			for _, family := range []nft.Family{nft.INet, nft.Bridge} {
				t, err := c.Observe(family, name)
				if err != nil {
					out = append(out, "error "+err.Error())
				} else if t != nil {
					slices.SortFunc(t.Sets, func(a, b nft.Set) int { return strings.Compare(a.Name, b.Name) })
					slices.SortFunc(t.Chains, func(a, b nft.Chain) int { return strings.Compare(a.Name, b.Name) })
					for _, c := range t.Chains {
						out = append(out, fmt.Sprintf("chain %s %s %s %+v %d rules", family, name, c.Name, c.Base, len(c.Rules)))
					}
					out = append(out, fmt.Sprintf("dormant=%t %s", t.Dormant, byIndex.Replace(t.String())))
				}
			}
		}
	})
	return out
}

func withTables(path string, fn func(*nft.Conn)) {
	open := netns.Current
	if path != "" {
		open = func() (*netns.Handle, error) { return netns.Open(path) }
	}
	ns, err := open()
	if err != nil {
		return // then that is what differs
	}
	defer ns.Close()
	c, err := nft.Open(ns)
	if err != nil {
		return
	}
	defer c.Close()
	fn(c)
}

// TestKernelHealing has others remove or alter what is ours, one thing at a time. The agent is one that never looks by itself but when the kernel
// tells; what it tells nobody is left to one that looks every few seconds, as all agents do.
func TestKernelHealing(t *testing.T) {
	w := newWard(t)
	w.start(time.Hour)
	w.boss.sets <- w.assign()
	w.ownBox()
	eventually(t, "the task runs", func() bool { return w.boss.last("t1").State == swarmnet.TaskRunning })
	w.agrees("at first")
	heard, silent := w.damages()
	w.heal(heard)
	w.stop()

	// Another daemon finds everything as it was, and does nothing.
	before := w.look()
	w.start(0)
	w.boss.sets <- w.assign()
	w.agrees("another daemon")
	if n := w.agent.Repaired(); n != 0 || !slices.Equal(w.look(), before) {
		t.Errorf("a daemon that starts changed something: %v", without(w.look(), before))
	}
	w.heal(silent)
}

// heal does each damage and waits for its repair.
func (w *ward) heal(damages map[string]damage) {
	for _, name := range slices.Sorted(maps.Keys(damages)) {
		w.t.Run(name, func(t *testing.T) {
			w := &ward{iron: w.iron, t: t, boss: w.boss, local: w.local, agent: w.agent}
			w.agrees("before")
			before, repaired := w.look(), w.agent.Repaired()
			d := damages[name]
			at := time.Now()
			if err := netns.Do(d.in, d.do); errors.Is(err, errNothing) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			eventuallyIn(t, 20*time.Second, "it is repaired", func() string {
				if w.agent.Repaired() == repaired && !d.untold {
					return "nothing was noticed: " + strings.Join(append(without(before, w.look()), without(w.look(), before)...), "\n")
				}
				now := w.look()
				return strings.Join(append(without(before, now), without(now, before)...), "\n")
			})
			t.Logf("whole again after %v", time.Since(at).Round(time.Millisecond))
			w.agrees("after")
		})
	}
}

// damage is what somebody does in a namespace.
type damage struct {
	in string
	do func() error
	// untold says that it may be repaired before anybody notices, or is repaired in a way that is not drift.
	untold bool
}

func eventuallyIn(t *testing.T, within time.Duration, what string, why func() string) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		w := why()
		if w == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s: %s", what, w)
		}
	}
}

// ownBox makes a network of the node's own with a sandbox on it.
func (w *ward) ownBox() {
	w.t.Helper()
	env := local.Env{Now: time.Now()}
	step := func(f func(s local.State) (local.State, error)) {
		w.t.Helper()
		if _, err := w.local.Step(f); err != nil {
			w.t.Fatal(err)
		}
	}
	step(func(s local.State) (local.State, error) {
		next, _, err := s.CreateNetwork("lan", swarmnet.NetworkSpec{Name: "lan"}, env)
		return next, err
	})
	spec := swarmnet.SandboxSpec{Name: "box", Networks: []swarmnet.NetworkAttachment{{Network: "lan"}}, Task: swarmnet.TaskSpec{Command: []string{"sleep", "100000"}}}
	plain := swarmnet.SandboxSpec{Name: "plain", Mode: swarmnet.ModeNone, Task: spec.Task} // the fabric has no port of it
	for id, spec := range map[swarmnet.TaskID]swarmnet.SandboxSpec{"box": spec, "plain": plain} {
		step(func(s local.State) (local.State, error) {
			next, _, err := s.CreateSandbox(id, spec, env)
			return next, err
		})
		step(func(s local.State) (local.State, error) {
			next, _, err := s.Start(spec.Name, env)
			return next, err
		})
		eventually(w.t, "the sandbox runs", func() bool { return w.local.Read().Sandboxes[id].State == swarmnet.SandboxRunning })
	}
}
