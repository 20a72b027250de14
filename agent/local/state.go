package local

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet"
)

// State is everything of the node's own. Its maps are never changed: each step returns a State with maps of its own.
type State struct {
	Networks  map[swarmnet.NetworkID]Network
	Sandboxes map[swarmnet.TaskID]Sandbox

	// What steps have set or deleted since Settled, so that nobody has to compare everything.
	networks  []swarmnet.NetworkID
	sandboxes []swarmnet.TaskID
}

// Touched are the ids of what may have changed since Settled.
func (s State) Touched() ([]swarmnet.NetworkID, []swarmnet.TaskID) { return s.networks, s.sandboxes }

// Settled is the state with nothing touched.
func (s State) Settled() State {
	s.networks, s.sandboxes = nil, nil
	return s
}

// Network is a network of this node, with the addresses that rest.
type Network struct {
	swarmnet.Network
	// Freed are the addresses that were given back, the longest free one first: it is the first to be given out again.
	Freed []netip.Addr `json:",omitempty"`
}

// Sandbox is a sandbox with what its life needs beyond what others see of it.
type Sandbox struct {
	swarmnet.Sandbox
	// Run counts the starts of its process: a report about an earlier one means nothing any more. 0: never started.
	Run uint64
	// Interfaces are the names of its interfaces, by network. They stay when others come and go.
	Interfaces map[swarmnet.NetworkID]string `json:",omitempty"`
	// Given are the networks whose driver gives addresses itself and has made the interface: the endpoint has them.
	Given map[swarmnet.NetworkID]bool `json:",omitempty"`
	// NotBefore is when a restart is due.
	NotBefore time.Time `json:",omitzero"`
	// Failures are the ends in a row that were followed by a restart.
	Failures uint32 `json:",omitempty"`
	// StopSignal and StopGrace are those of the stop that was asked for last; empty and negative: the sandbox's own.
	StopSignal string        `json:",omitempty"`
	StopGrace  time.Duration `json:",omitempty"`
	// Again says that its process is started again when it has ended: a restart that somebody asked for. Last, that the restart policy does
	// not: somebody killed it.
	Again, Last bool `json:",omitempty"`
	// Draining says that it is about to be stopped, and takes no new connections of the service that it has joined.
	Draining bool `json:",omitempty"`
	// Removing says that it is on its way out: everything of it is taken away, then it is gone.
	Removing bool `json:",omitempty"`
}

// Active reports whether a process of it runs, is about to, or has not ended yet.
func (s Sandbox) Active() bool {
	return s.Run > 0 && s.State != swarmnet.SandboxExited
}

// Env is what only the host knows, at the moment of a step.
type Env struct {
	Now time.Time
	// Routes are where the host's packets go by itself: a network on one of them would cut it off.
	Routes []netip.Prefix
	// Links are the names of the host's interfaces.
	Links []string
	// MTUs are what the interfaces take, by name, and WayOut what the one takes that leads outside, in octets; absent and 0: it is not known.
	MTUs   map[string]int
	WayOut int
	// Cluster are the networks of the cluster that this node knows.
	Cluster []swarmnet.Network
	// Conf reads and checks the configuration that a network's options name; swarmnet.Network.Conf. Nil: no driver has one.
	Conf func(spec swarmnet.NetworkSpec) (string, error)
	// Busy says who has a port of the host already; empty: nobody. Nil: nobody has any.
	Busy func(p swarmnet.PortSpec) string
}

// New returns the state of a node on which nobody has made anything: the predefined networks.
func New(env Env) State {
	s := State{Networks: map[swarmnet.NetworkID]Network{}, Sandboxes: map[swarmnet.TaskID]Sandbox{}}
	return s.Predefine(env)
}

func (s State) withNetwork(n Network) State {
	s.Networks = maps.Clone(s.Networks)
	s.Networks[n.ID] = n
	s.networks = append(slices.Clip(s.networks), n.ID)
	return s
}

func (s State) withSandbox(sb Sandbox) State {
	s.Sandboxes = maps.Clone(s.Sandboxes)
	s.Sandboxes[sb.ID] = sb
	s.sandboxes = append(slices.Clip(s.sandboxes), sb.ID)
	return s
}

// Network finds a network by id, name or unique prefix of an id.
func (s State) Network(ref string) (Network, error) {
	return find(s.Networks, ref, "network", func(n Network) string { return n.Spec.Name })
}

// Sandbox finds a sandbox by id, name or unique prefix of an id.
func (s State) Sandbox(ref string) (Sandbox, error) {
	return find(s.Sandboxes, ref, "sandbox", func(sb Sandbox) string { return sb.Spec.Name })
}

func find[K ~string, V any](all map[K]V, ref, what string, name func(V) string) (V, error) {
	var none V
	if v, ok := all[K(ref)]; ok {
		return v, nil
	}
	var found []K
	for id, v := range all {
		if name(v) == ref {
			return v, nil
		}
		if ref != "" && strings.HasPrefix(string(id), ref) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return none, refuse(NotFound, "%s %q not found on this node", what, ref)
	case 1:
		return all[found[0]], nil
	}
	return none, refuse(Invalid, "%q begins the id of more than one %s of this node (of %d): give more of the id", ref, what, len(found))
}

// LeaveCluster takes all sandboxes off the networks that are not the node's own.
func (s State) LeaveCluster() State {
	for _, sb := range s.Sandboxes {
		gone := func(a swarmnet.NetworkAttachment) bool { _, own := s.Networks[a.Network]; return !own }
		if slices.ContainsFunc(sb.Spec.Networks, gone) {
			sb.Spec.Networks = slices.DeleteFunc(slices.Clone(sb.Spec.Networks), gone)
			sb.Interfaces = maps.Clone(sb.Interfaces)
			maps.DeleteFunc(sb.Interfaces, func(n swarmnet.NetworkID, _ string) bool { _, own := s.Networks[n]; return !own })
			s = s.withSandbox(sb)
		}
	}
	return s
}

// SortedNetworks are all networks by name.
func (s State) SortedNetworks() []Network {
	return slices.SortedFunc(maps.Values(s.Networks), func(a, b Network) int {
		return cmp.Or(cmp.Compare(a.Spec.Name, b.Spec.Name), cmp.Compare(a.ID, b.ID))
	})
}

// SortedSandboxes are all sandboxes by name.
func (s State) SortedSandboxes() []Sandbox {
	return slices.SortedFunc(maps.Values(s.Sandboxes), func(a, b Sandbox) int {
		return cmp.Or(cmp.Compare(a.Spec.Name, b.Spec.Name), cmp.Compare(a.ID, b.ID))
	})
}
