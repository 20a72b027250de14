package cni

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
)

// given reads of a result what is about the sandbox's interface: its addresses, and the gateways of the default routes. mac is the interface's
// own.
func given(res types.Result, ifname string, mac swarmnet.MAC) (driver.Given, error) {
	g := driver.Given{MAC: mac}
	r, err := current.GetResult(res)
	if err != nil {
		return g, fmt.Errorf("the result is not understood: %w", err)
	}
	vias := map[bool]netip.Addr{} // is IPv6 → the subnet's gateway
	for _, ip := range r.IPs {
		if i := ip.Interface; i != nil && (*i < 0 || *i >= len(r.Interfaces) || r.Interfaces[*i].Sandbox == "" || r.Interfaces[*i].Name != ifname) {
			continue // of another interface, on the host perhaps
		}
		p, ok := prefix(ip.Address)
		if !ok {
			return g, fmt.Errorf("address %v in the result is none", ip.Address)
		}
		g.Addrs = append(g.Addrs, p)
		if via, ok := netip.AddrFromSlice(ip.Gateway); ok && !vias[p.Addr().Is6()].IsValid() {
			vias[p.Addr().Is6()] = via.Unmap()
		}
	}
	seen := map[bool]bool{}
	for _, route := range r.Routes {
		dst, ok := prefix(route.Dst)
		if !ok || dst.Bits() != 0 || seen[dst.Addr().Is6()] {
			continue
		}
		via, ok := netip.AddrFromSlice(route.GW)
		if via = via.Unmap(); !ok {
			via = vias[dst.Addr().Is6()]
		}
		if via.IsValid() {
			seen[dst.Addr().Is6()] = true
			g.Gateways = append(g.Gateways, via)
		}
	}
	for _, s := range r.DNS.Nameservers {
		if a, err := netip.ParseAddr(s); err == nil {
			g.DNS.Servers = append(g.DNS.Servers, a)
		}
	}
	g.DNS.Search, g.DNS.Options = r.DNS.Search, r.DNS.Options
	if len(g.DNS.Search) == 0 && r.DNS.Domain != "" {
		g.DNS.Search = []string{r.DNS.Domain}
	}
	return g, nil
}

// prefix is invalid for what is no address of one of the families.
func prefix(n net.IPNet) (netip.Prefix, bool) {
	a, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	ones, bits := n.Mask.Size()
	if a = a.Unmap(); a.Is4() && bits == 128 {
		ones -= 96
	}
	p := netip.PrefixFrom(a, ones)
	return p, p.IsValid()
}
