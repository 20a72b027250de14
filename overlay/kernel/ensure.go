package kernel

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/plan"
	"github.com/swarmnet/swarmnet/overlay"
)

// hostMark is the ifalias of the host's end: what has its name and not its mark is not ours.
const hostMark = "swarmnet fabric"

// ensure makes the namespace, the way between it and the host, and the rules of both, where they are not there yet. there is false when the pass is
// dry and there is no namespace: then all networks are missing.
func (f *Fabric) ensure(ctx context.Context, d overlay.Desired) (there bool, err error) {
	p := plan.From(ctx)
	if there, err = f.ensureNamespace(p); err != nil || !there {
		for _, o := range d.Objects() {
			p.Add("%s", o)
		}
		return false, err
	}
	c, err := f.open(ctx)
	if err != nil {
		return false, err
	}
	defer c.close()
	for _, step := range []func() error{
		c.ensureUplink,
		func() error { return ensureSysctls(c, d) },
		func() error { return f.ensureTable(ctx, c.host.NS(), &f.hostMemo, hostTable(f.cfg.Uplink, d)) },
		func() error { return f.ensureTable(ctx, c.fabric.NS(), &f.fabricMemo, fabricTable(d, c.uplinkIndex)) },
	} {
		if err := step(); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (c *conns) ensureUplink() error {
	up := c.uplink
	hostEnd, haveHost, err := c.host.Link(HostLink)
	if err != nil {
		return err
	}
	fabricEnd, haveFabric, err := c.fabric.Link(UplinkName)
	if err != nil {
		return err
	}
	mtu, err := largestMTU(c.host)
	if err != nil {
		return err
	}
	if !haveHost || !haveFabric {
		if haveHost && hostEnd.Alias != hostMark {
			return fmt.Errorf("this host has an interface %s which is not ours, and that is what the way to the fabric must be called: rename it", HostLink)
		}
		// One end alone is what a lost namespace or a stranger leaves: the pair is made anew.
		for _, del := range []error{c.host.DelLink(HostLink), c.fabric.DelLink(UplinkName)} {
			if del != nil {
				return del
			}
		}
		if err := c.host.AddVeth(mtu, nl.Veth{Name: HostLink}, nl.Veth{Name: UplinkName, NS: c.fabric.NS()}); err != nil {
			return err
		}
		if c.plan.IsDry() {
			return nil // what is on it would be made, too
		}
		if hostEnd, _, err = c.host.Link(HostLink); err != nil {
			return err
		}
		var ok bool
		if fabricEnd, ok, err = c.fabric.Link(UplinkName); err != nil || !ok {
			return fmt.Errorf("the fabric's uplink is gone: %w", err)
		}
	}
	if hostEnd.Alias != hostMark {
		if err := c.host.SetAlias(hostEnd.Index, hostMark); err != nil {
			return err
		}
	}
	c.uplinkIndex = fabricEnd.Index
	lo, _, err := c.fabric.Link("lo")
	if err != nil {
		return err
	}
	if !lo.Up {
		if err := c.fabric.SetUp(lo.Index); err != nil {
			return err
		}
	}
	if err := ensureEnd(c.host, hostEnd, mtu, up.host()); err != nil {
		return err
	}
	if err := ensureLoopback6(c.host, hostEnd.Index); err != nil {
		return err
	}
	if err := ensureEnd(c.fabric, fabricEnd, mtu, up.fabric()); err != nil {
		return err
	}
	if err := ensureNeighbours(c.host, hostEnd.Index, fabricEnd.MAC, up.Fabric4.Addr(), up.Fabric6.Addr()); err != nil {
		return err
	}
	if err := ensureNeighbours(c.fabric, fabricEnd.Index, hostEnd.MAC, up.Host4.Addr(), up.Host6.Addr()); err != nil {
		return err
	}
	return ensureDefaults(c.fabric, fabricEnd.Index, up.Host4.Addr(), up.Host6.Addr())
}

// ensureNeighbours says who is at the other end. To ask for it, on behalf of an IPv6 packet that is forwarded, the kernel needs a link-local address
// (RFC 4861 section 7.2.2), which on the host is not there for the first seconds and in the fabric never.
func ensureNeighbours(c *nl.Conn, index int, mac swarmnet.MAC, addrs ...netip.Addr) error {
	have, err := c.Neighs(index)
	if err != nil {
		return err
	}
	var missing []nl.Neigh
	for _, a := range addrs {
		if n := (nl.Neigh{Index: index, MAC: mac, Addr: a}); a.IsValid() && !contains(have, n) && (a.Is4() || c.HasIPv6()) {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return c.SetNeighs(missing)
}

// ensureEnd brings an end of the uplink up, with its MTU, addresses, and the way to the other end.
func ensureEnd(c *nl.Conn, l nl.Link, mtu int, want []netip.Prefix) error {
	if l.MTU != mtu {
		if err := c.SetMTU(l.Index, mtu); err != nil {
			return err
		}
	}
	have, err := c.Addrs(l.Index)
	if err != nil {
		return err
	}
	for _, p := range want {
		if p.IsValid() && !contains(have, p) && (p.Addr().Is4() || c.HasIPv6()) {
			if err := c.AddAddr(l.Index, p); err != nil {
				return err
			}
		}
	}
	if !l.Up {
		if err := c.SetUp(l.Index); err != nil {
			return err
		}
	}
	routes, err := c.Routes(0)
	if err != nil {
		return err
	}
	for _, p := range want {
		if r := onLink(p, l.Index); p.IsValid() && !contains(routes, r) && (p.Addr().Is4() || c.HasIPv6()) {
			if err := c.ReplaceRoute(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// onLink is the way from an end of the uplink to the other: the kernel makes one with the address, and never again when it is lost.
func onLink(p netip.Prefix, link int) nl.Route {
	r := nl.Route{Dst: p.Masked(), Index: link, Metric: hostMetric}
	if p.Addr().Is4() { // with one address, the kernel's choice for IPv6 is the same
		r.Src = p.Addr()
	}
	return r
}

// ensureDefaults sends what is for nobody here to the host.
func ensureDefaults(c *nl.Conn, uplink int, gateways ...netip.Addr) error {
	have, err := c.Routes(0)
	if err != nil {
		return err
	}
	for _, gw := range gateways {
		if gw.Is6() && !c.HasIPv6() {
			continue
		}
		want := nl.Route{Dst: netip.PrefixFrom(unspecified(gw), 0), Via: gw, Index: uplink}
		if !contains(have, want) {
			if err := c.ReplaceRoute(want); err != nil {
				return err
			}
		}
	}
	return nil
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func contains[T comparable](list []T, want T) bool {
	for _, v := range list {
		if v == want {
			return true
		}
	}
	return false
}

// largestMTU keeps the uplink from being the narrowest part of the way out.
func largestMTU(host *nl.Conn) (int, error) {
	links, err := host.Links()
	if err != nil {
		return 0, err
	}
	mtu := 1500
	for _, l := range links {
		if l.Name != HostLink && (l.Kind == "" && l.Name != "lo" || l.Kind == "veth") {
			mtu = max(mtu, l.MTU)
		}
	}
	return mtu, nil
}
