package local

import (
	"slices"

	"github.com/swarmnet/swarmnet"
)

// Published ports that nobody named are chosen from here upwards: the dynamic ports of RFC 6335 section 6.
const firstPort = 49152

// ports gives a sandbox that starts its published ports, in the order of its spec. It is refused when somebody has one of them. Those that are named
// go first, then those that are any of some.
func (s State) ports(sb Sandbox, env Env) ([]swarmnet.PortSpec, error) {
	out := make([]swarmnet.PortSpec, len(sb.Spec.Ports))
	var own []swarmnet.PortSpec
	for i, p := range sb.Spec.Ports {
		if p.Published == 0 || p.PublishedTo != 0 {
			continue
		}
		if who := s.portHolder(sb.ID, p, own, env); who != "" {
			return nil, refuse(Refused, "port %d/%s of this host is taken by %s: publish another", p.Published, p.Protocol, who)
		}
		out[i], own = p, append(own, p)
	}
	for _, some := range []bool{true, false} {
		for i, p := range sb.Spec.Ports {
			if some != (p.PublishedTo != 0) || !some && p.Published != 0 {
				continue
			}
			got, err := s.choosePort(sb, p, own, env)
			if err != nil {
				return nil, err
			}
			out[i], own = got, append(own, got)
		}
	}
	return out, nil
}

// choosePort is the first free of the ports that a wish allows.
func (s State) choosePort(sb Sandbox, p swarmnet.PortSpec, own []swarmnet.PortSpec, env Env) (swarmnet.PortSpec, error) {
	first, last := int(p.Published), int(p.PublishedTo)
	if p.Published == 0 {
		first, last = firstPort, 1<<16-1
	}
	who := ""
	for n := first; n <= last; n++ {
		try := p
		try.Published, try.PublishedTo = uint16(n), 0
		holder := s.portHolder(sb.ID, try, own, env)
		if holder == "" {
			return try, nil
		}
		if who == "" {
			who = holder
		}
	}
	return p, refuse(Refused, "no port from %d to %d/%s of this host is free, the first is taken by %s: name one", first, last, p.Protocol, who)
}

func (s State) portHolder(id swarmnet.TaskID, p swarmnet.PortSpec, own []swarmnet.PortSpec, env Env) string {
	for _, q := range own {
		if p.Clashes(q) {
			return "another port of the same sandbox"
		}
	}
	holder := ""
	for _, other := range s.Sandboxes {
		clash := func(q swarmnet.PortSpec) bool { return p.Clashes(q) }
		if other.ID != id && (holder == "" || other.Spec.Name < holder) && slices.ContainsFunc(other.Ports, clash) {
			holder = other.Spec.Name
		}
	}
	if holder != "" {
		return "sandbox " + holder
	}
	if env.Busy == nil {
		return ""
	}
	return env.Busy(p)
}
