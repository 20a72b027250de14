package agent

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/netip"

	"github.com/swarmnet/swarmnet/agent/sandbox"
	"github.com/swarmnet/swarmnet/driver/cni"
	"github.com/swarmnet/swarmnet/gossip/member"
	"github.com/swarmnet/swarmnet/ingress/kernel"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/overlay"
	okernel "github.com/swarmnet/swarmnet/overlay/kernel"
)

// newParts makes the real parts, all but the executor.
func newParts(cfg Config, key ed25519.PrivateKey) (parts, error) {
	var gossip gossiper = silence{}
	if cfg.Dial != nil {
		m, err := member.New(member.Config{NodeID: cfg.NodeID, Name: cfg.Hostname, BindAddr: cfg.GossipAddr, Key: key, Logger: cfg.Logger})
		if err != nil {
			return parts{}, err
		}
		gossip = m
	}
	watch := &kernelWatcher{fabric: cfg.fabricFile(), log: cfg.Logger}
	doubts, clocks := newDoubts(watch.Hears), &nft.Clocks{}
	fabric := okernel.New(okernel.Config{NetnsDir: cfg.netnsDir(), Doubt: doubts.fabric.ask, Clocks: clocks, Logger: cfg.Logger})
	boxes := sandbox.New(sandbox.Config{NetnsDir: cfg.netnsDir(), FabricNS: fabric.Path(), Logger: cfg.Logger})
	watch.boxes = boxes
	return parts{
		fabric:    kernelFabric{fabric, cfg.VTEP, cfg.Logger},
		balancer:  newBalancer(cfg, kernel.Config{FabricNS: fabric.Path(), Doubt: doubts.mesh.ask, Clocks: clocks, Logger: cfg.Logger}),
		sandboxes: kernelSandboxes{boxes, cni.New(cni.Config{Dir: cfg.CNIDir, Logger: cfg.Logger}), cfg.Logger},
		gossip:    gossip,
		resolver:  newResolver(cfg, boxes.Path),
		watcher:   watch,
		doubts:    doubts,
		paths:     kernelPaths{fabric.Path()},
	}, nil
}

// kernelFabric is the fabric of overlay/kernel.
type kernelFabric struct {
	*okernel.Fabric
	vtep netip.Addr
	log  *slog.Logger
}

func (f kernelFabric) UnderlayMTU() (int, error) { return f.Fabric.UnderlayMTU(f.vtep) }

func (f kernelFabric) Reconcile(ctx context.Context, d overlay.Desired) (remade bool, err error) {
	ops, err := f.Fabric.Reconcile(ctx, d)
	for _, op := range ops {
		f.log.Debug("fabric", "op", op)
		remade = remade || op.Kind == overlay.KindDevices && !op.Remove
	}
	return remade, err
}
