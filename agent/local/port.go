package local

import (
	"slices"

	"github.com/swarmnet/swarmnet"
)

// Published ports that nobody named are chosen from here upwards: the dynamic ports of RFC 6335 section 6.
const firstPort = 49152

// ports gives a sandbox that starts its published ports. It is refused when somebody has one of them.
func (s State) ports(sb Sandbox, env Env) ([]swarmnet.PortSpec, error) {
	var out []swarmnet.PortSpec
	for _, p := range sb.Spec.Ports {
		if p.Published == 0 {
			continue
		}
		if who := s.portHolder(sb.ID, p, out, env); who != "" {
			return nil, refuse(Refused, "port %d/%s of this host is taken by %s: publish another", p.Published, p.Protocol, who)
		}
		out = append(out, p)
	}
	for _, p := range sb.Spec.Ports {
		if p.Published != 0 {
			continue
		}
		for n := firstPort; n < 1<<16 && p.Published == 0; n++ {
			try := p
			try.Published = uint16(n)
			if s.portHolder(sb.ID, try, out, env) == "" {
				p = try
			}
		}
		if p.Published == 0 {
			return nil, refuse(Refused, "no port of this host from %d on is free for port %d/%s: name one", firstPort, p.Target, p.Protocol)
		}
		out = append(out, p)
	}
	return inOrder(sb.Spec.Ports, out), nil
}

// inOrder sorts the ports as they were asked for; several that say the same are alike.
func inOrder(asked, got []swarmnet.PortSpec) []swarmnet.PortSpec {
	var out []swarmnet.PortSpec
	used := make([]bool, len(got))
	for _, a := range asked {
		for i, g := range got {
			if a.Published == 0 {
				g.Published = 0
			}
			if !used[i] && a == g {
				used[i] = true
				out = append(out, got[i])
				break
			}
		}
	}
	return out
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
