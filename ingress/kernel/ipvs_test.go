package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	mobyipvs "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// services opens the IPVS of a namespace.
func services(t *testing.T, ns string) *ipvs.Conn {
	t.Helper()
	c, err := ipvs.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// whatever takes all services for ours.
func whatever(ipvs.Key) bool { return true }

// become makes of a namespace's services others, whoever's they are.
func become(t *testing.T, c *ipvs.Conn, alter func(ipvs.Table)) {
	t.Helper()
	have, err := c.Observe(whatever)
	if err != nil {
		t.Fatal(err)
	}
	want, err := c.Observe(whatever)
	if err != nil {
		t.Fatal(err)
	}
	alter(want)
	if _, err := c.Apply(context.Background(), ipvs.Diff(have, want)); err != nil {
		t.Fatal(err)
	}
}

// Whatever somebody else alters of ours is put right; what is not ours stays, and a dry pass says what is wrong and leaves it so.
func TestKernelIPVSRepair(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPVS)
	c := newClusterOver(t, 1, func() Balancer { return NewIPVS(ipvs.RoundRobin, nil) })
	c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
	box := c.task("web", "t1", 0, "app", "10.0.1.11")
	serve(t, box, "t1", 80)
	c.balance(0, "t1", box)
	n := c.nodes[0]
	entry := n.under.String() + ":8080"
	fabric, sandbox := services(t, n.fabric.Path()), services(t, box.Path)
	foreign := ipvs.At(unix.IPPROTO_TCP, netip.MustParseAddrPort("198.51.100.1:8080"))
	for _, c := range []*ipvs.Conn{fabric, sandbox} {
		become(t, c, func(t ipvs.Table) {
			s := ipvs.NewService(ipvs.LeastConnection)
			s.Dests[netip.MustParseAddrPort("198.51.100.2:80")] = ipvs.Dest{Weight: 5}
			t[foreign], t[ipvs.Marked(7, false)] = s, s
		})
	}
	every := func(alter func(ipvs.Key, *ipvs.Service, ipvs.Table)) func(ipvs.Table) {
		return func(t ipvs.Table) {
			for k, s := range t {
				if k != foreign && k.Mark != 7 {
					t[k] = s
					alter(k, &s, t)
				}
			}
		}
	}
	for what, alter := range map[string]func(ipvs.Table){
		"services":     every(func(k ipvs.Key, _ *ipvs.Service, t ipvs.Table) { delete(t, k) }),
		"destinations": every(func(_ ipvs.Key, s *ipvs.Service, _ ipvs.Table) { clear(s.Dests) }),
		"weights": every(func(_ ipvs.Key, s *ipvs.Service, _ ipvs.Table) {
			for a := range s.Dests {
				s.Dests[a] = ipvs.Dest{}
			}
		}),
		"methods": every(func(_ ipvs.Key, s *ipvs.Service, _ ipvs.Table) {
			for a := range s.Dests {
				s.Dests[a] = ipvs.Dest{Weight: 1, Method: 3}
			}
		}),
		"limits": every(func(_ ipvs.Key, s *ipvs.Service, _ ipvs.Table) {
			for a := range s.Dests {
				s.Dests[a] = ipvs.Dest{Weight: 1, Upper: 1}
			}
		}),
		"stray": every(func(_ ipvs.Key, s *ipvs.Service, _ ipvs.Table) {
			s.Dests[netip.MustParseAddrPort("198.51.100.9:1")] = ipvs.Dest{Weight: 1}
		}),
		"scheduler": every(func(k ipvs.Key, s *ipvs.Service, t ipvs.Table) {
			other := *s
			other.Scheduler = ipvs.SourceHash
			t[k] = other
		}),
		"a service too much": func(t ipvs.Table) {
			t[ipvs.At(unix.IPPROTO_TCP, netip.MustParseAddrPort("169.254.77.2:9999"))] = ipvs.NewService(ipvs.RoundRobin)
			t[ipvs.Marked(markOurs|9998, false)] = ipvs.NewService(ipvs.RoundRobin)
		},
	} {
		become(t, fabric, alter)
		become(t, sandbox, alter)
		dry, p := plan.Dry(context.Background())
		wanted := n.wanted()
		if would, err := n.mesh.Reconcile(dry, wanted); err != nil || would == 0 || len(p.Lines()) == 0 || !strings.Contains(p.Lines()[0], "ipvs ") {
			t.Errorf("%s: a dry pass would change %d things, %q: %v", what, would, p.Lines(), err)
		}
		if n.reconcile() == 0 || c.balance(0, "t1", box) == 0 {
			t.Errorf("%s: not noticed", what)
		}
		if n.reconcile() != 0 || c.balance(0, "t1", box) != 0 {
			t.Errorf("%s: a second pass changed something", what)
		}
		ask(t, c.outside, "tcp", entry)
		ask(t, c.outside, "udp", entry)
		ask(t, box, "tcp", "10.0.1.200:80")
		ask(t, box, "udp", "10.0.1.200:80")
	}
	for _, ns := range []string{n.fabric.Path(), box.Path} {
		kerneltest.Adopt(t, ns).With(func(c *nl.Conn) error { return c.Sysctl("net/ipv4/vs/conntrack", "0") })
	}
	if n.reconcile() != 1 || c.balance(0, "t1", box) != 1 {
		t.Error("that connection tracking was turned off is not noticed")
	}
	if err := n.mesh.Remove(context.Background()); err != nil {
		t.Fatal(err)
	}
	left, err := fabric.Observe(whatever)
	for k := range left {
		if oursInFabric(n.mesh.cfg.FabricAddrs)(k) {
			t.Errorf("%s is left behind", k)
		}
	}
	if _, there := left[foreign]; err != nil || !there || len(left[foreign].Dests) != 1 {
		t.Errorf("left are %v: %v", left, err)
	}
}

// A namespace that balances has the settings of datapath.md, and gets them again when somebody else changes one. Idle connections are kept for hours at
// least (RFC 5382 section 5 asks for two and four minutes).
func TestKernelIPVSSettings(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPVS)
	ns := kerneltest.NewNamespace(t)
	c := services(t, ns.Path)
	raw, err := mobyipvs.New(ns.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	ensure := func(when string, most int) {
		t.Helper()
		dry, p := plan.Dry(t.Context())
		would, err := c.EnsureSettings(dry, ns.Path, true)
		changes, err2 := c.EnsureSettings(t.Context(), ns.Path, true)
		if err := errors.Join(err, err2); err != nil || changes == 0 || changes > most || would != changes || len(p.Lines()) != changes {
			t.Errorf("%s: %d changes, a dry pass told %d, %q; want 1 to %d: %v", when, changes, would, p.Lines(), most, err)
		}
		if changes, err := c.EnsureSettings(t.Context(), ns.Path, true); err != nil || changes != 0 {
			t.Errorf("%s: a second pass made %d changes: %v", when, changes, err)
		}
		config, err := raw.GetConfig()
		if err != nil {
			t.Fatal(err)
		}
		if config.TimeoutTCP < 3*time.Hour || config.TimeoutTCPFin != 2*time.Minute || config.TimeoutUDP != 5*time.Minute {
			t.Errorf("%s: the timeouts are %+v", when, *config)
		}
	}
	ensure("at first", 8)
	if tcp, err := c.IdleTCP(); err != nil || tcp < 3*time.Hour {
		t.Errorf("an idle TCP connection is kept for %v: %v", tcp, err)
	}
	for _, key := range []string{"conntrack", "conn_reuse_mode", "expire_nodest_conn", "expire_quiescent_template", "sloppy_tcp"} {
		ns.With(func(c *nl.Conn) error { return c.Sysctl("net/ipv4/vs/"+key, "0") })
		ensure(key, 1)
		ns.With(func(c *nl.Conn) error {
			if v, err := c.GetSysctl("net/ipv4/vs/" + key); err != nil || v != "1" {
				t.Errorf("%s is %s: %v", key, v, err)
			}
			return nil
		})
	}
	ns.With(func(c *nl.Conn) error { return c.Sysctl("net/ipv4/icmp_ratemask", "6168") })
	ensure("refusals", 1)
	if err := raw.SetConfig(&mobyipvs.Config{TimeoutTCP: 15 * time.Minute, TimeoutTCPFin: time.Minute, TimeoutUDP: time.Minute}); err != nil {
		t.Fatal(err)
	}
	ensure("other timeouts", 1)
}

// Each scheduler picks as its name says, and none a task that drains.
func TestKernelIPVSSchedulers(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPVS)
	for _, s := range ipvs.Schedulers {
		t.Run(string(s), func(t *testing.T) {
			c := newClusterOver(t, 1, func() Balancer { return NewIPVS(s, nil) })
			c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
			for i, id := range []swarmnet.TaskID{"t1", "t2", "t3"} {
				serve(t, c.task("web", id, 0, "app", []string{"10.0.1.11", "10.0.1.12", "10.0.1.13"}[i]), string(id), 80)
			}
			entry := c.nodes[0].under.String() + ":8080"
			// lc looks at connections that are there: they are held.
			hold := func(n int) (answered map[string]int) {
				answered = map[string]int{}
				for range n {
					conn, err := dial(c.outside, "tcp", ":0", entry)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { conn.Close() })
					name, _, err := say(conn)
					if err != nil {
						t.Fatal(err)
					}
					answered[name]++
				}
				return answered
			}
			answered := hold(30)
			hashes := s == ipvs.SourceHash || s == ipvs.Maglev
			if hashes && len(answered) != 1 {
				t.Errorf("one client was answered by %v", answered)
			}
			for _, id := range []string{"t1", "t2", "t3"} {
				if !hashes && answered[id] != 10 {
					t.Errorf("answered %v, want each ten times", answered)
				}
			}
			var first swarmnet.TaskID
			for id := range answered {
				first = swarmnet.TaskID(id)
			}
			c.desire(first, swarmnet.DesireDraining)
			c.apply()
			if n := hold(12)[string(first)]; n > 0 {
				t.Errorf("%s drains and got %d connections", first, n)
			}
		})
	}
}

// The two balancers' tables of one name follow each other.
func TestKernelTablesOfBothBalancers(t *testing.T) {
	kerneltest.Require(t, kerneltest.NFTables, kerneltest.IPv6)
	ns := kerneltest.NewNamespace(t)
	a := netip.MustParseAddr
	var vips ingress.VIPs
	ports := []ingress.Port{{Published: 8080, Backends: []ingress.Backend{{Addr: a("10.0.1.1"), Port: 80}, {Addr: a("fd00::1"), Port: 80}}}}
	for i, addr := range []netip.Addr{a("10.0.1.9"), a("10.0.1.10"), a("fd00::9")} {
		v := ingress.VIP{Addr: addr, Backends: []netip.Addr{a("10.0.1.1"), a("10.0.1.2")}[:2-i%2]}
		if addr.Is6() {
			v.Backends = []netip.Addr{a("fd00::1")}
		}
		vips = append(vips, v)
	}
	for round := range 2 {
		for _, table := range []nft.Table{
			portTable(Config{}.withDefaults().FabricAddrs, ports), hideTable(), vipsTable(vips), markTable(marked{vips, markOf(vips)}),
		} {
			put(t, ns.Path, table)
			fresh := kerneltest.NewNamespace(t)
			put(t, fresh.Path, table)
			if have, want := lines(observe(t, ns.Path, nft.INet, table.Name)), lines(observe(t, fresh.Path, nft.INet, table.Name)); !slices.Equal(have, want) {
				t.Errorf("round %d: %s is %q, wanted was %q", round, table.Name, have, want)
			}
		}
	}
}

// lines are a table's, ordered.
func lines(t *nft.Table) []string {
	out := strings.Split(t.String(), "\n")
	slices.Sort(out)
	return out
}

// Another --balancer, at the daemon's next start: what is established goes on, new connections go the new way at once, and then the old one's objects
// are gone, but for what still has connections.
func TestKernelSwitchBalancer(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPVS)
	c := newClusterOver(t, 2, func() Balancer { return NewNFTables(nil) })
	c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
	c.service("client", "10.0.1.201")
	box := c.task("client", "c1", 0, "app", "10.0.1.20")
	serve(t, c.task("web", "t1", 0, "app", "10.0.1.11"), "t1", 80)
	serve(t, c.task("web", "t2", 1, "app", "10.0.1.12"), "t2", 80)
	entry := c.nodes[0].under.String() + ":8080"
	type held struct {
		net.Conn
		task string
	}
	var established []held
	balancers := []func() Balancer{
		func() Balancer { return NewNFTables(nil) }, func() Balancer { return NewIPVS(ipvs.RoundRobin, nil) }, func() Balancer { return NewNFTables(nil) },
	}
	for round, by := range balancers {
		for _, n := range c.nodes {
			n.mesh.Close()
			cfg := n.mesh.cfg
			cfg.Balancer = by()
			n.mesh, n.vips = NewMesh(cfg), NewVIPs(cfg)
			t.Cleanup(func() { n.mesh.Close() })
		}
		c.apply()
		c.balance(0, "c1", box)
		c.settled("after a switch")
		if c.balance(0, "c1", box) != 0 {
			t.Errorf("round %d: a second pass changed something", round)
		}
		for _, h := range established {
			if name, _, err := say(h); err != nil || name != h.task {
				t.Fatalf("round %d: a connection to %s was answered by %q: %v", round, h.task, name, err)
			}
		}
		for range 6 {
			for _, way := range []struct {
				from *kerneltest.NS
				to   string
			}{{c.outside, entry}, {box, "10.0.1.200:80"}} {
				conn, err := dial(way.from, "tcp", ":0", way.to)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				name, _, err := say(conn)
				if err != nil {
					t.Fatal(err)
				}
				established = append(established, held{conn, name})
			}
		}
		fabric, err := services(t, c.nodes[0].fabric.Path()).Observe(whatever)
		if err != nil {
			t.Fatal(err)
		}
		table := observe(t, c.nodes[0].fabric.Path(), nft.INet, balancerTable)
		switch by().Name() {
		case "nft":
			for k, s := range fabric {
				for a, d := range s.Dests {
					if d.Weight > 0 || d.Conns == 0 {
						t.Errorf("round %d: %s -> %s has weight %d and %d connections", round, k, a, d.Weight, d.Conns)
					}
				}
			}
		default:
			if len(fabric) == 0 || len(table.Sets) > 0 {
				t.Errorf("round %d: %d services, and a table with %d sets", round, len(fabric), len(table.Sets))
			}
		}
	}
}
