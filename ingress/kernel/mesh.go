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
	"github.com/swarmnet/swarmnet/internal/plan"
)

// Mesh keeps a node's published ports as they should be. Its methods but Degraded and Held may be called by one goroutine at a time.
type Mesh struct {
	cfg                    Config
	holder                 *Holder
	hostMemo, fabricMemo   nft.Memo
	hostFlows, fabricFlows [32]byte // what flows were last looked through for
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
		func() (int, error) { return k.ensureFabric(ctx, m, hairpinTable(k.cfg, m, ports, own)) },
		func() (int, error) { return k.cfg.Balancer.Ports(ctx, k.cfg.FabricNS, k.cfg.FabricAddrs, inside) },
		func() (int, error) { return k.ensure(ctx, k.cfg.HostNS, &k.hostMemo, hostTable(k.cfg, ports, called)) },
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

func (k *Mesh) ensure(ctx context.Context, ns string, memo *nft.Memo, tables ...nft.Table) (changes int, err error) {
	err = withNFT(ns, func(c *nft.Conn) error {
		changes, err = c.Ensure(ctx, memo, tables...)
		return err
	})
	return changes, err
}

func (k *Mesh) ensureFabric(ctx context.Context, m ingress.Mesh, hairpin nft.Table) (int, error) {
	changes, err := k.ensure(ctx, k.cfg.FabricNS, &k.fabricMemo, append(fabricTables(m), hairpin)...)
	if err != nil {
		return changes, err
	}
	c, err := nl.OpenIn(ctx, k.cfg.FabricNS)
	if err != nil {
		return changes, err
	}
	defer c.Close()
	n, err := ensureRoutes(c, m)
	return changes + n, err
}

// forgetFlows deletes conntrack entries that lead nowhere, when what leads where changed.
func (k *Mesh) forgetFlows(ctx context.Context, m ingress.Mesh, ports []ingress.Port, own []netip.Addr) (changes int, err error) {
	if plan.From(ctx).IsDry() {
		return 0, nil
	}
	balanced, hairpin := staleInFabric(k.cfg, m), staleHairpin(m, ports, own)
	for _, f := range []struct {
		ns    string
		sum   [32]byte
		last  *[32]byte
		stale func(nl.Flow) bool
	}{
		{k.cfg.FabricNS, sum(ingress.Mesh{Tasks: m.Tasks, Ports: ports}.String()), &k.fabricFlows, func(f nl.Flow) bool { return balanced(f) || hairpin(f) }},
		{k.cfg.HostNS, sum(ingress.Mesh{Ports: ports}.String()), &k.hostFlows, staleInHost(k.cfg, ports)},
	} {
		if *f.last == f.sum {
			continue
		}
		n, err := deleteFlows(f.ns, f.stale)
		changes += n
		if err != nil {
			return changes, err
		}
		*f.last = f.sum
	}
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
	k.hostMemo, k.fabricMemo, k.hostFlows, k.fabricFlows = nft.Memo{}, nft.Memo{}, [32]byte{}, [32]byte{}
	for _, remove := range []func() error{
		func() error { return k.cfg.Balancer.RemovePorts(ctx, k.cfg.FabricNS) },
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
			_, err = ensureRoutes(c, ingress.Mesh{})
			return err
		},
	} {
		if err := remove(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
