package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// ipvsMeddlers are the meddlers for nodes that balance with IPVS: they alter whatever it balances in the namespace that they are in.
var ipvsMeddlers = map[string]func(*rand.Rand) error{
	"ipvs-services":     inIPVS(func(t ipvs.Table) { clear(t) }),
	"ipvs-destinations": inIPVS(func(t ipvs.Table) { forServices(t, func(s *ipvs.Service) { clear(s.Dests) }) }),
	"ipvs-weights": inIPVS(func(t ipvs.Table) {
		forServices(t, func(s *ipvs.Service) {
			for a := range s.Dests {
				s.Dests[a] = ipvs.Dest{}
			}
		})
	}),
	"ipvs-scheduler": inIPVS(func(t ipvs.Table) { forServices(t, func(s *ipvs.Service) { s.Scheduler = ipvs.SourceHash }) }),
	"ipvs-strays": inIPVS(func(t ipvs.Table) {
		forServices(t, func(s *ipvs.Service) { s.Dests[netip.MustParseAddrPort("198.51.100.9:1")] = ipvs.Dest{Weight: 1} })
	}),
}

func forServices(t ipvs.Table, alter func(*ipvs.Service)) {
	for k, s := range t {
		alter(&s)
		t[k] = s
	}
}

// inIPVS makes of what is balanced in the caller's namespace something else.
func inIPVS(alter func(ipvs.Table)) func(*rand.Rand) error {
	return func(*rand.Rand) error {
		c, err := ipvs.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer c.Close()
		all := func(ipvs.Key) bool { return true }
		have, err := c.Observe(all)
		if err != nil {
			return err
		}
		want, err := c.Observe(all)
		if err != nil {
			return err
		}
		alter(want)
		ops := ipvs.Diff(have, want)
		if len(ops) > 0 {
			fmt.Printf("ipvs changed: %v\n", ops)
		}
		_, err = c.Apply(context.Background(), ops)
		return err
	}
}

// overIPVS is a cluster whose nodes all balance with IPVS.
func overIPVS(t *testing.T) cluster {
	t.Helper()
	kerneltest.Require(t, kerneltest.IPVS)
	c := cluster{labtest.Up(t, lab.Config{Binary: binary, Balancer: "ipvs"}), t}
	for _, n := range three {
		if by := strings.TrimSpace(c.must(n, "cluster", "info", "--format", "{{.Balancer}}")); by != "ipvs rr" {
			t.Fatalf("%s balances by %s", n, by)
		}
	}
	return c
}

// What somebody removes or alters of a node's IPVS is repaired within 5 s although the kernel tells nobody of it: in the fabric, where published ports are
// balanced, and in sandboxes, where virtual addresses are. It is counted and told as drift.
func TestE2ES19IPVSRepaired(t *testing.T) {
	c := overIPVS(t)
	c.createWeb()
	c.must("n1", "service", "create", "--name", "client", "--network", "app", "--constraint", "node.hostname==n1", "--", "sleep", "100000")
	client := c.runningTasks("n1", "client")[0].ID
	vip := "http://" + slices.Collect(maps.Values(c.vips("web")))[0]
	byVIP := func() error {
		r, err := c.Run(t.Context(), "n1", "swarmnet", "exec", client, "--", "swarmnet", "probe", "ask", "--timeout", "1s", vip)
		if err == nil && (r.Code != 0 || strings.Contains(r.Stdout, `"err"`)) {
			err = fmt.Errorf("%+v", r)
		}
		return err
	}
	labtest.Eventually(t, 10*time.Second, "the virtual address to answer", byVIP)
	c.agree(10*time.Second, three...)
	for _, kind := range slices.Sorted(maps.Keys(ipvsMeddlers)) {
		before := c.repaired("n1")
		began := time.Now()
		done := c.damage("n1", kind, everywhere)
		hits := strings.Count(done, "ipvs changed: ")
		if hits < 2 {
			t.Errorf("%s: %d namespaces of n1 had IPVS services, want the fabric and a sandbox: %s", kind, hits, done)
		}
		took := c.answers(web("n1"), repair)
		took = max(took, labtest.Eventually(t, repair, kind+": the virtual address to answer", byVIP))
		c.agree(repair, "n1")
		t.Logf("%s in %d namespaces: answers again after %v, whole after %v", kind, hits, took, time.Since(began))
		if within := labtest.Patience(repair); time.Since(began) > within {
			t.Errorf("%s: whole after %v, want %v at most", kind, time.Since(began), within)
		}
		labtest.Eventually(t, repair, kind+": the drift that was put right to be counted", func() error {
			if after := c.repaired("n1"); after <= before {
				return fmt.Errorf("%d before, %d after", before, after)
			}
			return nil
		})
	}
	events := c.must("n1", "events", "--since", "10m", "--until", "0s", "--filter", "event=drift", "--format", "json")
	if !strings.Contains(events, "ipvs tcp 169.254.77.2:8080") {
		t.Errorf("the events do not tell of it: %s", events)
	}
}

// A node says by what it balances and why that: to its own commands, to doctor with the daemon and without, and to every manager.
func TestE2EBalancerIsTold(t *testing.T) {
	wish := os.Getenv(labtest.BalancerEnv)
	c := cluster{labtest.Up(t, lab.Config{Binary: binary, Managers: 1}), t}
	by := strings.TrimSpace(c.must("n1", "cluster", "info", "--format", "{{.Balancer}}"))
	why := strings.TrimSpace(c.must("n1", "cluster", "info", "--format", "{{.BalancerWhy}}"))
	missing := ipvs.Probe(ipvs.RoundRobin)
	auto := "ipvs rr: this kernel has IPVS"
	if missing != nil {
		auto = "nft: " + missing.Error()
	}
	switch got := by + ": " + why; {
	case wish != "" && wish != "auto":
		if !strings.HasPrefix(by, wish) || why != "--balancer "+wish+" asks for it" {
			t.Errorf("with --balancer %s it balances by %s", wish, got)
		}
	case got != auto:
		t.Errorf("it balances by %s, want %s", got, auto)
	}
	if got := strings.TrimSpace(c.must("n1", "node", "inspect", "self", "--format", "{{.Description.Balancer}}: {{.Description.BalancerWhy}}")); got != by+": "+why {
		t.Errorf("node inspect says %s", got)
	}
	doctor := func() string {
		r, err := c.Run(t.Context(), "n1", "swarmnet", "doctor", "--format", "{{.Check}}: {{.Found}}")
		if err != nil {
			t.Fatal(err)
		}
		return r.Stdout
	}
	if got := doctor(); !strings.Contains(got, "balancer: published ports and virtual addresses are balanced by "+by+": "+why+"\n") {
		t.Errorf("doctor says %s", got)
	}
	if err := c.Stop("n1", true); err != nil {
		t.Fatal(err)
	}
	if got := doctor(); !strings.Contains(got, "balancer: a daemon would balance by "+auto+"\n") {
		t.Errorf("without a daemon doctor says %s", got)
	}
}

// repaired is how many changes a node made to put drift right.
func (c cluster) repaired(node string) int {
	c.t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(c.must(node, "cluster", "info", "--format", "{{.Repaired}}")))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}
