package kernel

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// A bridge of ours that somebody has keep VLANs apart, and whose port is in none of them, carries nothing; the next pass has it carry all again.
func TestKernelVLANsAreNotFiltered(t *testing.T) {
	kerneltest.Require(t, kerneltest.BridgeVLAN)
	s := newSite(t, 2, 1)
	h := s.hosts[0]
	a, b := h.addBox(1, 5), s.hosts[1].addBox(1, 6)
	s.addLocal(0, swarmnet.NetworkSpec{})
	guest := h.addGuest(0, 2)
	s.converge(a, b, guest)
	to := netip.AddrPortFrom(b.addr, 80)
	serve(t, b.NS, to, 0)
	local := overlay.BridgeName(swarmnet.FirstLocalSwitch)
	h.inFabric().With(func(c *nl.Conn) error {
		for _, name := range []string{"br-1", local} {
			l, _, err := c.Link(name)
			if err != nil {
				return err
			}
			if err := c.FilterVLANs(l, true); err != nil {
				return err
			}
		}
		return nil
	})
	h.inFabric().Do(func() error {
		port, err := netlink.LinkByName("vx-1")
		if err != nil {
			return err
		}
		return netlink.BridgeVlanDel(port, 1, true, true, false, true)
	})
	if _, _, err := ask(a.NS, to, time.Second); err == nil {
		t.Error("a port in no VLAN carries what it did before: nothing was broken")
	}
	if ops := h.reconcile(); len(ops) == 0 {
		t.Error("nothing was repaired")
	}
	for _, name := range []string{"br-1", local} {
		if h.inFabric().Link(name).FiltersVLANs {
			t.Errorf("%s keeps VLANs apart still", name)
		}
	}
	if ops := h.reconcile(); len(ops) != 0 {
		t.Errorf("a second pass does %v", ops)
	}
	if _, _, err := ask(a.NS, to, 5*time.Second); err != nil {
		t.Error(err)
	}
}
