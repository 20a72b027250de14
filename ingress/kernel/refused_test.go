package kernel

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
)

// Where nobody takes connections each client is refused, however many come at once: one that hears nothing tries again after a second, then after two more,
// and is late when there is somebody again. None tries twice.
func TestKernelConformanceEveryOneIsRefused(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		serve(t, c.task("web", "t1", 1, "app", "10.0.1.11"), "t1", 80)
		c.desire("t1", swarmnet.DesireDraining)
		c.apply()
		const clients = 40
		wire := c.outside.Capture("eth0")
		for range clients {
			for _, n := range c.nodes {
				refused(t, c.outside, "tcp", n.under.String()+":8080")
			}
		}
		for _, n := range c.nodes {
			if got := wire.Count(synTo(n.under)); got != clients {
				t.Errorf("%d clients asked node %s %d times", clients, n.under, got)
			}
		}
	})
}

// synTo matches the first packets of TCP connections to an IPv4 address.
func synTo(to netip.Addr) func(frame []byte) bool {
	addr := to.As4()
	return func(f []byte) bool {
		return len(f) >= 54 && binary.BigEndian.Uint16(f[12:]) == unix.ETH_P_IP && f[23] == unix.IPPROTO_TCP && slices.Equal(f[30:34], addr[:]) && f[47]&0x3f == 0x02
	}
}
