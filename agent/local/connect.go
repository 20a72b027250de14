package local

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
)

// Connect gives a sandbox an endpoint on one more network.
func (s State) Connect(ref string, att swarmnet.NetworkAttachment, env Env) (State, Sandbox, error) {
	sb, err := s.Sandbox(ref)
	if err != nil {
		return s, sb, err
	}
	n, err := s.attachable(string(att.Network), env)
	if err != nil {
		return s, sb, err
	}
	if err := s.mayMove(sb, n); err != nil {
		return s, sb, err
	}
	if sb.Removing {
		return s, sb, refuse(Refused, "sandbox %s is being removed", sb.Spec.Name)
	}
	att.Network = n.ID
	if err := att.Validate(); err != nil {
		return s, sb, invalid(err)
	}
	if slices.ContainsFunc(sb.Spec.Networks, func(a swarmnet.NetworkAttachment) bool { return a.Network == n.ID }) {
		return s, sb, refuse(Exists, "sandbox %s is on network %s already", sb.Spec.Name, n.Spec.Name)
	}
	sb.Spec.Networks = append(slices.Clone(sb.Spec.Networks), att)
	sb.Meta.UpdatedAt = env.Now
	next, err := s.withSandbox(sb).attach(sb.ID, att, env)
	if err != nil {
		return s, sb, err
	}
	return next, next.Sandboxes[sb.ID], nil
}

// mayMove refuses to connect or disconnect where the stack is not the sandbox's own, and networks that nobody can be on.
func (s State) mayMove(sb Sandbox, n swarmnet.Network) error {
	switch {
	case sb.Spec.Mode == swarmnet.ModeHost:
		return refuse(Refused, "sandbox %s is on the host's network stack: it can neither be connected nor disconnected", sb.Spec.Name)
	case sb.Spec.Mode == swarmnet.ModeShared:
		return refuse(Refused, "sandbox %s uses the network stack of %s: connect or disconnect that one", sb.Spec.Name, s.nameOf(sb.Spec.SharedWith))
	case driver.Of(n).Stack:
		return refuse(Refused, "a sandbox cannot be connected to or disconnected from network %s: it is chosen when the sandbox is made", n.Spec.Name)
	}
	return nil
}

func (s State) nameOf(id swarmnet.TaskID) string {
	if sb, ok := s.Sandboxes[id]; ok {
		return sb.Spec.Name
	}
	return swarmnet.ShortID(id)
}

// attach allocates the endpoint of an attachment that the spec has already. Those on networks of the cluster are the managers' to give.
func (s State) attach(id swarmnet.TaskID, att swarmnet.NetworkAttachment, env Env) (State, error) {
	sb := s.Sandboxes[id]
	interfaces := maps.Clone(sb.Interfaces)
	sb.Interfaces = map[swarmnet.NetworkID]string{att.Network: freeInterface(interfaces)}
	maps.Copy(sb.Interfaces, interfaces)
	n, ok := s.Networks[att.Network]
	if !ok {
		return s.withSandbox(sb), nil
	}
	d := driver.Of(n.Network)
	if !n.Allocated() {
		return s, refuse(Refused, "network %s has no subnet on this host, since all that it could have overlap its routes: make a network with --subnet", n.Spec.Name)
	}
	if n.ID == swarmnet.PredefinedNetworkID(swarmnet.DriverBridge) && len(att.Aliases) > 0 {
		return s, refuse(Invalid, "network bridge does not resolve names, aliases neither: use a network made with `swarmnet network create`")
	}
	ep := s.newEndpoint(sb, n, att, env)
	var err error
	if d.Addresses == driver.Theirs {
		err = checkWish(n, att)
	} else {
		ep, err = s.allocate(ep, n, att)
	}
	if err != nil {
		return s, err
	}
	sb.Endpoints = append(slices.Clone(sb.Endpoints), ep)
	return s.withSandbox(s.routed(sb)), nil
}

// freeInterface is the first of eth0, eth1, … that is not used.
func freeInterface(used map[swarmnet.NetworkID]string) string {
	taken := map[string]bool{}
	for _, name := range used {
		taken[name] = true
	}
	i := 0
	for taken[fmt.Sprintf("eth%d", i)] {
		i++
	}
	return fmt.Sprintf("eth%d", i)
}

// Disconnect takes a sandbox off a network.
func (s State) Disconnect(ref, network string, env Env) (State, Sandbox, error) {
	sb, err := s.Sandbox(ref)
	if err != nil {
		return s, sb, err
	}
	n, err := s.attachable(network, env)
	if err != nil {
		return s, sb, err
	}
	if err := s.mayMove(sb, n); err != nil {
		return s, sb, err
	}
	on := func(a swarmnet.NetworkAttachment) bool { return a.Network == n.ID }
	if !slices.ContainsFunc(sb.Spec.Networks, on) {
		return s, sb, refuse(Refused, "sandbox %s is not on network %s", sb.Spec.Name, n.Spec.Name)
	}
	sb.Spec.Networks = slices.DeleteFunc(slices.Clone(sb.Spec.Networks), on)
	sb.Meta.UpdatedAt, sb.Draining = env.Now, false
	sb.Interfaces = maps.Clone(sb.Interfaces)
	delete(sb.Interfaces, n.ID)
	sb.Given = maps.Clone(sb.Given)
	delete(sb.Given, n.ID)
	for i, ep := range sb.Endpoints {
		if ep.Network == n.ID {
			sb.Endpoints = slices.Delete(slices.Clone(sb.Endpoints), i, i+1)
			s = s.free(ep)
			break
		}
	}
	sb = s.routed(sb)
	return s.withSandbox(sb), sb, nil
}

// routed marks the endpoint whose network carries the default route.
func (s State) routed(sb Sandbox) Sandbox {
	sb.Endpoints = Routed(sb.Endpoints, sb.Spec.Networks, func(id swarmnet.NetworkID) swarmnet.Network { return s.Networks[id].Network })
	return sb
}

// Routed returns the endpoints of a sandbox with that one marked whose network carries the default route: of those with a gateway the one
// of the highest priority, among equals the first by name. Those by which the sandbox has joined a service come before all others: connections
// to the service's ports come by them, on every node. Where addresses are not ours, a gateway is there once its driver has given one.
func Routed(eps []swarmnet.Endpoint, atts []swarmnet.NetworkAttachment, network func(swarmnet.NetworkID) swarmnet.Network) []swarmnet.Endpoint {
	priority := func(n swarmnet.NetworkID) int {
		for _, a := range atts {
			if a.Network == n {
				return a.GatewayPriority
			}
		}
		return 0
	}
	best := -1
	for i, ep := range eps {
		n := network(ep.Network)
		if !n.HasGateway() || n.Conf != "" && len(ep.Gateways) == 0 {
			continue
		}
		if best < 0 || cmp.Or(
			cmp.Compare(outside(ep), outside(eps[best])),
			-cmp.Compare(priority(ep.Network), priority(eps[best].Network)),
			cmp.Compare(n.Spec.Name, network(eps[best].Network).Spec.Name),
		) < 0 {
			best = i
		}
	}
	eps = slices.Clone(eps)
	for i := range eps {
		eps[i].DefaultRoute = i == best
	}
	return eps
}

// outside is 1 for an endpoint that is no service's, else 0.
func outside(ep swarmnet.Endpoint) int {
	if ep.Service == "" {
		return 1
	}
	return 0
}
