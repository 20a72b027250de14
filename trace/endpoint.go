package trace

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// endpoint goes to an endpoint: what it is, where, and how this node's fabric gets there.
func (t *tracer) endpoint(ep swarmnet.PeerEndpoint, a netip.Addr) bool {
	t.doubt = ""
	what := fmt.Sprintf("%s at %s is %s on network %s", ep.MAC, a, short(ep.TaskName), t.network(ep.Network))
	row, has := t.in.View.Row(ep.ID, ep.Node)
	switch {
	case ep.Node == "":
		return t.fail("endpoint", what, "its task has no node yet")
	case ep.State.Terminal():
		return t.fail("endpoint", what, "its task does not run: it is "+ep.State.String())
	case ep.State < swarmnet.TaskRunning && (!has || row.State == gossip.EndpointUnknown):
		return t.fail("endpoint", what, "its task does not run yet: it is "+ep.State.String())
	case ep.Desired > swarmnet.DesireRunning:
		if !t.note("endpoint", what, "its task is "+ep.Desired.String()) {
			return false
		}
	case !t.ok("endpoint", what):
		return false
	}
	return t.toNode(ep) && t.forwarding(ep, a)
}

func (t *tracer) toNode(ep swarmnet.PeerEndpoint) bool {
	if ep.Node == t.set.Self {
		return t.ok("node", "this node")
	}
	n, ok := t.set.Nodes[ep.Node]
	if !ok {
		return t.fail("node", swarmnet.ShortID(ep.Node), "this node knows no such node: its assignments are old")
	}
	found := fmt.Sprintf("%s, VTEP %s", n.Name(), n.Description.VTEP)
	switch {
	case n.Status.State == swarmnet.NodeDown:
		return t.fail("node", found, "the managers have given it up: "+n.Status.Message)
	case t.in.View.Nodes[ep.Node] == gossip.Dead:
		t.doubt = "node " + n.Name() + " answers no gossip"
	case n.Status.State == swarmnet.NodeDisconnected:
		t.doubt = "node " + n.Name() + " has no session with the managers"
	}
	if t.doubt != "" {
		t.doubt += ": it is down or cut off"
		return t.note("node", found, t.doubt)
	}
	return t.ok("node", found)
}

// forwarding checks the fabric's entries for another node's endpoint on an overlay network.
func (t *tracer) forwarding(ep swarmnet.PeerEndpoint, a netip.Addr) bool {
	n := t.set.Networks[ep.Network]
	if ep.Node == t.set.Self || n.Spec.Driver != swarmnet.DriverOverlay {
		return true
	}
	vtep := t.set.Nodes[ep.Node].Description.VTEP
	want := fmt.Sprintf("VNI %s: %s lladdr %s, dst %s", n.VNI, a, ep.MAC, vtep)
	late := ": the daemon puts it there within seconds; if not, its log says why"
	f, err := t.probe.Forwarding(n.VNI, ep.MAC, a)
	switch {
	case err != nil:
		return t.fail("vtep", want, err.Error())
	case f.MAC.IsZero():
		return t.fail("vtep", want, "the fabric has no neighbour entry for "+a.String()+late)
	case f.MAC != ep.MAC:
		return t.fail("vtep", want, "the fabric's neighbour entry says "+f.MAC.String()+late)
	case !f.VTEP.IsValid():
		return t.fail("vtep", want, "the fabric has no forwarding entry for "+ep.MAC.String()+late)
	case f.VTEP != vtep.Unmap():
		return t.fail("vtep", want, "the fabric's forwarding entry leads to "+f.VTEP.String()+late)
	}
	return t.ok("vtep", want)
}

// idle is the port that is knocked at when none is asked for: hardly anybody listens there, and the refusal is an answer.
const idle = 9

// connect opens a connection from inside the sandbox. hint says where to look when there is no answer.
func (t *tracer) connect(a netip.Addr, port uint16, hint string) bool {
	asked := port != 0
	if !asked {
		port = idle
	}
	to := netip.AddrPortFrom(a, port)
	took, err := t.probe.Dial(t.ctx, t.stack, to)
	found := "TCP to " + to.String() + " from inside " + t.describe(t.from)
	switch {
	case err == nil:
		return t.ok("probe", found+": connected in "+took)
	case errors.Is(err, ErrRefused) && !asked:
		return t.ok("probe", fmt.Sprintf("%s: %s answers (nothing listens on port %d, which was only knocked at)", found, a, port))
	case errors.Is(err, ErrRefused):
		return t.fail("probe", found, fmt.Sprintf("refused: packets arrive, and nothing listens on port %d there", port))
	case errors.Is(err, ErrSilent) && t.doubt != "":
		return t.fail("probe", found, "no answer: "+t.doubt)
	case errors.Is(err, ErrSilent) && hint != "":
		return t.fail("probe", found, "no answer: "+hint)
	case errors.Is(err, ErrSilent):
		return t.fail("probe", found, "no answer: something on the way drops packets: run `swarmnet doctor` on both nodes")
	}
	return t.fail("probe", found, err.Error())
}
