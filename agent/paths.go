package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/pulse"
	"github.com/swarmnet/swarmnet/pathmtu"
	pathkernel "github.com/swarmnet/swarmnet/pathmtu/kernel"
)

const (
	// pathTick is how often it is looked whether there is a way to probe: a node may be new.
	pathTick = 2 * time.Second
	// parallelPaths bounds how many ways are probed at the same time.
	parallelPaths = 8
)

// paths tells how much of what is sent to other nodes arrives; see pathmtu/kernel.
type paths interface {
	Search(ctx context.Context, net pathNet, to pathmtu.Peer, last int) (size int, err error)
}

// pathNet is what the ways to other nodes begin with.
type pathNet struct {
	self pathmtu.Peer
	port uint16       // of VXLAN
	vni  swarmnet.VNI // of the ingress network
}

// pathNetOf is ok once the node has its place on the ingress network.
func pathNetOf(set swarmnet.AssignmentSet) (n pathNet, ok bool) {
	if n.self, ok = pathmtu.PeerOf(set.Nodes[set.Self]); !ok {
		return n, false
	}
	n.port = set.Cluster.DataPathPort
	for _, network := range set.Networks {
		if network.Spec.Ingress {
			n.vni = network.VNI
		}
	}
	return n, n.vni != 0
}

// probePaths keeps finding out what arrives at the other nodes, until ctx ends.
func (a *Agent) probePaths(ctx context.Context) error {
	var table pathmtu.Table
	tick := time.NewTimer(pulse.In(pathTick))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			tick.Reset(pulse.In(pathTick))
		}
		set := a.Assigned()
		net, ok := pathNetOf(set)
		if !ok {
			continue
		}
		peers := pathmtu.Peers(set)
		a.probeDue(ctx, &table, net, peers)
		a.adoptPath(table.MTU(peers))
	}
}

func (a *Agent) probeDue(ctx context.Context, table *pathmtu.Table, net pathNet, peers []pathmtu.Peer) {
	due := table.Due(peers, time.Now())
	sizes, errs := make([]int, len(due)), make([]error, len(due))
	var wg sync.WaitGroup
	places := make(chan struct{}, parallelPaths)
	for i, p := range due {
		last := table.Last(p, time.Now())
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			sizes[i], errs[i] = a.parts.paths.Search(ctx, net, p, last)
			// That something else arrives than before is believed when it is seen twice: packets get lost for other reasons, too.
			if errs[i] == nil && sizes[i] != last {
				var again int
				again, errs[i] = a.parts.paths.Search(ctx, net, p, sizes[i])
				sizes[i] = max(sizes[i], again)
			}
			if errs[i] != nil {
				sizes[i] = 0
			}
		})
	}
	wg.Wait()
	for i, p := range due {
		switch {
		case ctx.Err() != nil:
		case errs[i] == nil || errors.Is(errs[i], pathmtu.ErrSilent):
			table.Note(p, sizes[i], time.Now())
		default:
			a.cfg.Logger.Debug("a way is not probed", "node", p.Node, "err", errs[i]) // tried again soon: the fabric may not be there yet
		}
	}
}

// adoptPath has the networks follow what is known of the ways now, and the managers told; 0: nothing new is known.
func (a *Agent) adoptPath(mtu int) {
	was := int(a.pathMTU.Load())
	if mtu == 0 || mtu == was {
		return
	}
	a.pathMTU.Store(int64(mtu))
	a.cfg.Logger.Info("the largest packet that arrives at every other node", "octets", mtu, "before", was)
	a.wakePlan()
	if device, err := a.parts.fabric.UnderlayMTU(); err == nil {
		a.tellMTU(device)
	}
}

// tellMTU has the managers told what the node can send and receive, if they were told something else.
func (a *Agent) tellMTU(device int) {
	if told := a.toldMTU.Load(); told != 0 && int(told) != a.ownMTU(device) {
		a.session.Describe()
	}
}

// ownMTU is what the node tells the managers that it can send and receive. Until its ways were probed, that is what it told them before it
// was started again.
func (a *Agent) ownMTU(device int) int {
	path := int(a.pathMTU.Load())
	if path == 0 {
		set := a.Assigned()
		if self := set.Nodes[set.Self].Description; self.VTEP == a.cfg.VTEP {
			path = self.UnderlayMTU
		}
	}
	if path > 0 && path < device {
		return path
	}
	return device
}

// kernelPaths are the ways of the real kernel.
type kernelPaths struct{ fabric string }

func (k kernelPaths) Search(ctx context.Context, net pathNet, to pathmtu.Peer, last int) (int, error) {
	_, size, err := pathkernel.Prober{Fabric: k.fabric, Self: net.self, Port: net.port, VNI: net.vni}.Search(ctx, to, last)
	return size, err
}
