package local

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ipam"
)

// The options of node-local networks, in their short form.
const (
	OptionICC         = "icc"          // bridge: false keeps its members apart
	OptionMasquerade  = "masquerade"   // bridge: false lets its members leave the host under their own addresses
	OptionParent      = "parent"       // macvlan: the host's interface
	OptionMacvlanMode = "macvlan_mode" // macvlan: bridge, vepa, private or passthru
)

// dockerOptions are the names that Docker's users know some options by.
var dockerOptions = map[string]string{
	"com.docker.network.bridge.enable_icc":           OptionICC,
	"com.docker.network.bridge.enable_ip_masquerade": OptionMasquerade,
	"com.docker.network.driver.mtu":                  swarmnet.OptionMTU,
}

var macvlanModes = []string{"bridge", "vepa", "private", "passthru"}

// predefined are the networks that every node has, the id of each is the same everywhere.
var predefined = []string{swarmnet.DriverBridge, swarmnet.DriverHost, swarmnet.DriverNone}

// IsPredefined reports whether a network is one of those that every node has.
func IsPredefined(id swarmnet.NetworkID) bool {
	return slices.ContainsFunc(predefined, func(name string) bool { return swarmnet.PredefinedNetworkID(name) == id })
}

// Predefine adds the predefined networks that are missing. Where no subnet is left for the bridge, it has none and nobody can use it.
func (s State) Predefine(env Env) State {
	for _, name := range predefined {
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

// CreateNetwork makes a network of one of the drivers bridge and macvlan.
func (s State) CreateNetwork(id swarmnet.NetworkID, spec swarmnet.NetworkSpec, env Env) (State, Network, error) {
	spec, err := normalise(spec)
	if err != nil {
		return s, Network{}, err
	}
	if err := s.freeName(spec.Name, env); err != nil {
		return s, Network{}, err
	}
	if spec.Driver == swarmnet.DriverMacvlan {
		if err := checkParent(spec, env); err != nil {
			return s, Network{}, err
		}
	}
	subnets, err := s.subnets(spec, env)
	if err != nil {
		return s, Network{}, err
	}
	n := Network{Network: swarmnet.Network{
		ID: id, Spec: spec, VNI: s.freeSwitch(), Subnets: subnets,
		Meta: swarmnet.Meta{CreatedAt: env.Now, UpdatedAt: env.Now},
	}}
	return s.withNetwork(n), n, nil
}

// normalise checks what can be said of a spec alone, and spells its options in their short form.
func normalise(spec swarmnet.NetworkSpec) (swarmnet.NetworkSpec, error) {
	if spec.Driver == "" {
		spec.Driver = swarmnet.DriverBridge
	}
	switch spec.Driver {
	case swarmnet.DriverBridge, swarmnet.DriverMacvlan:
	case swarmnet.DriverOverlay:
		return spec, refuse(Refused, "an overlay network belongs to a cluster: ask a manager for it, after `swarmnet cluster init` or `swarmnet cluster join`")
	case swarmnet.DriverHost, swarmnet.DriverNone:
		return spec, refuse(Invalid, "driver %s has one network on each node, which is predefined: use `--network %s`", spec.Driver, spec.Driver)
	default:
		return spec, refuse(Invalid, "driver %q is not known: bridge and macvlan make networks of one node, overlay makes those of a cluster", spec.Driver)
	}
	if spec.Ingress || spec.Attachable {
		return spec, refuse(Invalid, "an ingress or attachable network spans a cluster: make it with --driver overlay")
	}
	options := map[string]string{}
	for k, v := range spec.Options {
		if short, ok := dockerOptions[k]; ok {
			k = short
		}
		options[k] = v
	}
	spec.Options = nil
	if len(options) > 0 {
		spec.Options = options
	}
	if err := checkOptions(spec); err != nil {
		return spec, err
	}
	// What a network has in common with an overlay network is checked as for one.
	same := spec
	same.Driver = swarmnet.DriverOverlay
	return spec, invalid(same.Validate())
}

func checkOptions(spec swarmnet.NetworkSpec) error {
	known := map[string]bool{swarmnet.OptionMTU: true, OptionICC: spec.Driver == swarmnet.DriverBridge, OptionMasquerade: spec.Driver == swarmnet.DriverBridge}
	if spec.Driver == swarmnet.DriverMacvlan {
		known[OptionParent], known[OptionMacvlanMode] = true, true
	}
	for _, k := range slices.Sorted(maps.Keys(spec.Options)) {
		v := spec.Options[k]
		switch {
		case !known[k]:
			return refuse(Invalid, "option %q is not one of driver %s: it takes %s", k, spec.Driver, strings.Join(trueKeys(known), ", "))
		case (k == OptionICC || k == OptionMasquerade) && v != "true" && v != "false":
			return refuse(Invalid, "option %s=%s is not possible: true or false is wanted", k, v)
		case k == OptionMacvlanMode && !slices.Contains(macvlanModes, v):
			return refuse(Invalid, "option macvlan_mode=%s is not possible: one of %s is wanted", v, strings.Join(macvlanModes, ", "))
		}
	}
	return nil
}

func trueKeys(m map[string]bool) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] {
			out = append(out, k)
		}
	}
	return out
}

// checkParent refuses an interface that the host does not have. PARENT.ID is made where it is missing, if PARENT is there (IEEE 802.1Q).
func checkParent(spec swarmnet.NetworkSpec, env Env) error {
	parent := spec.Options[OptionParent]
	if parent == "" {
		return refuse(Invalid, "a macvlan network needs an interface of this host: name it with --opt parent=eth0")
	}
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
