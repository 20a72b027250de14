package agent

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/pathmtu"
)

// narrow are ways that carry so many octets; 0: they are silent.
type narrow struct{ carries atomic.Int64 }

func (n *narrow) Search(_ context.Context, net pathNet, _ pathmtu.Peer, last int) (int, error) {
	if net.vni != 4096 || net.port != 4789 {
		return 0, errors.New("not by the ingress network's way")
	}
	return pathmtu.Search(1500, last, func(sizes []int) (got int, _ error) {
		for _, s := range sizes {
			if s <= int(n.carries.Load()) {
				got = max(got, s)
			}
		}
		return got, nil
	})
}

// What arrives at the other nodes bounds the networks of this one, and the managers are told; a restarted agent goes on with what it told them.
func TestNetworksFollowTheWays(t *testing.T) {
	h, b, dir := newHost(), newBoss(t), t.TempDir()
	ways := &narrow{}
	ways.carries.Store(1300)
	h.paths = ways
	set := assignments(1, want("t1", swarmnet.DesireRunning, swarmnet.TaskAssigned))
	set.Cluster.DataPathPort = 4789
	set.Networks["ingress"] = swarmnet.Network{ID: "ingress", VNI: 4096, Spec: swarmnet.NetworkSpec{Driver: swarmnet.DriverOverlay, Ingress: true},
		Subnets: []swarmnet.Subnet{{Prefix: netip.MustParsePrefix("10.255.0.0/24")}}}
	for id, last := range map[swarmnet.NodeID]byte{"n1": 1, "n2": 2} {
		n := set.Nodes[id]
		n.ID, n.Description.VTEP, n.Ingress = id, netip.AddrFrom4([4]byte{192, 0, 2, last}), []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 255, 0, last}), 24)}
		set.Nodes[id] = n
	}
	_, stop := startAgent(t, h, dir, b.addr)
	b.sets <- set
	mtu := func(want int) func() bool {
		return func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return len(h.fabric.Networks) == 2 && h.fabric.Networks[0].MTU == want-swarmnet.VXLANOverhead(netip.Addr{})
		}
	}
	described := func(want int) func() bool {
		return func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.described.UnderlayMTU == want }
	}
	eventually(t, "the networks are lowered", mtu(1300))
	eventually(t, "the managers are told", described(1300))
	self := set.Nodes["n1"]
	self.Description.UnderlayMTU = 1300
	set.Nodes["n1"], set.Revision = self, 2
	b.sets <- set
	eventually(t, "the managers' answer", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.applied == 2 })
	stop()
	ways.carries.Store(0) // nobody answers any more
	b.mu.Lock()
	b.described.UnderlayMTU = 0
	b.mu.Unlock()
	_, stop = startAgent(t, h, dir, b.addr)
	defer stop()
	eventually(t, "a restarted agent tells the same", described(1300))
	if !mtu(1300)() {
		t.Errorf("its networks are %v", h.fabric)
	}
	ways.carries.Store(1500)
	eventually(t, "the ways have become wide, and the managers are told", described(1500))
}

// fickle are ways that lose what is large the first time, and say nothing at all the second, and so on.
type fickle struct{ asked atomic.Int64 }

func (f *fickle) Search(context.Context, pathNet, pathmtu.Peer, int) (int, error) {
	if f.asked.Add(1)%2 == 1 {
		return 1300, nil
	}
	return 0, pathmtu.ErrSilent
}

// That less arrives than before must be seen twice.
func TestPathsAreBelievedTwice(t *testing.T) {
	h := newHost()
	h.paths = &fickle{}
	a, stop := startAgent(t, h, t.TempDir(), newBoss(t).addr)
	stop()
	var table pathmtu.Table
	peers := []pathmtu.Peer{{Node: "n2"}, {Node: "n3"}}
	for _, p := range peers {
		table.Note(p, 1500, time.Now().Add(-pathmtu.CheckEvery))
	}
	a.probeDue(context.Background(), &table, pathNet{}, peers[:1])
	if got := table.MTU(peers); got != 1500 {
		t.Errorf("after a look that a second one did not bear out: %d", got)
	}
}
