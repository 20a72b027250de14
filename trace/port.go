package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
)

// ofNode reports whether an address is one of a node itself.
func (t *tracer) ofNode(a netip.Addr) bool { return t.nodeAt(a) != "" }

func (t *tracer) nodeAt(a netip.Addr) swarmnet.NodeID {
	for _, id := range sorted(t.set.Nodes) {
		if v := t.set.Nodes[id].Description.VTEP; v.IsValid() && v.Unmap() == a {
			return id
		}
	}
	return ""
}

// published goes to a published port, of a node's address or (zero) of this node.
func (t *tracer) published(at netip.Addr) {
	node := t.set.Self
	if at.IsValid() {
		node = t.nodeAt(at)
	}
	if t.port == 0 {
		if t.ok("address", fmt.Sprintf("%s is node %s itself", at, t.node(node))) {
			t.connect(at, 0, "the way out of this host: see `swarmnet doctor`")
		}
		return
	}
	mesh := ingress.ComputeMesh(t.set, t.in.View)
	match := func(p ingress.Port) bool {
		return p.Published == t.port && p.Protocol == swarmnet.TCP && (!p.HostIP.IsValid() || !at.IsValid() || p.HostIP == at) &&
			(node == t.set.Self || p.Mode == swarmnet.PublishIngress)
	}
	what := fmt.Sprintf("port %d/tcp of node %s", t.port, t.node(node))
	i := slices.IndexFunc(mesh.Ports, match)
	if i < 0 {
		t.fail("port", what, t.unpublished(mesh, node))
		return
	}
	p := mesh.Ports[i]
	found := fmt.Sprintf("%s is %s, %s mode", what, t.publisher(p), p.Mode)
	if len(p.Backends) == 0 {
		t.fail("port", found, "nothing behind it takes connections")
		return
	}
	if !t.ok("port", found+": "+t.portBackends(mesh, p)) {
		return
	}
	to := at
	if !to.IsValid() {
		to = t.set.Nodes[t.set.Self].Description.VTEP
	}
	if !to.IsValid() {
		to = p.Backends[0].Addr // a node without a data path address: straight to the task
		t.port = p.Backends[0].Port
	}
	if n := t.set.Nodes[node]; node != t.set.Self && !t.toNode(swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{Node: n.ID}}) {
		return
	}
	t.connect(to.Unmap(), t.port, "the mesh or the host's firewall drops packets: see `swarmnet doctor`")
}

func (t *tracer) publisher(p ingress.Port) string {
	if p.Service != "" {
		return "published by service " + t.set.Services[p.Service].Spec.Name
	}
	return "published by sandbox " + t.set.Tasks[p.Task].Name()
}

func (t *tracer) portBackends(mesh ingress.Mesh, p ingress.Port) string {
	var out []string
	for _, b := range p.Backends {
		where := "this node"
		if b.Node != mesh.Node {
			where = "node " + strconv.Itoa(int(b.Node))
			for _, n := range t.set.Nodes {
				if n.Index == b.Node {
					where = "node " + n.Name()
				}
			}
		}
		out = append(out, fmt.Sprintf("%s on %s", netip.AddrPortFrom(b.Addr, b.Port), where))
	}
	return strings.Join(out, ", ")
}

// unpublished says why a port is not published, as far as this node knows.
func (t *tracer) unpublished(mesh ingress.Mesh, node swarmnet.NodeID) string {
	var there []string
	for _, p := range mesh.Ports {
		if p.Published == t.port && p.Protocol != swarmnet.TCP {
			return fmt.Sprintf("it is published for %s, by %s: only TCP is tried", p.Protocol, strings.TrimPrefix(t.publisher(p), "published by "))
		}
		there = append(there, fmt.Sprintf("%d/%s", p.Published, p.Protocol))
	}
	switch {
	case node != t.set.Self:
		return "no service publishes it on every node; ports of that node alone are known there"
	case len(there) == 0:
		return "nothing is published on this node"
	}
	return "nothing publishes it; published are " + strings.Join(there, ", ")
}
