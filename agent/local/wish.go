package local

import (
	"maps"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
)

// checkWish refuses what the plugins of a network have not said that they can do.
func checkWish(n Network, att swarmnet.NetworkAttachment) error {
	if len(att.Addrs) > 0 && !driver.Capable(n.Conf, driver.CapIPs) {
		return refuse(Invalid, "network %s gives no address that is asked for: none of its plugins has the capability %q; leave out --ip", n.Spec.Name, driver.CapIPs)
	}
	if !att.MAC.IsZero() && !driver.Capable(n.Conf, driver.CapMAC) {
		return refuse(Invalid, "network %s gives no Ethernet address that is asked for: none of its plugins has the capability %q; leave out --mac-address", n.Spec.Name, driver.CapMAC)
	}
	return nil
}

// wishes are what the drivers are asked for that make a sandbox's interfaces themselves, and whether one of them is yet to answer.
func (s State) wishes(sb Sandbox) (wishes map[swarmnet.NetworkID]driver.Wish, awaits bool) {
	mapper := s.mapper(sb)
	for _, att := range sb.Spec.Networks {
		n, ok := s.Networks[att.Network]
		if !ok || n.Conf == "" {
			continue
		}
		w := driver.Wish{Network: n.ID, Name: n.Spec.Name, Conf: n.Conf, BinDir: n.Spec.Options[driver.BinDir], Addrs: att.Addrs, MAC: att.MAC}
		if n.ID == mapper {
			w.Ports = sb.Ports
		}
		if wishes == nil {
			wishes = map[swarmnet.NetworkID]driver.Wish{}
		}
		wishes[n.ID], awaits = w, awaits || !sb.Given[n.ID]
	}
	return wishes, awaits
}

// mapper is the network whose plugins publish a sandbox's ports: the first that can, if no network of the sandbox passes the fabric.
func (s State) mapper(sb Sandbox) swarmnet.NetworkID {
	var found swarmnet.NetworkID
	for _, att := range sb.Spec.Networks {
		n, own := s.Networks[att.Network]
		switch {
		case !own || !driver.Of(n.Network).Direct: // those that are not our own are overlays
			return ""
		case found == "" && driver.Capable(n.Conf, driver.CapPorts):
			found = n.ID
		}
	}
	return found
}

// publishable refuses published ports where nothing would lead to them.
func (s State) publishable(sb Sandbox) error {
	if len(sb.Spec.Ports) == 0 || len(sb.Spec.Networks) == 0 || s.mapper(sb) != "" {
		return nil
	}
	var last Network
	for _, att := range sb.Spec.Networks {
		n, own := s.Networks[att.Network]
		if !own || !driver.Of(n.Network).Direct {
			return nil
		}
		last = n
	}
	if last.Conf != "" {
		return refuse(Invalid, "network %s publishes no ports: none of its plugins has the capability %q; leave out --publish, or connect to a bridge network too", last.Spec.Name, driver.CapPorts)
	}
	return refuse(Invalid, "network %s publishes no ports: its members are reached under their own addresses; leave out --publish, or connect to a bridge network too", last.Spec.Name)
}

// Attached takes in what a driver gave a sandbox's endpoint.
func (s State) Attached(id swarmnet.TaskID, network swarmnet.NetworkID, g driver.Given) State {
	sb, ok := s.Sandboxes[id]
	i := slices.IndexFunc(sb.Endpoints, func(ep swarmnet.Endpoint) bool { return ep.Network == network })
	if !ok || i < 0 {
		return s
	}
	sb.Endpoints = slices.Clone(sb.Endpoints)
	ep := &sb.Endpoints[i]
	ep.Addrs, ep.MAC, ep.Gateways, ep.DNS = g.Addrs, g.MAC, g.Gateways, g.DNS
	sb.Given = maps.Clone(sb.Given)
	if sb.Given == nil {
		sb.Given = map[swarmnet.NetworkID]bool{}
	}
	sb.Given[network] = true
	return s.withSandbox(s.routed(sb))
}

// Detached forgets what drivers gave a sandbox: its interfaces are gone.
func (s State) Detached(id swarmnet.TaskID) State {
	sb, ok := s.Sandboxes[id]
	if !ok || len(sb.Given) == 0 {
		return s
	}
	sb.Endpoints = slices.Clone(sb.Endpoints)
	for i := range sb.Endpoints {
		if ep := &sb.Endpoints[i]; sb.Given[ep.Network] {
			ep.Addrs, ep.MAC, ep.Gateways, ep.DNS = nil, swarmnet.MAC{}, nil, swarmnet.DNSConfig{}
		}
	}
	sb.Given = nil
	return s.withSandbox(s.routed(sb))
}
