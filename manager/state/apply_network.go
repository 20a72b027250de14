package state

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ipam"
)

func (x *tx) network(id swarmnet.NetworkID) (swarmnet.Network, *Rejection) {
	if it, ok := x.s.networks.get(string(id)); ok {
		return it.v, nil
	}
	return swarmnet.Network{}, reject(NotFound, "network %s does not exist", id)
}

func (c CreateNetwork) apply(x *tx) *Rejection {
	n := swarmnet.Network{ID: c.Network.ID, Spec: c.Network.Spec}
	switch {
	case !swarmnet.ValidID(n.ID):
		return reject(InvalidArgument, "%q is not the id of a network", n.ID)
	case x.s.networks.has(string(n.ID)):
		return reject(AlreadyExists, "network %s exists already", n.ID)
	}
	if err := n.Spec.Validate(); err != nil {
		return invalid(err)
	}
	if other, ok := x.s.index[byNetworkName].get(n.Spec.Name); ok {
		return reject(AlreadyExists, "network %s exists already, with id %s: choose another name", n.Spec.Name, swarmnet.ShortID(other))
	}
	if other, ok := x.s.IngressNetwork(); ok && n.Spec.Ingress {
		return reject(AlreadyExists, "network %s is the ingress network: remove it before making another", other.Spec.Name)
	}
	if vni, _ := n.Spec.WantedVNI(); vni != 0 {
		if r := x.freeVNI(n.ID, vni); r != nil {
			return r
		}
	}
	for _, wish := range n.Spec.IPAM {
		if wish.Subnet.IsValid() {
			if r := x.freeSubnet(n.ID, wish.Subnet); r != nil {
				return r
			}
			if !ipam.First(ipam.Make(wish.Subnet, wish, n.Spec.Internal)).IsValid() {
				return reject(InvalidArgument, "subnet %s of network %s has no address to give out", wish.Subnet, n.Spec.Name)
			}
		}
	}
	x.putNetwork(n)
	x.result.ID = string(n.ID)
	return nil
}

func (x *tx) freeVNI(id swarmnet.NetworkID, vni swarmnet.VNI) *Rejection {
	if other, ok := x.s.index[byVNI].get(be32(uint32(vni))); ok && other != string(id) {
		n, _ := x.s.Network(swarmnet.NetworkID(other))
		return reject(AlreadyExists, "VNI %s is network %s's: choose another", vni, n.Spec.Name)
	}
	return nil
}

func (x *tx) freeSubnet(id swarmnet.NetworkID, p netip.Prefix) *Rejection {
	for n := range x.s.Networks() {
		if n.ID == id {
			continue
		}
		for _, q := range Prefixes(n) {
			if p.Overlaps(q) {
				return reject(FailedPrecondition, "subnet %s overlaps %s of network %s: choose another", p, q, n.Spec.Name)
			}
		}
	}
	return nil
}

// Prefixes are the subnets of a network: those that it has, or those that it asks for.
func Prefixes(n swarmnet.Network) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range n.Subnets {
		out = append(out, s.Prefix)
	}
	if len(out) == 0 {
		for _, c := range n.Spec.IPAM {
			if c.Subnet.IsValid() {
				out = append(out, c.Subnet)
			}
		}
	}
	return out
}

func (c AllocateNetwork) apply(x *tx) *Rejection {
	n, r := x.network(c.ID)
	switch {
	case r != nil:
		return r
	case n.Allocated():
		return reject(AlreadyExists, "network %s has its VNI and subnets already", n.Spec.Name)
	case c.VNI == 0 || c.VNI > swarmnet.MaxVNI:
		return reject(InvalidArgument, "%d is not a VNI", c.VNI)
	case len(c.Subnets) == 0:
		return reject(InvalidArgument, "network %s needs a subnet", n.Spec.Name)
	}
	if r := x.freeVNI(n.ID, c.VNI); r != nil {
		return r
	}
	for i, sub := range c.Subnets {
		wish := swarmnet.IPAMConfig{Subnet: sub.Prefix, Gateway: sub.Gateway, Range: sub.Range, Aux: sub.Aux}
		if !sub.Prefix.IsValid() {
			return reject(InvalidArgument, "network %s needs a subnet", n.Spec.Name)
		}
		if err := wish.Validate(); err != nil {
			return invalid(err)
		}
		if n.HasGateway() != sub.Gateway.IsValid() {
			return reject(InvalidArgument, "subnet %s of network %s: a network has a gateway exactly when it is not internal", sub.Prefix, n.Spec.Name)
		}
		for _, o := range c.Subnets[:i] {
			if o.Prefix.Addr().Is6() == sub.Prefix.Addr().Is6() {
				return reject(InvalidArgument, "network %s has at most one subnet of each family", n.Spec.Name)
			}
		}
		if r := x.freeSubnet(n.ID, sub.Prefix); r != nil {
			return r
		}
		if !ipam.First(sub).IsValid() {
			return reject(InvalidArgument, "subnet %s of network %s has no address to give out", sub.Prefix, n.Spec.Name)
		}
	}
	n.VNI, n.Subnets = c.VNI, c.Subnets
	x.putNetwork(n)
	return nil
}

func (c RemoveNetwork) apply(x *tx) *Rejection {
	n, r := x.network(c.ID)
	if r != nil {
		return r
	}
	if users := x.s.networkUsers(n); len(users) > 0 {
		return reject(FailedPrecondition, "network %s is in use by %s: remove them first", n.Spec.Name, strings.Join(users, ", "))
	}
	if n.Spec.Ingress {
		x.clearIngress()
	}
	x.deleteNetwork(n.ID)
	return nil
}

// clearIngress takes the ingress addresses from the nodes: they go with the network.
func (x *tx) clearIngress() {
	var nodes []swarmnet.Node
	for n := range x.s.Nodes() {
		if len(n.Ingress) > 0 {
			nodes = append(nodes, n)
		}
	}
	for _, n := range nodes {
		n.Ingress = nil
		x.putNode(n)
	}
}

// networkUsers names everything that needs a network.
func (s *State) networkUsers(n swarmnet.Network) []string {
	var users []string
	named := map[swarmnet.ServiceID]bool{}
	service := func(v swarmnet.Service) {
		if !named[v.ID] {
			named[v.ID] = true
			users = append(users, "service "+v.Spec.Name)
		}
	}
	if n.Spec.Ingress {
		for v := range s.Services() {
			if !v.Removing && PublishesIngress(v.Spec) {
				service(v)
			}
		}
	}
	for v := range s.ServicesByNetwork(n.ID) {
		service(v)
	}
	for _, h := range s.index[byHolder].prefix(string(n.ID) + sep) {
		if h[:1] == holdVIP {
			if v, ok := s.Service(swarmnet.ServiceID(h[1:])); ok {
				service(v)
			}
		}
	}
	for e := range s.EndpointsByNetwork(n.ID) {
		t, ok := s.Task(e.Task)
		switch {
		case !ok:
			users = append(users, fmt.Sprintf("endpoint %s", swarmnet.ShortID(e.ID)))
		case t.Standalone():
			users = append(users, s.owner(t))
		case !named[t.Service]:
			users = append(users, "task "+t.Name())
		}
	}
	return users
}

// PublishesIngress reports whether a service has a port on the routing mesh.
func PublishesIngress(s swarmnet.ServiceSpec) bool {
	for _, p := range s.Ports {
		if p.Mode == swarmnet.PublishIngress {
			return true
		}
	}
	return false
}
