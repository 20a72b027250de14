package kernel

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// Whatever is deleted or changed in the fabric, the next pass puts right, and the sandboxes reach each other again.
func TestKernelRepair(t *testing.T) {
	s := newSite(t, 2, 1)
	h := s.hosts[0]
	a, b := h.addBox(1, 5), s.hosts[1].addBox(1, 6)
	s.converge(a, b)
	to := netip.AddrPortFrom(b.addr, 80)
	serve(t, b.NS, to, 0)
	peer, peerMAC := subnet(swarmnet.FirstVNI, 12).Addr(), swarmnet.MACFor(subnet(swarmnet.FirstVNI, 12).Addr())
	index := func(name string) int { return h.inFabric().Link(name).Index }
	remote := netip.MustParseAddr("192.0.2.2")
	for name, breakIt := range map[string]func(*nl.Conn) error{
		"bridge":        func(c *nl.Conn) error { return c.DelLink("br-1") },
		"VXLAN device":  func(c *nl.Conn) error { return c.DelLink("vx-1") },
		"uplink":        func(c *nl.Conn) error { return c.DelLink(UplinkName) },
		"out of bridge": func(c *nl.Conn) error { return c.SetMaster(index("vx-1"), 0) },
		"MTU":           func(c *nl.Conn) error { return c.SetMTU(index("vx-1"), 1000) },
		"MAC":           func(c *nl.Conn) error { return c.SetMAC(index("br-1"), swarmnet.MAC{2, 1, 1, 1, 1, 1}) },
		"gateway":       func(c *nl.Conn) error { return c.DelAddr(index("br-1"), subnet(1, 1)) },
		"foreign addr":  func(c *nl.Conn) error { return c.AddAddr(index("br-1"), netip.MustParsePrefix("198.51.100.1/24")) },
		"connected":     func(c *nl.Conn) error { return c.DelRoute(nl.Route{Dst: subnet(1, 0), Index: index("br-1")}) },
		"FDB": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("vx-1"), MAC: swarmnet.MACFor(b.addr), VTEP: remote}})
		},
		"bridge FDB": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("vx-1"), MAC: swarmnet.MACFor(b.addr)}})
		},
		"wrong VTEP": func(c *nl.Conn) error {
			return c.SetNeighs([]nl.Neigh{{Index: index("vx-1"), MAC: swarmnet.MACFor(b.addr), VTEP: netip.MustParseAddr("192.0.2.99")}})
		},
		"ARP answer":     func(c *nl.Conn) error { return c.DelNeighs([]nl.Neigh{{Index: index("vx-1"), Addr: b.addr}}) },
		"peer neighbour": func(c *nl.Conn) error { return c.DelNeighs([]nl.Neigh{{Index: index("br-4096"), Addr: peer}}) },
		"foreign FDB": func(c *nl.Conn) error {
			return c.SetNeighs([]nl.Neigh{{Index: index("vx-1"), MAC: swarmnet.MAC{2, 7, 7, 7, 7, 7}, VTEP: remote}})
		},
		"wrong neighbour": func(c *nl.Conn) error {
			return c.SetNeighs([]nl.Neigh{{Index: index("br-4096"), Addr: peer, MAC: swarmnet.MAC{2, 7, 7, 7, 7, 7}}})
		},
		"placeholder": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("br-4096"), Addr: overlay.PlaceholderAddr4}})
		},
		"placeholder's FDB": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("vx-4096"), MAC: overlay.PlaceholderMAC}})
		},
		"peer's FDB": func(c *nl.Conn) error {
			return c.DelNeighs([]nl.Neigh{{Index: index("vx-4096"), MAC: peerMAC, VTEP: remote}})
		},
		"default route": func(c *nl.Conn) error {
			return c.DelRoute(nl.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: DefaultUplink().Host4.Addr(), Index: index(UplinkName)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.inFabric().With(breakIt)
			before := state(h)
			h.reconcile()
			if after := state(h); after == before {
				t.Fatalf("nothing was broken, or nothing repaired:\n%s", after)
			}
			if ops := h.reconcile(); len(ops) != 0 {
				t.Errorf("a second pass does %v", ops)
			}
			s.converge(a, b)
			if _, _, err := ask(a.NS, to, 5*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// state is everything of the fabric that Repair breaks, as text.
func state(h *host) string {
	var out []string
	h.inFabric().With(func(c *nl.Conn) error {
		links, err := c.Links()
		if err != nil {
			return err
		}
		for _, l := range links {
			addrs, err := c.Addrs(l.Index)
			if err != nil {
				return err
			}
			neighs, err := c.Neighs(l.Index)
			if err != nil {
				return err
			}
			fdb, err := c.FDB(l.Index)
			if err != nil {
				return err
			}
			slices.SortFunc(neighs, func(a, b nl.Neigh) int { return strings.Compare(a.String(), b.String()) })
			slices.SortFunc(fdb, func(a, b nl.Neigh) int { return strings.Compare(a.String(), b.String()) })
			out = append(out, l.Name, l.MAC.String(), strconv.Itoa(l.MTU), strconv.Itoa(l.Master), stringsOf(addrs), stringsOf(neighs), stringsOf(fdb))
		}
		return nil
	})
	h.inFabric().Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/route")
		out = append(out, string(b))
		return err
	})
	return strings.Join(out, "\n")
}

func stringsOf[T interface{ String() string }](list []T) string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return strings.Join(out, ",")
}
