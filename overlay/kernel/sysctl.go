package kernel

import (
	"errors"

	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// ensureSysctls makes a router of the fabric and lets the host forward for it. Reverse path filtering counts as the largest of
// "all" and the device's own value, so both are set.
func ensureSysctls(c *conns, d overlay.Desired) error {
	fabric := [][2]string{
		{"net/ipv4/ip_forward", "1"},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv4/conf/" + UplinkName + "/rp_filter", "0"},
		{"net/ipv4/conf/all/send_redirects", "0"},
		{"net/ipv4/conf/default/send_redirects", "0"},
		{"net/ipv6/conf/all/disable_ipv6", "0"}, // the host may do without
		{"net/ipv6/conf/default/disable_ipv6", "0"},
		{"net/ipv6/conf/all/forwarding", "1"},
		{"net/ipv6/conf/default/accept_dad", "0"},
		{"net/ipv6/conf/default/accept_ra", "0"},
		{"net/ipv6/conf/default/addr_gen_mode", "1"}, // no fe80:: on ports and bridges, and none of its chatter
		nl.KeepIdleTCP,
		{"net/bridge/bridge-nf-call-iptables", "0"},
		{"net/bridge/bridge-nf-call-ip6tables", "0"},
		{"net/bridge/bridge-nf-call-arptables", "0"},
	}
	for _, n := range d.Networks { // replies of published ports take another way than the requests came
		fabric = append(fabric, [2]string{"net/ipv4/conf/" + overlay.BridgeName(n.VNI) + "/rp_filter", "0"})
	}
	err := errors.Join(c.fabric.Sysctls(fabric), c.host.Sysctls([][2]string{
		{"net/ipv4/ip_forward", "1"},
		{"net/ipv4/conf/" + HostLink + "/rp_filter", "2"},
		{"net/ipv4/conf/" + HostLink + "/route_localnet", "1"},
	}))
	if err == nil && wantsIPv6(d) {
		err = forwardIPv6(c.host)
	}
	return err
}

func wantsIPv6(d overlay.Desired) bool {
	for _, n := range d.Networks {
		for _, p := range n.Addrs {
			if p.Addr().Is6() {
				return true
			}
		}
	}
	return false
}

// forwardIPv6 makes the host forward IPv6. A router ignores router advertisements (accept_ra 1), by which the host may have its own default
// route; with accept_ra 2 it goes on to take them.
func forwardIPv6(host *nl.Conn) error {
	const forwarding = "net/ipv6/conf/all/forwarding"
	if v, err := host.GetSysctl(forwarding); err != nil || v != "0" {
		return ignoreAbsent(err)
	}
	links, err := host.Links()
	if err != nil {
		return err
	}
	for _, l := range links {
		key := "net/ipv6/conf/" + l.Name + "/accept_ra"
		if v, err := host.GetSysctl(key); err != nil || v != "1" || l.Name == HostLink {
			continue
		}
		if err := host.Sysctl(key, "2"); err != nil {
			return err
		}
	}
	return host.Sysctl(forwarding, "1")
}
