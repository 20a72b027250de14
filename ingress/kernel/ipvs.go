package kernel

import (
	"context"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/nft"
)

// IPVS is the Balancer of kernels that have it: a service for each published port in the fabric, and in sandboxes two for each virtual address,
// by firewall mark, which nftables sets (see markTable). Destinations are masqueraded: the client's address stays, and connection tracking
// knows the translation, so that everything else holds for IPVS's connections as for others.
type IPVS struct {
	scheduler ipvs.Scheduler
	nft       *NFTables
	hide      map[string]*made[struct{}] // by namespace path
	marks     map[string]*made[marked]
	ports     *served[balanced]
	vips      *served[marked]
}

// NewIPVS returns the balancer with a scheduler for all services; see NewNFTables for the clocks.
func NewIPVS(s ipvs.Scheduler, clocks *nft.Clocks) *IPVS {
	return &IPVS{
		scheduler: s, nft: NewNFTables(clocks), hide: map[string]*made[struct{}]{}, marks: map[string]*made[marked]{},
		ports: newServed(true, balanced.equal, func(b balanced) ipvs.Table { return portServices(b.addrs, b.ports, s) }),
		vips:  newServed(false, marked.equal, func(m marked) ipvs.Table { return vipServices(m, s) }),
	}
}

// Name implements Balancer.
func (b *IPVS) Name() string { return "ipvs " + string(b.scheduler) }

// Told implements Balancer: nobody is told of changes in IPVS.
func (b *IPVS) Told() bool { return false }

// Ports implements Balancer.
func (b *IPVS) Ports(ctx context.Context, ns string, addrs []netip.Addr, ports []ingress.Port) (int, error) {
	return ensureServices(ctx, b.ports, ns, oursInFabric(addrs), balanced{addrs, ports}, func() (int, error) {
		// It is in the place of the other balancer's.
		return ensureIn(ctx, b.nft, withKept, b.hide, ns, struct{}{}, func(a, b struct{}) (struct{}, struct{}) { return a, b }, func(struct{}) []nft.Table {
			return []nft.Table{hideTable()}
		})
	})
}

// VIPs implements Balancer. A sandbox that never had any has nothing, as with nftables.
func (b *IPVS) VIPs(ctx context.Context, ns string, vips ingress.VIPs) (int, error) {
	if len(vips) == 0 {
		if there, err := b.nft.hasVIPTable(ns); err != nil || !there {
			return 0, err
		}
	}
	want, known := b.vips.of(ns)
	if !known || !want.equal(marked{vips: vips}) {
		want = withMarks(vips)
	}
	return ensureServices(ctx, b.vips, ns, oursInSandbox, want, func() (int, error) {
		return ensureIn(ctx, b.nft, withClocks, b.marks, ns, want, restrictMarked, func(m marked) []nft.Table { return []nft.Table{markTable(m)} })
	})
}

// RemovePorts implements Balancer.
func (b *IPVS) RemovePorts(ctx context.Context, ns string, addrs []netip.Addr) error {
	return b.nft.RemovePorts(ctx, ns, addrs)
}

// ensureServices makes the services, then what leads to them, then takes away the services that nothing leads to any more.
func ensureServices[T any](ctx context.Context, s *served[T], ns string, ours func(ipvs.Key) bool, want T, lead func() (int, error)) (changes int, err error) {
	c, err := ipvs.Open(ns)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ops, err := s.diff(c, ns, ours, want)
	if err != nil {
		return 0, err
	}
	last := 0
	for last < len(ops) && !ops[last].Removes() {
		last++
	}
	for _, step := range []func() (int, error){
		func() (int, error) { return c.EnsureSettings(ctx, ns, s.open) },
		func() (int, error) { return c.Apply(ctx, ops[:last]) },
		lead,
		func() (int, error) { return c.Apply(ctx, ops[last:]) },
	} {
		n, err := step()
		changes += n
		if err != nil {
			return changes, err
		}
	}
	return changes, nil
}

// retire takes away what another balancer made with IPVS, but what has connections still: those get no new ones. clean says that nothing
// is left. Only a task's connections to itself by its own service's virtual address end: they need the chain `local` of markTable.
func retire(ctx context.Context, ns string, ours func(ipvs.Key) bool) (changes int, clean bool, err error) {
	c, err := ipvs.Open(ns)
	if err != nil {
		return 0, false, err
	}
	defer c.Close()
	have, err := c.Observe(ours)
	if errors.Is(err, unix.EPERM) { // not in this user namespace: then we have made nothing there either
		return 0, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	changes, err = c.Apply(ctx, ipvs.Diff(have, ipvs.Retired(have)))
	return changes, len(have) == 0, err
}

// removeServices takes away all services of ours, whatever connections they have.
func removeServices(ctx context.Context, ns string, ours func(ipvs.Key) bool) error {
	if !ipvs.Loaded() {
		return nil
	}
	c, err := ipvs.Open(ns)
	if err != nil {
		return err
	}
	defer c.Close()
	have, err := c.Observe(ours)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil
		}
		return err
	}
	_, err = c.Apply(ctx, ipvs.Diff(have, nil))
	return err
}
