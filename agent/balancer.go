package agent

import (
	"context"
	"log/slog"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/ingress/kernel"
)

// kernelBalancer is the mesh and the balancing in sandboxes of ingress/kernel.
type kernelBalancer struct {
	mesh *kernel.Mesh
	vips *kernel.VIPs
	by   kernel.Balancer
	log  *slog.Logger
}

// Balancing is how a node balances; the zero value is by nftables.
type Balancing = kernel.Choice

// ChooseBalancing meets a wish for a balancer (auto, ipvs or nft) and one of IPVS's schedulers (empty: any), or says why the kernel cannot. The log is
// told what decided; so is whoever asks for Why.
func ChooseBalancing(wish, scheduler string, log *slog.Logger) (Balancing, error) {
	b, err := kernel.Choose(wish, scheduler)
	if err == nil {
		log.Info("balancing", "by", b.String(), "why", b.Why())
	}
	return b, err
}

// WouldBalance is how a node balances whose daemon is told nothing of it.
func WouldBalance() (Balancing, error) { return kernel.Choose("auto", "") }

func newBalancer(cfg Config, k kernel.Config) balancer {
	k.Balancer = cfg.Balancing.New(k.Clocks)
	return kernelBalancer{kernel.NewMesh(k), kernel.NewVIPs(k), k.Balancer, cfg.Logger}
}

func (b kernelBalancer) Mesh(ctx context.Context, m ingress.Mesh) error {
	n, err := b.mesh.Reconcile(ctx, m)
	if n > 0 {
		b.log.Debug("published ports", "changes", n)
	}
	return err
}

func (b kernelBalancer) VIPs(ctx context.Context, netnsPath string, v ingress.VIPs) error {
	_, err := b.vips.Reconcile(ctx, netnsPath, v)
	return err
}

func (b kernelBalancer) Told() bool { return b.by.Told() }

func (b kernelBalancer) Held() []swarmnet.PortSpec {
	var out []swarmnet.PortSpec
	for _, k := range b.mesh.Held() {
		out = append(out, swarmnet.PortSpec{Protocol: k.Protocol, Published: k.Published, HostIP: k.HostIP, Mode: swarmnet.PublishHost})
	}
	return out
}

func (b kernelBalancer) Degraded() []swarmnet.DegradedPort {
	var out []swarmnet.DegradedPort
	for k, why := range b.mesh.Degraded() {
		out = append(out, swarmnet.DegradedPort{Protocol: k.Protocol, Published: k.Published, HostIP: k.HostIP, Why: why.Error()})
	}
	slices.SortFunc(out, swarmnet.DegradedPort.Compare)
	return out
}

func (b kernelBalancer) Remove(ctx context.Context) error { return b.mesh.Remove(ctx) }
func (b kernelBalancer) Close() error                     { return b.mesh.Close() }
