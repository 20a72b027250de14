package state

import (
	"iter"
	"net/netip"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ipam"
)

// Holding is who has an address of a network, and why.
type Holding struct {
	// Why is "endpoint", "sandbox" (an endpoint outside services), "vip", "node", "rest", or what a subnet keeps for itself: "gateway", "subnet", "broadcast", "aux NAME".
	Why string
	// ID and Name of the task (endpoint, sandbox), service (vip) or node.
	ID, Name string
	// Node is the name of a sandbox's node.
	Node string
	// Until is when a rest ends.
	Until time.Time
}

func (h Holding) String() string {
	switch h.Why {
	case "endpoint":
		return "task " + h.Name
	case "sandbox":
		return "sandbox " + h.Name + " on node " + h.Node
	case "vip":
		return "service " + h.Name + " (vip)"
	case "node":
		return "node " + h.Name + " (ingress)"
	}
	return h.Why
}

func (s *State) holding(holder string) Holding {
	if holder == "" {
		return Holding{}
	}
	id := holder[1:]
	switch holder[:1] {
	case holdEndpoint:
		h := Holding{Why: "endpoint", ID: id, Name: swarmnet.ShortID(id)}
		if e, ok := s.endpoints.get(id); ok {
			h.ID = string(e.v.Task)
			if t, ok := s.tasks.get(h.ID); ok {
				h.Name = t.v.Name()
				if t.v.Standalone() {
					n, _ := s.Node(t.v.Node)
					h.Why, h.Node = "sandbox", n.Name()
				}
			}
		}
		return h
	case holdVIP:
		h := Holding{Why: "vip", ID: id, Name: swarmnet.ShortID(id)}
		if v, ok := s.services.get(id); ok {
			h.Name = v.v.Spec.Name
		}
		return h
	}
	h := Holding{Why: "node", ID: id, Name: swarmnet.ShortID(id)}
	if n, ok := s.nodes.get(id); ok {
		h.Name = n.v.Name()
	}
	return h
}

// AddressHolder returns who has an address of a network, and why; false when nobody has.
func (s *State) AddressHolder(network swarmnet.NetworkID, a netip.Addr) (Holding, bool) {
	key := join(network, addrKey(a.Unmap()))
	if h, ok := s.index[byHolder].get(key); ok {
		return s.holding(h), true
	}
	if sub, ok := s.subnet(string(network), a.Unmap()); ok {
		if why := ipam.Reserved(sub, a.Unmap()); why != "" {
			return Holding{Why: why}, true
		}
	}
	if f, ok := s.freed.get(key); ok {
		return Holding{Why: "rest", Until: time.Unix(0, f.due).UTC()}, true
	}
	return Holding{}, false
}

// Addresses are the held addresses of a network in their order, IPv4 first, with their holders.
func (s *State) Addresses(network swarmnet.NetworkID) iter.Seq2[netip.Addr, Holding] {
	return func(yield func(netip.Addr, Holding) bool) {
		var six []netip.Addr // IPv4 addresses sort within ::ffff:0:0/96: some IPv6 ones come before
		p := string(network) + sep
		for k, h := range s.index[byHolder].prefix(p) {
			if a := keyAddr(k[len(p):]); a.Is6() {
				six = append(six, a)
			} else if !yield(a, s.holding(h)) {
				return
			}
		}
		for _, a := range six {
			h, _ := s.index[byHolder].get(join(network, addrKey(a)))
			if !yield(a, s.holding(h)) {
				return
			}
		}
	}
}
