package state

import (
	"net/netip"

	"github.com/swarmnet/swarmnet"
)

// The indexes. Each entry follows from one object (and, for the ingress addresses of nodes, from which network is the
// ingress network), so that putting an object is: take the entries of the old one out, put those of the new one in.
const (
	byNodeName        = iota // name, node
	byNodeIndex              // index → node
	byNetworkName            // name → network
	byVNI                    // VNI, in force or wished → network
	byIngress                // "" → the ingress network
	byServiceName            // name → service, unless it is being removed
	byServiceNetwork         // network, service
	byPort                   // protocol, port, service → mode
	byTaskService            // service, slot, revision of creation, task
	byTaskNode               // node, service, task
	byBalanced               // revision (Task.Balanced, a service's Meta.Updated), task or service
	byTaskWaiting            // state (new, pending), revision of creation, task
	byHostPort               // node, protocol, port, task → host address
	byEndpointNetwork        // network, endpoint
	byEndpointTask           // task, endpoint
	byHolder                 // network, address → holder
	indexes
)

type emit func(index int, key, value string)

func (s *State) nodeEntries(n swarmnet.Node, out emit) {
	out(byNodeName, join(n.Name(), n.ID), "")
	if n.Index != 0 {
		out(byNodeIndex, be16(n.Index), string(n.ID))
	}
	if ingress, ok := s.index[byIngress].get(""); ok {
		for _, p := range n.Ingress {
			out(byHolder, join(ingress, addrKey(p.Addr())), holdNode+string(n.ID))
		}
	}
}

func networkEntries(n swarmnet.Network, out emit) {
	out(byNetworkName, n.Spec.Name, string(n.ID))
	vni := n.VNI
	if vni == 0 {
		vni, _ = n.Spec.WantedVNI()
	}
	if vni != 0 {
		out(byVNI, be32(uint32(vni)), string(n.ID))
	}
	if n.Spec.Ingress {
		out(byIngress, "", string(n.ID))
	}
}

func serviceEntries(v swarmnet.Service, out emit) {
	for _, vip := range v.VIPs {
		out(byHolder, join(vip.Network, addrKey(vip.Addr)), holdVIP+string(v.ID))
	}
	for _, a := range v.Spec.Networks {
		out(byServiceNetwork, join(a.Network, v.ID), "")
	}
	out(byBalanced, be64(v.Meta.Updated)+sep+string(v.ID), "")
	if v.Removing {
		return
	}
	out(byServiceName, v.Spec.Name, string(v.ID))
	for _, ports := range [][]swarmnet.PortSpec{v.Spec.Ports, v.Ports} {
		for _, p := range ports {
			if p.Published != 0 {
				out(byPort, portKey(p.Protocol, p.Published)+string(v.ID), portMode(p.Mode))
			}
		}
	}
}

func portKey(proto swarmnet.Protocol, port uint16) string {
	return string([]byte{byte(proto)}) + be16(port)
}

func taskEntries(t swarmnet.Task, out emit) {
	out(byTaskService, slotPrefix(t.Service, t.Slot)+be64(t.Meta.Created)+sep+string(t.ID), "")
	if t.Member != "" { // it is found by the service, too
		out(byTaskService, slotPrefix(t.Member, 0)+be64(t.Meta.Created)+sep+string(t.ID), "")
	}
	if t.Status.State <= swarmnet.TaskPending {
		out(byTaskWaiting, string([]byte{byte(t.Status.State)})+be64(t.Meta.Created)+sep+string(t.ID), "")
	}
	if t.Balanced != 0 && !t.Status.State.Terminal() {
		out(byBalanced, be64(t.Balanced)+sep+string(t.ID), "")
	}
	if t.Node == "" {
		return
	}
	out(byTaskNode, join(t.Node, t.Service)+sep+string(t.ID), "")
	if t.Status.State < swarmnet.TaskAssigned || t.Status.State.Terminal() {
		return
	}
	for _, p := range t.Ports {
		if p.Mode == swarmnet.PublishHost && p.Published != 0 {
			out(byHostPort, string(t.Node)+sep+portKey(p.Protocol, p.Published)+hostKey(p.HostIP)+sep+string(t.ID), "")
		}
	}
}

func hostKey(a netip.Addr) string {
	if !a.IsValid() || a.IsUnspecified() {
		return wildHost
	}
	return addrKey(a)
}

func slotPrefix(s swarmnet.ServiceID, slot uint32) string { return string(s) + sep + be32(slot) }

func endpointEntries(e swarmnet.Endpoint, out emit) {
	out(byEndpointNetwork, join(e.Network, e.ID), "")
	out(byEndpointTask, join(e.Task, e.ID), "")
	for _, p := range e.Addrs {
		out(byHolder, join(e.Network, addrKey(p.Addr())), holdEndpoint+string(e.ID))
	}
}

func portMode(m swarmnet.PublishMode) string { return string([]byte{byte(m)}) }
