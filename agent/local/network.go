package local

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/ipam"
)

// IsPredefined reports whether a network is one of those that every node has.
func IsPredefined(id swarmnet.NetworkID) bool {
	return slices.ContainsFunc(driver.Predefined(), func(name string) bool { return swarmnet.PredefinedNetworkID(name) == id })
}

// Predefine adds the predefined networks that are missing. Where no subnet is left for the bridge, it has none and nobody can use it.
func (s State) Predefine(env Env) State {
	for _, name := range driver.Predefined() {
		id := swarmnet.PredefinedNetworkID(name)
		if have, ok := s.Networks[id]; ok && (name != swarmnet.DriverBridge || have.Allocated()) {
			continue
		}
		n := Network{Network: swarmnet.Network{
			ID: id, Spec: swarmnet.NetworkSpec{Name: name, Driver: name},
			Meta: swarmnet.Meta{CreatedAt: env.Now, UpdatedAt: env.Now},
		}}
		if name == swarmnet.DriverBridge {
			if p, ok := ipam.NextSubnet(bridgePools, false, s.usedPrefixes(env, true)); ok {
				n.VNI, n.Subnets = s.freeSwitch(), []swarmnet.Subnet{ipam.Make(p, swarmnet.IPAMConfig{}, false)}
			}
		}
		s = s.withNetwork(n)
	}
	return s
}

// CreateNetwork makes a network of one of the drivers whose networks are a node's own.
func (s State) CreateNetwork(id swarmnet.NetworkID, spec swarmnet.NetworkSpec, env Env) (State, Network, error) {
	spec, d, err := normalise(spec)
	if err != nil {
		return s, Network{}, err
	}
	if err := s.freeName(spec.Name, env); err != nil {
		return s, Network{}, err
	}
	n := Network{Network: swarmnet.Network{
		ID: id, Spec: spec, VNI: s.freeSwitch(),
		Meta: swarmnet.Meta{CreatedAt: env.Now, UpdatedAt: env.Now},
	}}
	if spec.Options[driver.Parent] != "" {
		if err := checkParent(spec, env); err != nil {
			return s, Network{}, err
		}
	}
	if err := checkMTU(spec, env); err != nil {
		return s, Network{}, err
	}
	switch {
	case d.Addresses != driver.Theirs:
		n.Subnets, err = s.subnets(id, spec, d, env)
	case env.Conf == nil:
		err = refuse(Refused, "this node has no driver %s", d.Name)
	default:
		n.Conf, err = env.Conf(spec)
		err = invalid(err)
	}
	if err != nil {
		return s, Network{}, err
	}
	return s.withNetwork(n), n, nil
}

// normalise checks what can be said of a spec alone, and spells its options in their short form.
func normalise(spec swarmnet.NetworkSpec) (swarmnet.NetworkSpec, driver.Driver, error) {
	if spec.Driver == "" {
		spec.Driver = driver.All()[0].Name
	}
	d, known := driver.Find(spec.Driver)
	switch {
	case !known:
		return spec, d, refuse(Invalid, "driver %q is not known: there are %s", spec.Driver, strings.Join(driver.Makeable(), ", "))
	case d.Cluster:
		return spec, d, refuse(Refused, "an %s network belongs to a cluster: ask a manager for it, after `swarmnet cluster init` or `swarmnet cluster join`", d.Name)
	case d.Only:
		return spec, d, refuse(Invalid, "driver %s has one network on each node, which is predefined: use `--network %s`", d.Name, d.Name)
	case spec.Ingress || spec.Attachable:
		return spec, d, refuse(Invalid, "an ingress or attachable network spans a cluster: make it with --driver overlay")
	case d.Addresses == driver.Theirs && (len(spec.IPAM) > 0 || spec.IPv6 || spec.Internal):
		return spec, d, refuse(Invalid, "addresses and gateways of a %s network are its plugins' to give: leave out --subnet and its like, --ipv6 and --internal, and say it in the configuration", d.Name)
	}
	var err error
	if spec.Options, err = d.Normalise(spec.Options); err != nil {
		return spec, d, invalid(err)
	}
	// What a network has in common with an overlay network is checked as for one.
	same := spec
	same.Driver = swarmnet.DriverOverlay
	return spec, d, invalid(same.Validate())
}

// checkMTU refuses what would be lowered, or fail later.
func checkMTU(spec swarmnet.NetworkSpec, env Env) error {
	wish, room, by := spec.WantedMTU(), env.WayOut, "the host's way out"
	if parent := spec.Options[driver.Parent]; parent != "" {
		base, _, _ := strings.Cut(parent, ".")
		room, by = cmp.Or(env.MTUs[parent], env.MTUs[base]), "its parent "+parent
	}
	if wish == 0 || room == 0 || wish <= room {
		return nil
	}
	return refuse(Refused, "mtu=%d is more than %s takes: ask for at most %d, or raise that interface's MTU first", wish, by, room)
}

// checkParent refuses an interface that the host does not have. PARENT.ID is made where it is missing, if PARENT is there (IEEE 802.1Q).
func checkParent(spec swarmnet.NetworkSpec, env Env) error {
	parent := spec.Options[driver.Parent]
	if slices.Contains(env.Links, parent) {
		return nil
	}
	base, id, vlan := strings.Cut(parent, ".")
	if !vlan {
		return refuse(Refused, "parent %q is no interface of this host: it has %s", parent, strings.Join(env.Links, ", "))
	}
	var n int
	if _, err := fmt.Sscanf(id, "%d", &n); err != nil || fmt.Sprint(n) != id || n < 1 || n > 4094 {
		return refuse(Invalid, "parent %q is not possible: a VLAN is a number from 1 to 4094, as in %s.50", parent, base)
	}
	if !slices.Contains(env.Links, base) {
		return refuse(Refused, "parent %q is on %q, which is no interface of this host: it has %s", parent, base, strings.Join(env.Links, ", "))
	}
	return nil
}

// freeName refuses a name that a network of this node or of its cluster has, whatever its driver.
func (s State) freeName(name string, env Env) error {
	for _, n := range s.Networks {
		if n.Spec.Name == name {
			return refuse(Exists, "network name %q is taken by a %s network of this node: choose another, or remove it with `swarmnet network rm %s`", name, n.Spec.Driver, name)
		}
	}
	for _, n := range env.Cluster {
		if n.Spec.Name == name {
			return refuse(Exists, "network name %q is taken by the cluster's %s network: choose another", name, n.Spec.Driver)
		}
	}
	return nil
}

// freeSwitch is the lowest number of a switch that no network has.
func (s State) freeSwitch() swarmnet.VNI {
	used := map[swarmnet.VNI]bool{}
	for _, n := range s.Networks {
		used[n.VNI] = true
	}
	v := swarmnet.FirstLocalSwitch
	for used[v] {
		v++
	}
	return v
}

// RemoveNetwork removes a network that nobody made anything on.
func (s State) RemoveNetwork(ref string) (State, error) {
	n, err := s.Network(ref)
	if err != nil {
		return s, err
	}
	if IsPredefined(n.ID) {
		return s, refuse(Refused, "network %s is predefined and cannot be removed", n.Spec.Name)
	}
	if users := s.users(n.ID); len(users) > 0 {
		return s, refuse(Refused, "network %s is in use by %s: disconnect or remove them first", n.Spec.Name, strings.Join(users, ", "))
	}
	s.Networks = maps.Clone(s.Networks)
	delete(s.Networks, n.ID)
	s.networks = append(slices.Clip(s.networks), n.ID)
	return s, nil
}

// users are the names of the sandboxes with an endpoint on a network.
func (s State) users(id swarmnet.NetworkID) []string {
	var out []string
	for _, sb := range s.SortedSandboxes() {
		if slices.ContainsFunc(sb.Endpoints, func(ep swarmnet.Endpoint) bool { return ep.Network == id }) {
			out = append(out, sb.Spec.Name)
		}
	}
	return out
}

// usedPrefixes are those that a new subnet may not overlap.
func (s State) usedPrefixes(env Env, routes bool) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range s.Networks {
		for _, sub := range n.Subnets {
			out = append(out, sub.Prefix)
		}
	}
	for _, n := range env.Cluster {
		for _, sub := range n.Subnets {
			out = append(out, sub.Prefix)
		}
	}
	if routes {
		out = append(out, hostRoutes(env)...)
	}
	return out
}
