package parse

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// HostPorts reads every --publish of `run`. One port twice is refused.
func HostPorts(args []string) ([]swarmnet.PortSpec, error) {
	var out []swarmnet.PortSpec
	for _, s := range args {
		ps, err := HostPort(s)
		if err != nil {
			return nil, err
		}
		for _, p := range ps {
			for _, q := range out {
				if p.Published != 0 && p.Clashes(q) {
					return nil, fmt.Errorf("--publish %q: port %d/%s is published twice", s, p.Published, p.Protocol)
				}
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// HostPort reads docker's forms of --publish: [[IP:][PUBLISHED]:]TARGET[/PROTO] with ranges on both sides, an IPv6 address in brackets;
// or published=,target=,protocol=,ip=. Without a published port one is chosen, of a range for a single target port the first free one.
func HostPort(s string) ([]swarmnet.PortSpec, error) {
	ports, err := hostPort(s)
	if err != nil {
		return nil, fmt.Errorf("--publish %q: %w", s, err)
	}
	for i := range ports {
		ports[i].Mode = swarmnet.PublishHost
	}
	return ports, nil
}

func hostPort(s string) ([]swarmnet.PortSpec, error) {
	if strings.Contains(s, "=") {
		return hostPortLong(s)
	}
	spec, protoText, hasProto := strings.Cut(s, "/")
	var base swarmnet.PortSpec
	if hasProto {
		var err error
		if base.Protocol, err = swarmnet.ParseProtocol(protoText); err != nil {
			return nil, err
		}
	}
	front, target, hasFront := cutLast(spec, ":")
	if !hasFront {
		return hostRange(base, "", spec)
	}
	addr, published, hasAddr := cutLast(front, ":")
	if !hasAddr {
		if front == "" {
			return nil, fmt.Errorf("the published port is missing: TARGET alone has one chosen")
		}
		return hostRange(base, front, target)
	}
	var err error
	if base.HostIP, err = publishAddr(addr); err != nil {
		return nil, err
	}
	return hostRange(base, published, target)
}

// hostRange is ports, and takes a range for a single target port as a choice.
func hostRange(base swarmnet.PortSpec, published, target string) ([]swarmnet.PortSpec, error) {
	if base.Protocol == swarmnet.SCTP {
		return nil, fmt.Errorf("sctp cannot be published for a sandbox: tcp and udp can")
	}
	from, to, err := portRange("published", published)
	if one, terr := port("target", target); err == nil && terr == nil && to > from {
		base.Target, base.Published, base.PublishedTo = uint16(one), uint16(from), uint16(to)
		return []swarmnet.PortSpec{base}, nil
	}
	return ports(base, published, target)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// publishAddr reads the address to publish on; the wildcard of IPv4 means every address, which is what no address means.
func publishAddr(s string) (netip.Addr, error) {
	text, bracketed := s, false
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if text, bracketed = strings.CutSuffix(inner, "]"); !bracketed {
			return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
		}
	}
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || a.Zone() != "" || bracketed && a.Is4():
		return a, fmt.Errorf("%q is not an IP address of this host", s)
	case a.Is6() && !bracketed:
		return a, fmt.Errorf("an IPv6 address is written in brackets: [%s]:PUBLISHED:TARGET", a)
	}
	return wildcard(a), nil
}

func wildcard(a netip.Addr) netip.Addr {
	if a.Is4() && a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

func hostPortLong(s string) ([]swarmnet.PortSpec, error) {
	said := false
	for field := range strings.SplitSeq(s, ",") {
		k, v, _ := strings.Cut(field, "=")
		if k != "mode" {
			continue
		}
		if said = true; v != "host" {
			return nil, fmt.Errorf("mode %q: a sandbox is published on its own node, with mode=host; the mesh is for services", v)
		}
	}
	if !said {
		s += ",mode=host"
	}
	ports, err := publishLong(s, hostRange)
	if err != nil {
		return nil, err
	}
	for i := range ports {
		ports[i].HostIP = wildcard(ports[i].HostIP)
	}
	return ports, nil
}

// TargetPort reads what `port` is asked for: PORT[/PROTO], tcp if it isn't said.
func TargetPort(s string) (uint16, swarmnet.Protocol, error) {
	text, protoText, hasProto := strings.Cut(s, "/")
	n, err := port("target", text)
	if err != nil {
		return 0, 0, err
	}
	proto := swarmnet.TCP
	if hasProto {
		if proto, err = swarmnet.ParseProtocol(protoText); err != nil {
			return 0, 0, err
		}
	}
	return uint16(n), proto, nil
}

// number reads a decimal without sign or leading zeros.
func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return uint32(n), nil
}
