package local

import (
	"maps"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
)

// CreateSandbox makes a sandbox, which is not started, with an endpoint on each of its networks. References to networks and to a
// shared sandbox are resolved.
func (s State) CreateSandbox(id swarmnet.TaskID, spec swarmnet.SandboxSpec, env Env) (State, Sandbox, error) {
	spec, err := s.resolve(spec, env)
	if err != nil {
		return s, Sandbox{}, err
	}
	if spec.Name == "" {
		spec.Name = s.ChooseName(id)
	}
	if err := s.nameFree(spec.Name); err != nil {
		return s, Sandbox{}, err
	}
	sb := Sandbox{Sandbox: swarmnet.Sandbox{ID: id, Meta: swarmnet.Meta{CreatedAt: env.Now, UpdatedAt: env.Now}, Spec: spec}, StopGrace: -1}
	s = s.withSandbox(sb)
	for _, att := range spec.Networks {
		if s, err = s.attach(id, att, env); err != nil {
			return s, Sandbox{}, err
		}
	}
	return s, s.Sandboxes[id], nil
}

func (s State) nameFree(name string) error {
	for _, other := range s.Sandboxes {
		if other.Spec.Name == name {
			return refuse(Exists, "sandbox name %q is taken by %s: choose another, or remove that with `swarmnet rm %s`", name, swarmnet.ShortID(other.ID), name)
		}
	}
	return nil
}

// Rename gives a sandbox another name. Others find it by that at once.
func (s State) Rename(ref, name string, env Env) (State, Sandbox, error) {
	sb, err := s.Sandbox(ref)
	if err != nil {
		return s, sb, err
	}
	if name == "" {
		return s, sb, refuse(Invalid, "sandbox %s needs another name: none was given", sb.Spec.Name)
	}
	if name == sb.Spec.Name {
		return s, sb, refuse(Exists, "sandbox %s has that name already", name)
	}
	if err := s.nameFree(name); err != nil {
		return s, sb, err
	}
	for _, att := range sb.Spec.Networks {
		if _, own := s.Networks[att.Network]; !own {
			return s, sb, refuse(Refused, "sandbox %s is on a network of the cluster, where it is known by its name: disconnect it first, or give it an alias there", sb.Spec.Name)
		}
	}
	sb.Spec.Name, sb.Meta.UpdatedAt = name, env.Now
	if err := sb.Spec.Validate(); err != nil {
		return s, sb, invalid(err)
	}
	return s.withSandbox(sb), sb, nil
}

// resolve replaces references by ids, takes the networks host and none for the modes that they stand for, and checks the spec.
func (s State) resolve(spec swarmnet.SandboxSpec, env Env) (swarmnet.SandboxSpec, error) {
	spec.Networks = slices.Clone(spec.Networks)
	if spec.Mode == swarmnet.ModeNetworks && len(spec.Networks) == 0 {
		spec.Networks = []swarmnet.NetworkAttachment{{Network: swarmnet.PredefinedNetworkID(swarmnet.DriverBridge)}}
	}
	for i, att := range spec.Networks {
		n, err := s.attachable(string(att.Network), env)
		if err != nil {
			return spec, err
		}
		if driver.Of(n).Stack {
			if len(spec.Networks) > 1 || spec.Mode != swarmnet.ModeNetworks {
				return spec, refuse(Invalid, "network %s cannot be combined with another: it is all or nothing", n.Spec.Name)
			}
			spec.Networks = nil
			spec.Mode = swarmnet.ModeHost
			if n.Spec.Driver == swarmnet.DriverNone {
				spec.Mode = swarmnet.ModeNone
			}
			break
		}
		spec.Networks[i].Network = n.ID
	}
	if spec.Mode == swarmnet.ModeShared && spec.SharedWith != "" {
		owner, err := s.Sandbox(string(spec.SharedWith))
		if err != nil {
			return spec, err
		}
		switch owner.Spec.Mode {
		case swarmnet.ModeShared:
			return spec, refuse(Invalid, "sandbox %s shares another's network stack itself: name the one that has it", owner.Spec.Name)
		case swarmnet.ModeHost:
			return spec, refuse(Invalid, "sandbox %s is on the host's network stack: use `--network host`", owner.Spec.Name)
		}
		spec.SharedWith = owner.ID
	}
	return spec, invalid(spec.Validate())
}

// attachable finds a network that a sandbox may be on: one of this node, or an attachable one of the cluster.
func (s State) attachable(ref string, env Env) (swarmnet.Network, error) {
	n, err := s.Network(ref)
	if err == nil {
		return n.Network, nil
	}
	for _, n := range env.Cluster {
		if string(n.ID) != ref && n.Spec.Name != ref {
			continue
		}
		if !n.Spec.Attachable {
			return n, refuse(Refused, "network %s of the cluster is for services: sandboxes may join one made with `--attachable`", n.Spec.Name)
		}
		return n, nil
	}
	return swarmnet.Network{}, err
}

// RemoveSandbox begins to take a sandbox away. It is gone when Gone says so.
func (s State) RemoveSandbox(ref string, force bool) (State, Sandbox, error) {
	sb, err := s.Sandbox(ref)
	if err != nil {
		return s, sb, err
	}
	if sb.Active() && !force && !sb.Removing {
		return s, sb, refuse(Refused, "sandbox %s runs: stop it first with `swarmnet stop %s`, or use --force", sb.Spec.Name, sb.Spec.Name)
	}
	if sharers := s.sharers(sb.ID); len(sharers) > 0 && !force {
		return s, sb, refuse(Refused, "the network stack of sandbox %s is used by %s: stop them first, or use --force", sb.Spec.Name, strings.Join(sharers, ", "))
	}
	sb.Removing, sb.Wanted = true, false
	return s.withSandbox(sb), sb, nil
}

// sharers are the names of the active sandboxes that use another's stack.
func (s State) sharers(owner swarmnet.TaskID) []string {
	var out []string
	for _, sb := range s.Sandboxes {
		if sb.Spec.Mode == swarmnet.ModeShared && sb.Spec.SharedWith == owner && sb.Active() && !sb.Removing {
			out = append(out, sb.Spec.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Gone forgets a sandbox of which nothing is left on the host; its addresses are free.
func (s State) Gone(id swarmnet.TaskID) State {
	sb, ok := s.Sandboxes[id]
	if !ok || !sb.Removing {
		return s
	}
	for _, ep := range sb.Endpoints {
		s = s.free(ep)
	}
	s.Sandboxes = maps.Clone(s.Sandboxes)
	delete(s.Sandboxes, id)
	s.sandboxes = append(slices.Clip(s.sandboxes), id)
	return s
}
