package kernel

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/ordered"
)

// flowWant is what says which flows lead nowhere.
type flowWant struct {
	tasks []ingress.Task
	ports []ingress.Port
	own   []netip.Addr // of the host
}

// leavesMore reports where flows may lead nowhere that did not as things were before (nil: nobody knows how). What only comes leaves none, but for
// datagrams: theirs began before there was anything to lead them to.
func (w *flowWant) leavesMore(before *flowWant) (inFabric, inHost bool) {
	if before == nil {
		return true, true
	}
	udp := !maps.Equal(before.datagrams(), w.datagrams())
	gone, come := ordered.Differ(before.tasks, w.tasks, func(a, b ingress.Task) int { return a.Addr.Compare(b.Addr) })
	lost := slices.ContainsFunc(come, func(t ingress.Task) bool { return t.Lost })
	return udp || lost || len(gone) > 0 || !slices.Equal(before.own, w.own), udp
}

// datagrams are the ports of datagrams, and whether anything is behind them.
func (w *flowWant) datagrams() map[PortKey]bool {
	out := map[PortKey]bool{}
	for _, p := range w.ports {
		if p.Protocol == swarmnet.UDP {
			out[keyOf(p)] = len(p.Backends) > 0
		}
	}
	return out
}

// staleInFabric says which flows of the fabric lead nowhere: to tasks that are gone for good, without a translation although they are for a
// published port, or, for UDP, which has no end of its own, to tasks that are Lost.
func staleInFabric(cfg Config, m ingress.Mesh) func(nl.Flow) bool {
	tasks := tasksByAddr(m)
	return func(f nl.Flow) bool {
		balanced := slices.Contains(cfg.FabricAddrs, f.Dst.Addr())
		if !balanced && f.Mark&markBit == 0 {
			return false
		}
		t, known := tasks()[f.ReplySrc.Addr()]
		return !known || t.Lost && f.Proto == unix.IPPROTO_UDP
	}
}

// tasksByAddr works them out when a flow needs them first: most nodes have none that does, and may have many tasks.
func tasksByAddr(m ingress.Mesh) func() map[netip.Addr]ingress.Task {
	return sync.OnceValue(func() map[netip.Addr]ingress.Task {
		tasks := make(map[netip.Addr]ingress.Task, len(m.Tasks))
		for _, t := range m.Tasks {
			tasks[t.Addr] = t
		}
		return tasks
	})
}

// staleInHost says which flows of the host are on the wrong side of a port's publishing: a UDP client that began before the port was
// published goes past the translation, one that began before it was taken back goes on into the fabric.
func staleInHost(cfg Config, ports []ingress.Port) func(nl.Flow) bool {
	held, balanced := map[uint16]bool{}, map[uint16]bool{}
	for _, p := range ports {
		if p.Protocol == swarmnet.UDP {
			held[p.Published] = true
			balanced[p.Published] = balanced[p.Published] || len(p.Backends) > 0
		}
	}
	return func(f nl.Flow) bool {
		switch {
		case f.Proto != unix.IPPROTO_UDP:
			return false
		case f.Translated() && slices.Contains(cfg.FabricAddrs, f.ReplySrc.Addr()):
			return !held[f.Dst.Port()] // not: nothing takes new connections; what drains goes on
		}
		return balanced[f.Dst.Port()] && !f.Translated() && f.ReplyDst == f.Src
	}
}

// leavesMoreVIPs is leavesMore for a sandbox: something is no longer behind a virtual address, or an address is virtual now.
func leavesMoreVIPs(before, is ingress.VIPs) bool {
	was, now := restrictVIPs(before, is)
	known := map[netip.Addr]ingress.VIP{}
	for _, v := range now {
		known[v.Addr] = v
	}
	old := map[netip.Addr]bool{}
	for _, v := range was {
		old[v.Addr] = true
		n, still := known[v.Addr]
		for _, a := range slices.Concat(v.Backends, v.Draining) {
			if still && !slices.Contains(n.Backends, a) && !slices.Contains(n.Draining, a) {
				return true
			}
		}
		if still && slices.ContainsFunc(v.Lost, func(a netip.Addr) bool { return !slices.Contains(n.Lost, a) }) {
			return true
		}
	}
	return slices.ContainsFunc(now, func(v ingress.VIP) bool { return !old[v.Addr] })
}

// staleInSandbox says which flows to virtual addresses lead nowhere.
func staleInSandbox(vips ingress.VIPs) func(nl.Flow) bool {
	byAddr := sync.OnceValue(func() map[netip.Addr]ingress.VIP { // when a flow needs it first
		out := make(map[netip.Addr]ingress.VIP, len(vips))
		for _, v := range vips {
			out[v.Addr] = v
		}
		return out
	})
	return func(f nl.Flow) bool {
		v, is := byAddr()[f.Dst.Addr()]
		if !is {
			return false
		}
		to := f.ReplySrc.Addr()
		known := slices.Contains(v.Backends, to) || slices.Contains(v.Draining, to)
		return !known && !(f.Proto == unix.IPPROTO_TCP && slices.Contains(v.Lost, to))
	}
}
