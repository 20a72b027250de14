package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/ordered"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// Mesh keeps a node's published ports as they should be. Its methods but Degraded and Held may be called by one goroutine at a time.
type Mesh struct {
	cfg    Config
	holder *Holder
	host   made[hostWant]
	fabric made[fabricWant]
	routes madeRoutes
	flows  *flowWant // what flows were last looked through for; nil: not yet
}

// hostWant and fabricWant are what the tables of the host and of the fabric are made from.
type hostWant struct {
	ports  []ingress.Port
	called map[PortKey]uint16 // in the fabric, where that is another number
}

type fabricWant struct {
	mesh  ingress.Mesh
	ports []ingress.Port
	own   []netip.Addr
}

// NewMesh returns the mesh that cfg describes; nothing is made yet.
func NewMesh(cfg Config) *Mesh {
	cfg = cfg.withDefaults()
	return &Mesh{cfg: cfg, holder: NewHolder(cfg.HostNS)}
}

// Reconcile makes the mesh what m says and returns how many things it changed: 0 when all was well. The fabric and its ingress network
// must be there. The host sends to the fabric only what the fabric is ready for, and only ports that are held.
func (k *Mesh) Reconcile(ctx context.Context, m ingress.Mesh) (changes int, err error) {
	ports, err := k.hold(ctx, m.Ports)
	if err != nil {
		return 0, fmt.Errorf("mesh: %w", err)
	}
	own, err := hostAddrs(k.cfg, m)
	if err != nil {
		return 0, fmt.Errorf("mesh: %w", err)
	}
	inside, called := inFabric(ports)
	for _, step := range []func() (int, error){
		func() (int, error) { return k.ensureFabric(ctx, fabricWant{m, ports, own}) },
		func() (int, error) { return k.cfg.Balancer.Ports(ctx, k.cfg.FabricNS, k.cfg.FabricAddrs, inside) },
		func() (int, error) { return k.ensureHost(ctx, hostWant{ports, called}) },
		func() (int, error) { return k.forgetFlows(ctx, m, ports, own) },
	} {
		n, err := step()
		changes += n
		if err != nil {
			return changes, fmt.Errorf("mesh: %w", err)
		}
	}
	if !plan.From(ctx).IsDry() {
		k.holder.Release(ports)
	}
	return changes, nil
}

// hold returns those of the ports that this node holds. A dry pass takes none.
func (k *Mesh) hold(ctx context.Context, ports []ingress.Port) ([]ingress.Port, error) {
	if p := plan.From(ctx); p.IsDry() {
		return k.holder.compare(p, ports), nil
	}
	before := k.holder.Degraded()
	held, err := k.holder.Hold(ports)
	for key, why := range k.holder.Degraded() {
		if before[key] == nil {
			k.cfg.Logger.Warn("port degraded", "port", key.String(), "err", why)
		}
	}
	return held, err
}

// Degraded says which published ports this node could not hold, and why. It may be called at any time.
func (k *Mesh) Degraded() map[PortKey]error { return k.holder.Degraded() }

// Held are the published ports that this node holds, in no order: what is found in use on the host and is one of them is ours. It may be called at
// any time.
func (k *Mesh) Held() []PortKey { return k.holder.Held() }

func (k *Mesh) ensureHost(ctx context.Context, w hostWant) (changes int, err error) {
	err = withKept(k.cfg.HostNS, k.cfg.Clocks, func(c *nft.Conn) error {
		changes, err = k.host.ensure(ctx, c, w, restrictHost, func(w hostWant) []nft.Table { return []nft.Table{hostTable(k.cfg, w.ports, w.called)} })
		return err
	})
	return changes, err
}

func restrictHost(a, b hostWant) (hostWant, hostWant) {
	was, is := restrictPorts(a.ports, b.ports)
	if len(a.called) > 0 {
		for _, p := range b.ports { // what is called otherwise is another element, too
			if n, had := a.called[keyOf(p)]; had && n != b.called[keyOf(p)] {
				was, is = append(was, p), append(is, p)
			}
		}
	}
	return hostWant{was, a.called}, hostWant{is, b.called}
}

func (k *Mesh) ensureFabric(ctx context.Context, w fabricWant) (changes int, err error) {
	err = withKept(k.cfg.FabricNS, k.cfg.Clocks, func(c *nft.Conn) error {
		changes, err = k.fabric.ensure(ctx, c, w, restrictFabric, func(w fabricWant) []nft.Table {
			return append(fabricTables(k.cfg, w.mesh), hairpinTable(k.cfg.Uplink, w.mesh, w.ports, w.own))
		})
		return err
	})
	if err != nil {
		return changes, err
	}
	c, err := nl.OpenIn(ctx, k.cfg.FabricNS)
	if err != nil {
		return changes, err
	}
	defer c.Close()
	n, err := k.ensureRoutes(ctx, c, w.mesh)
	return changes + n, err
}

func restrictFabric(a, b fabricWant) (fabricWant, fabricWant) {
	a.ports, b.ports = restrictPorts(a.ports, b.ports)
	a.mesh.Direct, b.mesh.Direct = ordered.Differ(a.mesh.Direct, b.mesh.Direct, ingress.Direct.Compare)
	a.mesh.Ports, a.mesh.Tasks, b.mesh.Ports, b.mesh.Tasks = nil, nil, nil, nil // in no table
	return a, b
}

// forgetFlows deletes conntrack entries that lead nowhere, when more of them may since the last time.
func (k *Mesh) forgetFlows(ctx context.Context, m ingress.Mesh, ports []ingress.Port, own []netip.Addr) (changes int, err error) {
	if plan.From(ctx).IsDry() {
		return 0, nil
	}
	is := &flowWant{m.Tasks, ports, own}
	inFabric, inHost := is.leavesMore(k.flows)
	balanced, hairpin := staleInFabric(k.cfg, m), staleHairpin(m, ports, own)
	for _, f := range []struct {
		ns    string
		due   bool
		stale func(nl.Flow) bool
	}{
		{k.cfg.FabricNS, inFabric, func(f nl.Flow) bool { return balanced(f) || hairpin(f) }},
		{k.cfg.HostNS, inHost, staleInHost(k.cfg, ports)},
	} {
		if !f.due {
			continue
		}
		n, err := deleteFlows(f.ns, f.stale)
		changes += n
		if err != nil {
			return changes, err
		}
	}
	k.flows = is
	return changes, nil
}

func deleteFlows(ns string, stale func(nl.Flow) bool) (int, error) {
	c, err := nl.Open(ns)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.DeleteFlows(stale)
}

// Close lets go of the held ports; what is in the kernel stays, so that a daemon that starts again finds everything running.
func (k *Mesh) Close() error {
	k.holder.Release(nil)
	return nil
}

// Remove takes everything that Reconcile made off the host, and from the fabric where there is one still.
func (k *Mesh) Remove(ctx context.Context) error {
	errs := []error{withNFT(k.cfg.HostNS, func(c *nft.Conn) error { return c.Remove(nft.INet, tableName) }), k.Close()}
	k.host, k.fabric, k.routes, k.flows = made[hostWant]{}, made[fabricWant]{}, madeRoutes{}, nil
	for _, remove := range []func() error{
		func() error { return k.cfg.Balancer.RemovePorts(ctx, k.cfg.FabricNS, k.cfg.FabricAddrs) },
		func() error {
			return withNFT(k.cfg.FabricNS, func(c *nft.Conn) error {
				return errors.Join(c.Remove(nft.INet, tableName, hairpinName), c.Remove(nft.Bridge, tableName))
			})
		},
		func() error {
			c, err := nl.Open(k.cfg.FabricNS)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = k.ensureRoutes(context.Background(), c, ingress.Mesh{})
			return err
		},
	} {
		if err := remove(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
