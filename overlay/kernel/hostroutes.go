package kernel

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// hostMetric keeps our routes on the host from replacing somebody else's to the same subnet, and behind them.
const hostMetric = 2077

// observeHost finds the host's routes to node-local subnets, and those of ours that are not as we make them.
func (c *conns) observeHost() (objects []overlay.Object, wrong []nl.Route, err error) {
	link, ok, err := c.host.Link(HostLink)
	if err != nil || !ok {
		return nil, nil, err
	}
	routes, err := c.host.Routes(0)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range routes {
		o := overlay.Object{Kind: overlay.KindHostRoute, Prefix: r.Dst}
		switch {
		case r.Index != link.Index, slices.ContainsFunc(c.uplink.host(), func(p netip.Prefix) bool { return p.IsValid() && r == onLink(p, link.Index) }):
		case r == c.hostRoute(o, link.Index):
			objects = append(objects, o)
		default:
			wrong = append(wrong, r)
		}
	}
	return objects, wrong, nil
}

func (c *conns) hostRoute(o overlay.Object, link int) nl.Route {
	via := c.uplink.Fabric4.Addr()
	if o.Prefix.Addr().Is6() {
		via = c.uplink.Fabric6.Addr()
	}
	return nl.Route{Dst: o.Prefix, Via: via, Index: link, Metric: hostMetric}
}

func (c *conns) applyHostRoute(op overlay.Op) error {
	link, ok, err := c.host.Link(HostLink)
	if err != nil || !ok {
		return err
	}
	if op.Remove {
		return c.host.DelRoute(c.hostRoute(op.Object, link.Index))
	}
	return c.host.ReplaceRoute(c.hostRoute(op.Object, link.Index))
}

// ensureLoopback6 lets answers to what the host sends from ::1 to a published port in again, by the link to the fabric. IPv6 has no route_localnet:
// the kernel takes a packet for ::1 only by the device that a route of the local table names. What bears such an address on the wire is dropped before
// (RFC 4291 section 2.5.3). The route is behind the one by the loopback device, so that nothing else goes by it.
func ensureLoopback6(host *nl.Conn, link int) error {
	if !host.HasIPv6() {
		return nil
	}
	want := nl.Route{Dst: netip.PrefixFrom(netip.IPv6Loopback(), 128), Index: link, Table: unix.RT_TABLE_LOCAL, Metric: hostMetric, Local: true}
	have, err := host.Routes(want.Table)
	if err != nil || contains(have, want) {
		return err
	}
	return host.ReplaceRoute(want)
}

// HostRoute is a subnet that a host reaches by a device.
type HostRoute struct {
	Prefix netip.Prefix
	Device string
}

func (r HostRoute) String() string { return r.Prefix.String() + " dev " + r.Device }

// HostRoutes lists the subnets that the host has routes to, whoever made them, but for its default routes, our own and IPv6 link-local ones: no
// network of this node may overlap them.
func (f *Fabric) HostRoutes() ([]HostRoute, error) {
	host, err := nl.Open(f.cfg.HostNS)
	if err != nil {
		return nil, err
	}
	defer host.Close()
	links, err := host.Links()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Index] = l.Name
	}
	routes, err := host.AllRoutes()
	if err != nil {
		return nil, err
	}
	var out []HostRoute
	for _, r := range routes {
		name := names[r.Index]
		if r.Dst.Bits() == 0 || name == HostLink || r.Dst.Addr().IsLinkLocalUnicast() && r.Dst.Addr().Is6() {
			continue
		}
		if name == "" {
			name = "several" // a multipath route
		}
		out = append(out, HostRoute{r.Dst, name})
	}
	return out, nil
}
