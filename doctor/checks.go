package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet"
)

func one(check string, v Verdict, found, cure string) []Finding {
	return []Finding{{Check: check, Verdict: v, Found: found, Cure: cure}}
}

func daemon(f Facts) []Finding {
	if f.Daemon == "" {
		return one("daemon", OK, "it answers", "")
	}
	return one("daemon", Wrong, f.Daemon, "start it: `systemctl start swarmnet`, or `swarmnet daemon`; what runs goes on without it, nothing can be changed")
}

func features(f Facts) []Finding {
	var out []Finding
	var there []string
	for _, x := range f.Features {
		if x.Err == "" {
			there = append(there, x.Name)
			continue
		}
		if x.Spares != "" {
			out = append(out, Finding{"kernel", Note, x.Name + " does not work: " + x.Err + ": " + x.Spares, x.Cure})
			continue
		}
		out = append(out, Finding{"kernel", Wrong, x.Name + " does not work: " + x.Err, x.Cure})
	}
	if len(there) > 0 {
		out = append(one("kernel", OK, "has "+strings.Join(there, ", "), ""), out...)
	}
	return out
}

func balancer(f Facts) []Finding {
	if f.Balancer == "" {
		return nil
	}
	found := fmt.Sprintf("published ports and virtual addresses are balanced by %s: %s", f.Balancer, f.BalancerWhy)
	if f.Daemon != "" {
		found = fmt.Sprintf("a daemon would balance by %s: %s", f.Balancer, f.BalancerWhy)
	}
	return one("balancer", OK, found, "")
}

func forwarding(f Facts) []Finding {
	var out []Finding
	if f.Forward == "0" {
		out = one("forwarding", Wrong, "net.ipv4.ip_forward is 0: nothing gets from sandboxes to other hosts, nor to published ports",
			"`sysctl -w net.ipv4.ip_forward=1`; find in /etc/sysctl.d what turns it off")
	}
	if f.NeedsIPv6 && f.Forward6 == "" && f.Forward != "" {
		out = append(out, Finding{"forwarding", Note, "this kernel has no IPv6, and a network has it: its members cannot run here, and ports are published by IPv4 alone",
			"boot without `ipv6.disable=1`, or with a kernel that has CONFIG_IPV6"})
	}
	if f.NeedsIPv6 && f.Forward6 == "0" {
		out = append(out, Finding{"forwarding", Wrong, "net.ipv6.conf.all.forwarding is 0, and a network has IPv6",
			"`sysctl -w net.ipv6.conf.all.forwarding=1`; find in /etc/sysctl.d what turns it off"})
	}
	if out == nil && f.Forward != "" {
		found := "net.ipv4.ip_forward is " + f.Forward
		if f.NeedsIPv6 {
			found += ", net.ipv6.conf.all.forwarding is " + f.Forward6
		}
		out = one("forwarding", OK, found, "")
	}
	return out
}

// leastIdle is for how long RFC 5382 section 5 (REQ-5) asks a translator to remember an idle TCP connection.
const leastIdle = 2*time.Hour + 4*time.Minute

func idleConnections(f Facts) []Finding {
	if f.IdleTCP == 0 || f.IdleTCP >= leastIdle {
		return nil
	}
	return one("idle", Note, fmt.Sprintf("this host forgets TCP connections that are idle for %s: those to published ports break then", f.IdleTCP),
		"`sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=432000`; find in /etc/sysctl.d what lowers it")
}

func vxlanPort(f Facts) []Finding {
	p := f.VXLAN
	switch {
	case p.Number == 0:
		return nil
	case p.Holder != "":
		return one("vxlan-port", Wrong, fmt.Sprintf("UDP port %d is taken by %s: overlay networks cannot use it", p.Number, p.Holder),
			"stop that program, or make the cluster with another --data-path-port")
	case p.Ours:
		return one("vxlan-port", OK, fmt.Sprintf("UDP port %d is ours", p.Number), "")
	}
	return one("vxlan-port", OK, fmt.Sprintf("UDP port %d is free", p.Number), "")
}

func publishedPorts(f Facts) []Finding {
	var out []Finding
	for _, why := range f.Degraded {
		out = append(out, one("published-port", Wrong, why+": it is not published here", "stop that program, and the port is taken within seconds; or publish another")...)
	}
	return out
}

// queries tells of sandboxes that ask more than is passed on for them at once.
func queries(f Facts) []Finding {
	var out []Finding
	for _, name := range slices.Sorted(maps.Keys(f.Refused)) {
		out = append(out, one("resolver", Note, fmt.Sprintf("%d queries of %s were refused since it runs: more than its share were waiting for name servers at once", f.Refused[name], name),
			"see what it asks for, and whether its name servers answer")...)
	}
	return out
}

// usualMTU is what an Ethernet carries (RFC 894), and what programs expect.
const usualMTU = 1500

func underlay(f Facts) []Finding {
	d := f.Underlay
	switch {
	case d.Err != "":
		return one("underlay", Wrong, d.Err, "give the host that address, or name another with --data-path-addr")
	case d.MTU == 0:
		return nil
	case d.MTU < usualMTU:
		return one("underlay", Wrong, fmt.Sprintf("%s has an MTU of %d, less than %d: sandboxes get %d, and larger packets of other hosts are lost on the way if theirs is larger", d.Name, d.MTU, usualMTU, d.MTU-swarmnet.VXLANOverhead(d.Addr)),
			fmt.Sprintf("`ip link set %s mtu %d` on every host if the network between them carries it; else give all hosts the same", d.Name, usualMTU))
	}
	return one("underlay", OK, fmt.Sprintf("%s has %s and an MTU of %d", d.Name, d.Addr, d.MTU), "")
}

// bridgeNetfilter judges by the namespace that our bridges are in: since Linux 5.3 each has settings of its own, and the daemon turns them
// off in the fabric.
func bridgeNetfilter(f Facts) []Finding {
	off := func(keys []string) string {
		return "`sysctl -w " + strings.Join(each(keys, func(s string) string { return s + "=0" }), " ") + "`, or unload it: `modprobe -r br_netfilter`"
	}
	switch {
	case len(f.FabricNF) > 0:
		return one("br_netfilter", Wrong, "br_netfilter is on in the fabric ("+strings.Join(f.FabricNF, ", ")+"): packets between sandboxes pass its firewall a second time and may be dropped or rewritten",
			"see that the daemon runs, which turns it off there; or unload it: `modprobe -r br_netfilter`")
	case len(f.BridgeNF) > 0 && f.HasFabric:
		return one("br_netfilter", Note, "br_netfilter is on in the host ("+strings.Join(f.BridgeNF, ", ")+"): bridges of the host pass its firewall; ours do not, they are in the fabric, where it is off",
			"nothing for our networks; for others, "+off(f.BridgeNF))
	case len(f.BridgeNF) > 0:
		return one("br_netfilter", Wrong, "br_netfilter is on ("+strings.Join(f.BridgeNF, ", ")+"): bridged packets pass the host's firewall, which may drop or rewrite them", off(f.BridgeNF))
	}
	return one("br_netfilter", OK, "bridged packets do not pass the host's firewall", "")
}

func each(list []string, fn func(string) string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fn(s)
	}
	return out
}

// skew is how far clocks may differ.
const skew = time.Minute

func clock(f Facts) []Finding {
	c := f.Cert
	switch {
	case c != nil && c.Err == "" && f.Now.Add(skew).Before(c.NotBefore):
		return one("clock", Wrong, fmt.Sprintf("it shows %s, before this node's certificate was made (%s)", stamp(f.Now), stamp(c.NotBefore)),
			"set the clock: run an NTP client such as chrony")
	case !f.Clock.Known:
		return nil
	case !f.Clock.Synchronised:
		return one("clock", Note, "nothing keeps it right", "run an NTP client such as chrony: certificates are refused when clocks differ")
	}
	return one("clock", OK, "it is kept right", "")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func certificate(f Facts) []Finding {
	c := f.Cert
	switch {
	case c == nil:
		return nil
	case c.Err != "":
		return one("certificate", Wrong, c.Err, "restore it, or leave the cluster with --force and join again")
	case f.Now.After(c.NotAfter):
		return one("certificate", Wrong, fmt.Sprintf("it expired at %s: no manager listens to this node", stamp(c.NotAfter)),
			"check the clock; else leave the cluster with --force and join again")
	}
	left := c.NotAfter.Sub(f.Now)
	found := fmt.Sprintf("it is good until %s", stamp(c.NotAfter))
	// It is renewed at half its life: a quarter is left only if that has failed for a long time.
	if left < c.NotAfter.Sub(c.NotBefore)/4 {
		return one("certificate", Wrong, found+", and was not renewed", "see that the daemon runs and that a manager with a quorum can be reached")
	}
	return one("certificate", OK, found, "")
}

func managers(f Facts) []Finding {
	return paths("manager", f.Managers, "see that the manager runs, and that no firewall between drops TCP to that port")
}

func nodes(f Facts) []Finding {
	return paths("node", f.Nodes, "see that the node is up, and that no firewall between drops UDP to the data path port")
}

// pathMTU tells of ways that lose large packets without a word, in the direction to the other node: what it finds on its ways, it tells itself.
func pathMTU(f Facts) []Finding {
	var out []Finding
	tried, least := 0, 0
	for _, p := range f.Nodes {
		if p.Arrives == 0 {
			continue
		}
		tried++
		if least == 0 || p.Arrives < least {
			least = p.Arrives
		}
		name := fmt.Sprintf("%s (%s)", p.Name, host(p.Addr))
		switch {
		case p.Arrives < p.Route:
			out = append(out, Finding{"path-mtu", Wrong, fmt.Sprintf("%s: of packets that its route takes, of up to %d octets, none of more than %d arrives, and nobody says so: overlay networks are lowered to what arrives%s",
				name, p.Route, p.Arrives, unlowered(f, p)), "have what is between carry as much as the hosts' interfaces do, or lower those; let ICMP \"fragmentation needed\" pass"})
		case p.Told > 0 && p.Told < p.Arrives:
			out = append(out, Finding{"path-mtu", Note, fmt.Sprintf("%s: it can send and receive %d octets, here are %d: overlay networks are lowered to the least", name, p.Told, p.Arrives),
				"run `swarmnet doctor` there"})
		}
	}
	if tried > 0 && out == nil {
		return one("path-mtu", OK, fmt.Sprintf("packets of up to %d octets get through to %d of %d nodes", least, tried, len(f.Nodes)), "")
	}
	return out
}

// leastIPv6 is what every link of an IPv6 network takes, in octets (RFC 8200 section 5).
const leastIPv6 = 1280

// unlowered says which overlay networks cannot be lowered to what arrives at a node, if there are any.
func unlowered(f Facts, p Path) string {
	ap, _ := netip.ParseAddrPort(p.Addr) //nolint:errcheck // without an address it is as over IPv4
	if need := leastIPv6 + swarmnet.VXLANOverhead(ap.Addr()); f.NeedsIPv6 && p.Arrives < need {
		return fmt.Sprintf(", but none with IPv6, the ingress network neither, below %d: they need %d octets on the way, and their larger packets are lost", leastIPv6, need)
	}
	return ""
}

// host is an address without its port.
func host(addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return ap.Addr().String()
	}
	return addr
}

func paths(check string, list []Path, cure string) []Finding {
	var out []Finding
	for _, p := range list {
		what := p.Addr
		if p.Name != "" {
			what = p.Name + " (" + p.Addr + ")"
		}
		switch {
		case p.Err != "":
			out = append(out, Finding{check, Wrong, what + ": " + p.Err, cure})
		case p.Remark != "":
			out = append(out, Finding{check, Note, what + ": " + p.Remark, ""})
		default:
			out = append(out, Finding{check, OK, what + " answers", ""})
		}
	}
	return out
}
