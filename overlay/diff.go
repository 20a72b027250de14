package overlay

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// Kind is a kind of kernel object, in the order in which they can be made.
type Kind uint8

const (
	KindDevices   Kind = iota // the bridge of a network, and unless it is node-local its VXLAN device
	KindAddr                  // an address of the bridge
	KindRoute                 // the way to a subnet of the bridge
	KindFDB                   // the VTEP that a MAC is behind
	KindPort                  // a MAC that is behind the VXLAN device: the bridge floods nothing for it to the sandboxes
	KindProxy                 // what the VXLAN device answers to ARP and neighbour solicitations
	KindNeighbour             // what the fabric itself knows of its neighbours on the bridge
	KindHostRoute             // the host's way to a node-local subnet, through the fabric
)

// Object is one kernel object of ours, comparable. Which fields count depends on Kind.
type Object struct {
	Kind Kind
	VNI  swarmnet.VNI
	// Key part.
	Prefix netip.Prefix // KindAddr; KindRoute, KindHostRoute: the subnet
	Addr   netip.Addr   // KindProxy, KindNeighbour
	// Both: key of KindFDB and KindPort, value of the others.
	MAC swarmnet.MAC
	// Value part.
	VTEP netip.Addr // KindDevices: the local one; KindFDB: the remote one
	MTU  int        // KindDevices
	Port uint16     // KindDevices
}

// key is what stays the same while an object is changed.
func (o Object) key() Object {
	k := Object{Kind: o.Kind, VNI: o.VNI, Prefix: o.Prefix, Addr: o.Addr}
	if o.Kind == KindFDB || o.Kind == KindPort {
		k.MAC = o.MAC
	}
	return k
}

// String prints an object as iproute2 would.
func (o Object) String() string {
	switch o.Kind {
	case KindDevices:
		if o.VNI.Local() {
			return fmt.Sprintf("link %s address %s mtu %d", BridgeName(o.VNI), o.MAC, o.MTU)
		}
		return fmt.Sprintf("link %s address %s mtu %d; link %s vxlan id %s local %s dstport %d nolearning proxy master %s",
			BridgeName(o.VNI), o.MAC, o.MTU, VXLANName(o.VNI), o.VNI, o.VTEP, o.Port, BridgeName(o.VNI))
	case KindAddr:
		return fmt.Sprintf("addr %s dev %s", o.Prefix, BridgeName(o.VNI))
	case KindRoute:
		return fmt.Sprintf("route %s dev %s", o.Prefix, BridgeName(o.VNI))
	case KindFDB:
		return fmt.Sprintf("fdb %s dev %s dst %s self", o.MAC, VXLANName(o.VNI), o.VTEP)
	case KindPort:
		return fmt.Sprintf("fdb %s dev %s master", o.MAC, VXLANName(o.VNI))
	case KindProxy:
		return fmt.Sprintf("neigh %s dev %s lladdr %s", o.Addr, VXLANName(o.VNI), o.MAC)
	case KindHostRoute:
		return fmt.Sprintf("host route %s via the fabric", o.Prefix)
	}
	return fmt.Sprintf("neigh %s dev %s lladdr %s", o.Addr, BridgeName(o.VNI), o.MAC)
}

// Objects lists what makes up d, in the order in which it can be made.
func (d Desired) Objects() []Object {
	var out []Object
	for _, n := range d.Networks {
		devices := Object{Kind: KindDevices, VNI: n.VNI, MAC: n.MAC, MTU: n.MTU}
		if !n.VNI.Local() {
			devices.VTEP, devices.Port = d.VTEP, d.Port
		}
		out = append(out, devices)
		for _, p := range n.Addrs {
			out = append(out, Object{Kind: KindAddr, VNI: n.VNI, Prefix: p})
			route := Object{Kind: KindRoute, VNI: n.VNI, Prefix: p.Masked()}
			if !p.IsSingleIP() && !slices.Contains(out, route) {
				out = append(out, route)
			}
			if n.VNI.Local() {
				out = append(out, Object{Kind: KindHostRoute, Prefix: p.Masked()})
			}
		}
		for _, r := range n.Remotes {
			out = append(out, Object{Kind: KindFDB, VNI: n.VNI, MAC: r.MAC, VTEP: r.VTEP}, Object{Kind: KindPort, VNI: n.VNI, MAC: r.MAC})
			for _, a := range r.Addrs {
				out = append(out, Object{Kind: KindProxy, VNI: n.VNI, Addr: a, MAC: r.MAC})
				if n.Ingress {
					out = append(out, Object{Kind: KindNeighbour, VNI: n.VNI, Addr: a, MAC: r.MAC})
				}
			}
		}
		for _, l := range n.Locals {
			for _, a := range l.Addrs {
				out = append(out, Object{Kind: KindNeighbour, VNI: n.VNI, Addr: a, MAC: l.MAC})
			}
		}
		if n.Ingress {
			out = append(out, Object{Kind: KindPort, VNI: n.VNI, MAC: PlaceholderMAC})
			for _, p := range n.Addrs { // one of each family
				placeholder := PlaceholderAddr4
				if p.Addr().Is6() {
					placeholder = PlaceholderAddr6
				}
				out = append(out, Object{Kind: KindNeighbour, VNI: n.VNI, Addr: placeholder, MAC: PlaceholderMAC})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Object) int { return cmp.Compare(a.Kind, b.Kind) })
	return out
}

// String prints d an object a line.
func (d Desired) String() string {
	var b strings.Builder
	for _, o := range d.Objects() {
		fmt.Fprintln(&b, o)
	}
	return b.String()
}

// Op makes, changes or removes one object.
type Op struct {
	Remove bool
	Object
}

func (op Op) String() string {
	if op.Remove {
		return "- " + op.Object.String()
	}
	return "+ " + op.Object.String()
}

// Diff lists what turns have into want: first everything to make or change, in an order in which it can be, then everything to
// remove, the other way round; an object never goes before what takes its place is there.
func Diff(have, want []Object) []Op {
	old := make(map[Object]Object, len(have))
	for _, o := range have {
		old[o.key()] = o
	}
	var add, remove []Op
	for _, o := range want {
		if old[o.key()] != o {
			add = append(add, Op{Object: o})
		}
		delete(old, o.key())
	}
	for _, o := range have {
		if _, left := old[o.key()]; left && !goesWith(o, old) {
			remove = append(remove, Op{Remove: true, Object: o})
		}
	}
	slices.SortStableFunc(add, func(a, b Op) int { return cmp.Compare(a.Kind, b.Kind) })
	slices.SortStableFunc(remove, func(a, b Op) int { return cmp.Compare(b.Kind, a.Kind) })
	return append(add, remove...)
}

// mostMoves bounds how many addresses are told of at once: more are no moves, but a network that fills up.
const mostMoves = 64

// Moved are the addresses of other nodes' endpoints that ops bring to a network that is here already, or to another MAC there: the members here may
// know them elsewhere, and no word of those who moved gets past the VXLAN devices. have is what was there before.
func Moved(have []Object, ops []Op) []Object {
	known, made := map[Object]bool{}, map[swarmnet.VNI]bool{}
	for _, o := range have {
		if o.Kind == KindProxy {
			known[o.key()] = true
		}
	}
	var out []Object
	for _, op := range ops { // devices come first
		switch {
		case op.Remove:
		case op.Kind == KindDevices:
			made[op.VNI] = true
		case op.Kind == KindProxy && !made[op.VNI]:
			out = append(out, op.Object)
		}
	}
	if len(out) > mostMoves {
		out = slices.DeleteFunc(out, func(o Object) bool { return !known[o.key()] })
	}
	return out[:min(len(out), mostMoves)]
}

// goesWith reports whether an object goes by itself, with the devices that it is on. A route of the host is on none: its VNI is zero.
func goesWith(o Object, removed map[Object]Object) bool {
	_, gone := removed[Object{Kind: KindDevices, VNI: o.VNI}]
	return gone && o.Kind != KindDevices
}
