package ingress

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// String shows the mesh as `ip` and `nft list` would: where tasks are, and what the ports lead to.
func (m Mesh) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "mesh node %d vni %s\n", m.Node, m.VNI)
	for _, p := range m.Peers {
		fmt.Fprintf(&b, "peer %d lladdr %s", p.Node, p.MAC)
		for _, a := range p.Addrs {
			b.WriteString(" addr " + a.String())
		}
		b.WriteByte('\n')
	}
	for _, t := range m.Tasks {
		fmt.Fprintf(&b, "route %s", t.Addr)
		if t.Node == m.Node {
			b.WriteString(" local")
		} else {
			fmt.Fprintf(&b, " via %d", t.Node)
		}
		if t.Lost {
			b.WriteString(" lost")
		}
		b.WriteByte('\n')
	}
	for _, p := range m.Ports {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// String is one line: `tcp dport 8080 dnat to { 10.0.1.2:80, 10.0.1.3:80 }`.
func (p Port) String() string {
	out := p.Protocol.String() + " dport " + strconv.Itoa(int(p.Published)) + target(places(p.Backends))
	if p.HostIP.IsValid() {
		out = "daddr " + p.HostIP.String() + " " + out
	}
	if p.Mode != 0 {
		out += " " + p.Mode.String()
	}
	return out + leftOver(places(p.Draining), places(p.Lost))
}

func places(list []Backend) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = netip.AddrPortFrom(b.Addr, b.Port).String()
	}
	return out
}

// leftOver are those that may have old connections still.
func leftOver(draining, lost []string) (out string) {
	if len(draining) > 0 {
		out += " draining { " + strings.Join(draining, ", ") + " }"
	}
	if len(lost) > 0 {
		out += " lost { " + strings.Join(lost, ", ") + " }"
	}
	return out
}

// String shows one virtual address a line: `daddr 10.0.1.9 dnat to { 10.0.1.2, 10.0.1.3 }`.
func (v VIPs) String() string {
	var b strings.Builder
	for _, vip := range v {
		b.WriteString("daddr " + vip.Addr.String() + target(texts(vip.Backends)) + leftOver(texts(vip.Draining), texts(vip.Lost)) + "\n")
	}
	return b.String()
}

func texts(addrs []netip.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}

func target(list []string) string {
	if len(list) == 0 {
		return " reject"
	}
	return " dnat to { " + strings.Join(list, ", ") + " }"
}
