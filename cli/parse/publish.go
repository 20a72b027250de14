// Package parse reads the values of flags into the vocabulary. Every function is pure and refuses what it does not understand as a
// whole, with an error that names the piece.
package parse

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// Publish reads --publish: [IP:][PUB:]TARGET[/PROTO], or published=,target=,protocol=,mode=,ip=. A range (8080-8082:80-82) gives a port
// each.
func Publish(s string) ([]swarmnet.PortSpec, error) {
	if strings.Contains(s, "=") {
		p, err := publishLong(s, ports)
		if err != nil {
			return nil, fmt.Errorf("--publish %q: %w", s, err)
		}
		return p, nil
	}
	p, err := publishShort(s)
	if err != nil {
		return nil, fmt.Errorf("--publish %q: %w", s, err)
	}
	return p, nil
}

func publishShort(s string) ([]swarmnet.PortSpec, error) {
	spec, protoText, hasProto := strings.Cut(s, "/")
	base := swarmnet.PortSpec{}
	if hasProto {
		proto, err := swarmnet.ParseProtocol(protoText)
		if err != nil {
			return nil, err
		}
		base.Protocol = proto
	}
	published, target, hasPublished := "", spec, false
	if i := strings.LastIndexByte(spec, ':'); i >= 0 {
		published, target, hasPublished = spec[:i], spec[i+1:], true
	}
	if strings.Contains(published, ":") {
		return nil, fmt.Errorf("an address can only be given for host mode: use mode=host,ip=ADDRESS,published=PORT,target=PORT")
	}
	if hasPublished && published == "" {
		return nil, fmt.Errorf("the published port is missing: [PUB:]TARGET[/PROTO] is wanted")
	}
	return ports(base, published, target)
}

func publishLong(s string, expand expander) ([]swarmnet.PortSpec, error) {
	var base swarmnet.PortSpec
	var published, target string
	seen := map[string]bool{}
	for field := range strings.SplitSeq(s, ",") {
		k, v, ok := strings.Cut(field, "=")
		if !ok {
			return nil, fmt.Errorf("%q: KEY=VALUE is wanted", field)
		}
		if seen[k] {
			return nil, fmt.Errorf("%s is given twice", k)
		}
		seen[k] = true
		var err error
		switch k {
		case "target":
			target = v
		case "published":
			published = v
		case "protocol":
			base.Protocol, err = swarmnet.ParseProtocol(v)
		case "mode":
			base.Mode, err = swarmnet.ParsePublishMode(v)
		case "name":
			base.Name = v
		case "ip":
			if base.HostIP, err = netip.ParseAddr(v); err != nil {
				err = fmt.Errorf("ip %q is not an IP address", v)
			}
		default:
			err = fmt.Errorf("there is no key %q: target, published, protocol, mode, ip and name are known", k)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case target == "":
		return nil, fmt.Errorf("target is missing")
	case base.HostIP.IsValid() && base.Mode != swarmnet.PublishHost:
		return nil, fmt.Errorf("ip goes with mode=host only: the mesh answers on every address")
	}
	return expand(base, published, target)
}

// expander makes the ports of a published and a target range.
type expander func(base swarmnet.PortSpec, published, target string) ([]swarmnet.PortSpec, error)

// ports pairs the ports of two ranges.
func ports(base swarmnet.PortSpec, published, target string) ([]swarmnet.PortSpec, error) {
	tFrom, tTo, err := portRange("target", target)
	if err != nil {
		return nil, err
	}
	pFrom, pTo := 0, 0
	if published != "" && published != "0" {
		if pFrom, pTo, err = portRange("published", published); err != nil {
			return nil, err
		}
		if pTo-pFrom != tTo-tFrom {
			return nil, fmt.Errorf("%d published ports for %d target ports: as many of each are wanted", pTo-pFrom+1, tTo-tFrom+1)
		}
	}
	var out []swarmnet.PortSpec
	for i := range tTo - tFrom + 1 {
		p := base
		p.Target = uint16(tFrom + i)
		if pFrom != 0 {
			p.Published = uint16(pFrom + i)
		}
		out = append(out, p)
	}
	return out, nil
}

func portRange(what, s string) (from, to int, err error) {
	a, b, isRange := strings.Cut(s, "-")
	if from, err = port(what, a); err != nil {
		return 0, 0, err
	}
	if !isRange {
		return from, from, nil
	}
	if to, err = port(what, b); err != nil {
		return 0, 0, err
	}
	if to < from {
		return 0, 0, fmt.Errorf("the %s range %s runs backwards", what, s)
	}
	return from, to, nil
}

func port(what, s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '+' {
		return 0, fmt.Errorf("the %s port %q is not a number from 1 to 65535", what, s)
	}
	return int(n), nil
}

// AllPublish reads every --publish of a service's command. The same port twice is one; one port for two is refused, TCP and UDP apart.
func AllPublish(args []string) ([]swarmnet.PortSpec, error) {
	var out []swarmnet.PortSpec
	for _, s := range args {
		ps, err := Publish(s)
		if err != nil {
			return nil, err
		}
		for _, p := range ps {
			if p.Published != 0 && slices.Contains(out, p) {
				continue
			}
			for _, q := range out {
				if p.Published != 0 && p.Clashes(q) {
					return nil, fmt.Errorf("--publish %q: port %d/%s is published twice, as %s and as %s: give one of them another port", s, p.Published, p.Protocol, q, p)
				}
			}
			out = append(out, p)
		}
	}
	return out, nil
}
