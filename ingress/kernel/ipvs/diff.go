package ipvs

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Kind is what an Op does. Kinds are numbered in the order in which ops are to be done: there is always somewhere to go.
type Kind int

// Kinds of ops.
const (
	AddService Kind = iota
	SetService      // scheduler or flags
	AddDest
	RaiseDest // to a weight above 0
	LowerDest // to weight 0
	DelDest
	DelService // with its destinations
)

// Op is one change.
type Op struct {
	Kind    Kind
	Key     Key
	Service Service // of AddService and SetService
	Addr    netip.AddrPort
	Dest    Dest
}

// Removes reports whether the op takes something away.
func (o Op) Removes() bool { return o.Kind >= DelDest }

// String names what is made, changed or removed.
func (o Op) String() string {
	switch o.Kind {
	case AddService, SetService:
		return fmt.Sprintf("ipvs %s scheduler %s", o.Key, o.Service.Scheduler)
	case DelService:
		return fmt.Sprintf("ipvs %s", o.Key)
	case DelDest:
		return fmt.Sprintf("ipvs %s -> %s", o.Key, o.Addr)
	}
	return fmt.Sprintf("ipvs %s -> %s weight %d", o.Key, o.Addr, o.Dest.Weight)
}

// Diff returns what makes have what is wanted, in the order in which it is to be done.
func Diff(have, want Table) []Op {
	var ops []Op
	for k, w := range want {
		h, there := have[k]
		switch {
		case !there:
			ops = append(ops, Op{Kind: AddService, Key: k, Service: w})
		case h.Scheduler != w.Scheduler || h.Flags != w.Flags:
			ops = append(ops, Op{Kind: SetService, Key: k, Service: w})
		}
		ops = append(ops, diffDests(k, h.Dests, w.Dests)...)
	}
	for k := range have {
		if _, wanted := want[k]; !wanted {
			ops = append(ops, Op{Kind: DelService, Key: k})
		}
	}
	slices.SortFunc(ops, func(a, b Op) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Key.compare(b.Key), a.Addr.Compare(b.Addr))
	})
	return ops
}

func diffDests(k Key, have, want map[netip.AddrPort]Dest) (ops []Op) {
	for a, w := range want {
		h, there := have[a]
		op := Op{Kind: AddDest, Key: k, Addr: a, Dest: w}
		switch {
		case !there:
		case h.same(w):
			continue
		case w.Weight > 0:
			op.Kind = RaiseDest
		default:
			op.Kind = LowerDest
		}
		ops = append(ops, op)
	}
	for a := range have {
		if _, wanted := want[a]; !wanted {
			ops = append(ops, Op{Kind: DelDest, Key: k, Addr: a})
		}
	}
	return ops
}
