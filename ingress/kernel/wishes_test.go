package kernel

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// fakeKernel is a Balancer that keeps IPVS services in memory: what IPVS computes, without a kernel.
type fakeKernel map[string]ipvs.Table

func (f fakeKernel) ensure(ctx context.Context, ns string, ours func(ipvs.Key) bool, want ipvs.Table) (int, error) {
	if f[ns] == nil {
		f[ns] = ipvs.Table{}
	}
	have := ipvs.Table{}
	for k, s := range f[ns] {
		if ours(k) {
			have[k] = s
		}
	}
	ops := ipvs.Diff(have, want)
	if plan.From(ctx).IsDry() {
		return len(ops), nil
	}
	for _, o := range ops {
		s := f[ns][o.Key]
		switch o.Kind {
		case ipvs.AddService, ipvs.SetService:
			if s.Dests == nil {
				s.Dests = map[netip.AddrPort]ipvs.Dest{}
			}
			f[ns][o.Key] = ipvs.Service{Scheduler: o.Service.Scheduler, Flags: o.Service.Flags, Dests: s.Dests}
		case ipvs.DelService:
			delete(f[ns], o.Key)
		case ipvs.DelDest:
			delete(s.Dests, o.Addr)
		default:
			s.Dests[o.Addr] = o.Dest
		}
	}
	return len(ops), nil
}

func (f fakeKernel) Ports(ctx context.Context, ns string, addrs []netip.Addr, ports []ingress.Port) (int, error) {
	return f.ensure(ctx, ns, oursInFabric(addrs), portServices(addrs, ports, ipvs.RoundRobin))
}

func (f fakeKernel) VIPs(ctx context.Context, ns string, vips ingress.VIPs) (int, error) {
	return f.ensure(ctx, ns, oursInSandbox, vipServices(withMarks(vips), ipvs.RoundRobin))
}

func (f fakeKernel) RemovePorts(ctx context.Context, ns string, addrs []netip.Addr) error {
	_, err := f.ensure(ctx, ns, oursInFabric(addrs), nil)
	return err
}

func (f fakeKernel) Name() string { return "fake" }
func (f fakeKernel) Told() bool   { return true }

// wish is what a balancer may be asked for.
type wish struct {
	ports []ingress.Port
	vips  ingress.VIPs
}

func (w wish) String() string { return ingress.Mesh{Ports: w.ports}.String() + w.vips.String() }

// anyWish draws one: each task takes connections, drains, is lost, or is not there.
func anyWish(r *rand.Rand) (w wish) {
	for i := range 4 {
		p := ingress.Port{Protocol: swarmnet.Protocol(i % 2), Published: uint16(8080 + i/2)}
		v := ingress.VIP{Addr: netip.AddrFrom4([4]byte{10, 0, 9, byte(i)})}
		for j := range 4 {
			a := netip.AddrFrom4([4]byte{10, 0, 1, byte(j)})
			if j == 3 {
				a = netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(j)})
			}
			b := ingress.Backend{Addr: a, Port: 80}
			switch r.IntN(4) {
			case 0:
				p.Backends, v.Backends = append(p.Backends, b), append(v.Backends, a)
			case 1:
				p.Draining, v.Draining = append(p.Draining, b), append(v.Draining, a)
			case 2:
				p.Lost, v.Lost = append(p.Lost, b), append(v.Lost, a)
			}
		}
		six := func(a netip.Addr) bool { return a.Is6() } // an address balances over its own family
		v.Backends, v.Draining, v.Lost = slices.DeleteFunc(v.Backends, six), slices.DeleteFunc(v.Draining, six), slices.DeleteFunc(v.Lost, six)
		if r.IntN(5) > 0 {
			w.ports = append(w.ports, p)
		}
		if r.IntN(5) > 0 {
			w.vips = append(w.vips, v)
		}
	}
	return w
}

// Whatever was made before, what is there is what is wanted: as if nothing had been there, a second pass changes nothing, and a dry one tells how much
// would change and changes nothing either.
func TestKernelConformanceWishes(t *testing.T) {
	fake := fakeKernel{}
	services := func(t ipvs.Table) (out []string) {
		for _, o := range ipvs.Diff(nil, t) {
			out = append(out, o.String())
		}
		return out
	}
	tables := func(t *testing.T, ns string) (out []string) {
		for _, name := range []string{balancerTable, vipTable} {
			if table := observe(t, ns, nft.INet, name); table != nil {
				out = append(out, lines(table)...)
			}
		}
		return out
	}
	for _, kind := range []struct {
		name  string
		needs []kerneltest.Feature
		make  func() Balancer
		look  func(t *testing.T, ns string) []string
	}{
		{"fake", nil, func() Balancer { return fake }, func(_ *testing.T, ns string) []string { return services(fake[ns]) }},
		{"nftables", []kerneltest.Feature{kerneltest.NFTables, kerneltest.IPv6}, func() Balancer { return NewNFTables(nil) }, tables},
		{"ipvs", []kerneltest.Feature{kerneltest.IPVS, kerneltest.IPv6}, func() Balancer { return NewIPVS(ipvs.RoundRobin, nil) }, func(t *testing.T, ns string) []string {
			c, err := ipvs.Open(ns)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			have, err := c.Observe(whatever)
			if err != nil {
				t.Fatal(err)
			}
			return append(services(have), tables(t, ns)...)
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			namespace := func() string { return fmt.Sprint("ns", len(fake)) }
			if kind.needs != nil {
				kerneltest.Require(t, kind.needs...)
				namespace = func() string { return kerneltest.NewNamespace(t).Path }
			}
			addrs := Config{}.withDefaults().FabricAddrs
			r := rand.New(rand.NewPCG(1, 2))
			pass := func(ctx context.Context, b Balancer, ns string, w wish) int {
				t.Helper()
				n, err := b.Ports(ctx, ns, addrs, w.ports)
				if err != nil {
					t.Fatalf("%s%v", w, err)
				}
				m, err := b.VIPs(ctx, ns, w.vips)
				if err != nil {
					t.Fatalf("%s%v", w, err)
				}
				return n + m
			}
			b, ns := kind.make(), namespace()
			pass(t.Context(), b, ns, wish{vips: anyWish(r).vips[:1]}) // a namespace that never had any has no table
			for round := range 12 {
				w := anyWish(r)
				if round%3 == 2 {
					b = kind.make() // a daemon that starts again
				}
				before := kind.look(t, ns)
				dry, _ := plan.Dry(context.Background())
				would := pass(dry, b, ns, w)
				if now := kind.look(t, ns); !slices.Equal(now, before) {
					t.Fatalf("a dry pass changed %q to %q", before, now)
				}
				if did := pass(t.Context(), b, ns, w); did != would {
					t.Errorf("round %d: %d things were changed, a dry pass told of %d", round, did, would)
				}
				if again := pass(t.Context(), b, ns, w); again != 0 {
					t.Errorf("round %d: a second pass changed %d things", round, again)
				}
				fresh := namespace()
				pass(t.Context(), kind.make(), fresh, w)
				if len(w.vips) == 0 {
					continue
				}
				if have, want := kind.look(t, ns), kind.look(t, fresh); !slices.Equal(have, want) {
					t.Fatalf("round %d: wanted is\n%sthere is\n%s\nmade of nothing it is\n%s", round, w, strings.Join(have, "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}
