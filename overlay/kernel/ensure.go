package kernel

import (
	"fmt"
	"net/netip"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// ensure makes the namespace, the way between it and the host, and the rules of both, where they are not there yet.
func (f *Fabric) ensure(d overlay.Desired) error {
	if _, err := netns.Create(f.cfg.NetnsDir, FabricName); err != nil {
		return err
	}
	c, err := f.open()
	if err != nil {
		return err
	}
	defer c.close()
	if err := f.ensureUplink(c); err != nil {
		return err
	}
	if err := ensureSysctls(c, d); err != nil {
		return err
	}
	if err := ensureHostTable(c.host.NS(), f.cfg.Uplink, d); err != nil {
		return err
	}
	return ensureFabricTable(c.fabric.NS(), d)
}

func (f *Fabric) ensureUplink(c *conns) error {
	up := f.cfg.Uplink
	hostEnd, haveHost, err := c.host.Link(HostLink)
	if err != nil {
		return err
	}
	_, haveFabric, err := c.fabric.Link(UplinkName)
	if err != nil {
		return err
	}
	if !haveHost || !haveFabric {
		// One end alone is what a lost namespace or a stranger leaves: the pair is made anew.
		for _, del := range []error{c.host.DelLink(HostLink), c.fabric.DelLink(UplinkName)} {
			if del != nil {
				return del
			}
		}
		mtu, err := largestMTU(c.host)
		if err != nil {
			return err
		}
		if err := c.host.AddVeth(mtu, nl.Veth{Name: HostLink}, nl.Veth{Name: UplinkName, NS: c.fabric.NS()}); err != nil {
			return err
		}
		if hostEnd, _, err = c.host.Link(HostLink); err != nil {
			return err
		}
	}
	fabricEnd, ok, err := c.fabric.Link(UplinkName)
	if err != nil || !ok {
		return fmt.Errorf("the fabric's uplink is gone: %w", err)
	}
	lo, _, err := c.fabric.Link("lo")
	if err != nil {
		return err
	}
	if !lo.Up {
		if err := c.fabric.SetUp(lo.Index); err != nil {
			return err
		}
	}
	if err := ensureEnd(c.host, hostEnd, up.Host4, up.Host6); err != nil {
		return err
	}
	if err := ensureEnd(c.fabric, fabricEnd, up.Fabric4, up.Fabric6); err != nil {
		return err
	}
	return ensureDefaults(c.fabric, fabricEnd.Index, up.Host4.Addr(), up.Host6.Addr())
}

// ensureEnd brings an end of the uplink up, with its addresses.
func ensureEnd(c *nl.Conn, l nl.Link, want ...netip.Prefix) error {
	have, err := c.Addrs(l.Index)
	if err != nil {
		return err
	}
	for _, p := range want {
		if p.IsValid() && !contains(have, p) && (p.Addr().Is4() || hasIPv6(c)) {
			if err := c.AddAddr(l.Index, p); err != nil {
				return err
			}
		}
	}
	if l.Up {
		return nil
	}
	return c.SetUp(l.Index)
}

// ensureDefaults sends what is for nobody here to the host.
func ensureDefaults(c *nl.Conn, uplink int, gateways ...netip.Addr) error {
	have, err := c.Routes(0)
	if err != nil {
		return err
	}
	for _, gw := range gateways {
		if gw.Is6() && !hasIPv6(c) {
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

// hasIPv6 reports whether the namespace can have IPv6 addresses.
func hasIPv6(c *nl.Conn) bool {
	v, err := c.GetSysctl("net/ipv6/conf/all/disable_ipv6")
	return err == nil && v == "0"
}

// largestMTU keeps the uplink from being the narrowest part of the way out.
func largestMTU(host *nl.Conn) (int, error) {
	links, err := host.Links()
	if err != nil {
		return 0, err
	}
	mtu := 1500
	for _, l := range links {
		if l.Kind == "" && l.Name != "lo" || l.Kind == "veth" {
			mtu = max(mtu, l.MTU)
		}
	}
	return mtu, nil
}
