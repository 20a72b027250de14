package kernel

import (
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nl"
)

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

// staleInSandbox says which flows to virtual addresses lead nowhere.
func staleInSandbox(vips ingress.VIPs) func(nl.Flow) bool {
	type target struct{ vip, addr netip.Addr }
	known, lost := map[target]bool{}, map[target]bool{}
	isVIP := map[netip.Addr]bool{}
	for _, v := range vips {
		isVIP[v.Addr] = true
		for _, a := range slices.Concat(v.Backends, v.Draining) {
			known[target{v.Addr, a}] = true
		}
		for _, a := range v.Lost {
			lost[target{v.Addr, a}] = true
		}
	}
	return func(f nl.Flow) bool {
		if !isVIP[f.Dst.Addr()] {
			return false
		}
		t := target{f.Dst.Addr(), f.ReplySrc.Addr()}
		return !known[t] && !(lost[t] && f.Proto == unix.IPPROTO_TCP)
	}
}
