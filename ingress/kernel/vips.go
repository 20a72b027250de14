package kernel

import (
	"context"
	"fmt"
	"sync"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// VIPs keeps the virtual addresses of sandboxes as they should be. Its methods may be called by several goroutines, for different
// sandboxes.
type VIPs struct {
	cfg Config

	mu    sync.Mutex
	flows map[string]ingress.VIPs // by namespace path: what its flows were last looked through for
}

// NewVIPs returns the balancing of sandboxes.
func NewVIPs(cfg Config) *VIPs {
	return &VIPs{cfg: cfg.withDefaults(), flows: map[string]ingress.VIPs{}}
}

// Reconcile makes the balancing in the sandbox at the path what vips says and returns how many things it changed.
func (k *VIPs) Reconcile(ctx context.Context, nsPath string, vips ingress.VIPs) (changes int, err error) {
	changes, err = k.cfg.Balancer.VIPs(ctx, nsPath, vips)
	if err != nil {
		return changes, fmt.Errorf("virtual addresses: %w", err)
	}
	if plan.From(ctx).IsDry() {
		return changes, nil
	}
	if len(vips) == 0 { // no flow is to any of them
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.flows, nsPath)
		return changes, nil
	}
	k.mu.Lock()
	last, known := k.flows[nsPath]
	k.mu.Unlock()
	n := 0
	if !known || leavesMoreVIPs(last, vips) {
		n, err = deleteFlows(nsPath, staleInSandbox(vips))
	}
	changes += n
	if err != nil {
		return changes, fmt.Errorf("virtual addresses: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.flows) >= maxMemos {
		clear(k.flows)
	}
	k.flows[nsPath] = vips
	return changes, nil
}
