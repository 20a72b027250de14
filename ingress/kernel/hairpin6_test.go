package kernel

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// guest6 is a sandbox with addresses of both families on a dual-stack network: 172.18.N.HOST and fd18:0:0:N::HOST.
func (c *cluster) guest6(id swarmnet.TaskID, network swarmnet.NetworkID, n, host byte, ports ...swarmnet.PortSpec) *kerneltest.NS {
	c.t.Helper()
	six := func(last byte) netip.Addr { return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x18, 7: n, 15: last}) }
	net := c.set.Networks[network]
	if len(net.Subnets) == 1 {
		net.Subnets = append(net.Subnets, swarmnet.Subnet{Prefix: netip.PrefixFrom(six(0), 64), Gateway: six(1)})
		c.set.Networks[network] = net
	}
	ns := c.guest(id, 0, network, fmt.Sprintf("172.18.%d.%d", n, host), ports...)
	p := netip.PrefixFrom(six(host), 64)
	ep := c.set.Endpoints[swarmnet.EndpointID(id)]
	ep.Addrs = append(ep.Addrs, p)
	c.set.Endpoints[ep.ID] = ep
	c.apply()
	ns.With(func(conn *nl.Conn) error {
		eth := ns.Link("eth0").Index
		if err := conn.AddAddr(eth, p); err != nil {
			return err
		}
		return conn.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Via: six(1), Index: eth})
	})
	return ns
}

// underlay6 gives a lone host 2001:db8:1::1, and outside 2001:db8:1::2.
func (c *cluster) underlay6() {
	for i, ns := range []*kerneltest.NS{c.nodes[0].host, c.outside} {
		ns.With(func(conn *nl.Conn) error {
			return conn.AddAddr(ns.Link("eth0").Index, netip.MustParsePrefix(fmt.Sprintf("2001:db8:1::%d/64", i+1)))
		})
	}
}

func TestKernelC30IPv6(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	c, n := alone(t)
	c.underlay6()
	serve(t, c.guest6("web", "lan", 0, 2, publish("", 8080, 80)...), "web", 80)
	serve(t, c.guest6("one", "lan", 0, 3, publish("2001:db8:1::1", 8081, 80)...), "one", 80)
	far, near := c.guest6("far", "dmz", 1, 2), c.guest6("near", "lan", 0, 4)
	const gateway = "fd18::1"
	for port, name := range map[int]string{8080: "web", 8081: "one"} {
		at := fmt.Sprintf("[2001:db8:1::1]:%d", port)
		saw(t, c.outside, at, name, "2001:db8:1::2")
		saw(t, far, at, name, "fd18:0:0:1::2")
		saw(t, near, at, name, gateway)
		saw(t, n.host, at, name, "2001:db8:1::1")
	}
	saw(t, far, "["+gateway+"]:8080", "web", "fd18:0:0:1::2")
	const link = "fd00:5377:6d00::1" // what cannot leave the host bears this instead
	saw(t, n.host, "[::1]:8080", "web", link)
	saw(t, n.host, "["+link+"]:8080", "web", link)
	// What is bound to ::1 alone is for the host itself, and what somebody else listens on there goes on as ever.
	serve(t, c.guest6("own", "lan", 0, 5, publish("::1", 8082, 80)...), "own", 80)
	saw(t, n.host, "[::1]:8082", "own", link)
	for _, from := range []*kerneltest.NS{c.outside, far} {
		saw(t, from, "[2001:db8:1::1]:8082", "", "")
	}
	serve(t, n.host, "host", 9090)
	saw(t, n.host, "[::1]:9090", "host", "::1")
	if changes := n.reconcile(); changes != 0 {
		t.Errorf("a second pass changed %d things", changes)
	}
}
