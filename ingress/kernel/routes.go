package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/ordered"
	"github.com/swarmnet/swarmnet/internal/plan"
	"github.com/swarmnet/swarmnet/overlay"
)

// backTable is the routing table of answers to entry nodes, in the fabric; backPriority puts the rule that leads there before the main
// table's.
const (
	backTable    = 77
	backPriority = 1000
)

// wantRoutes are the routes to the tasks of other nodes, through those nodes' fabrics, and the one way back to all entry nodes.
func wantRoutes(m ingress.Mesh, bridge int) (tasks, back []nl.Route, rules []nl.Rule) {
	if m.VNI == 0 {
		return nil, nil, nil
	}
	via := map[uint16]ingress.Peer{}
	v6 := false
	for _, p := range m.Peers {
		via[p.Node] = p
		for _, a := range p.Addrs {
			v6 = v6 || a.Is6()
		}
	}
	for _, t := range m.Tasks {
		if t.Node == m.Node {
			continue
		}
		for _, a := range via[t.Node].Addrs {
			if a.Is6() == t.Addr.Is6() {
				tasks = append(tasks, nl.Route{Dst: netip.PrefixFrom(t.Addr, t.Addr.BitLen()), Via: a, Index: bridge})
			}
		}
	}
	for _, six := range families {
		if six && !v6 {
			continue
		}
		dst, placeholder := netip.IPv4Unspecified(), overlay.PlaceholderAddr4
		if six {
			dst, placeholder = netip.IPv6Unspecified(), overlay.PlaceholderAddr6
		}
		back = append(back, nl.Route{Dst: netip.PrefixFrom(dst, 0), Via: placeholder, Index: bridge, Table: backTable, Onlink: true})
		rules = append(rules, nl.Rule{V6: six, Priority: backPriority, Mark: markBit, Mask: markBit, Table: backTable})
	}
	return tasks, back, rules
}

// madeRoutes is what the routes were last made from. The kernel counts no changes of routes: who follows them says when there is cause to doubt.
type madeRoutes struct {
	from   ingress.Mesh
	bridge int       // the interface's index
	looked time.Time // when they were last looked at; zero: they must be
}

// fullLook is how often routes are looked at although there is no cause to doubt them.
const fullLook = 30 * time.Second

// withoutIPv6 is what a kernel without IPv6 can route: the other family's ways are made all the same.
func withoutIPv6(m ingress.Mesh) ingress.Mesh {
	m.Peers = slices.Clone(m.Peers)
	for i := range m.Peers {
		m.Peers[i].Addrs = slices.DeleteFunc(slices.Clone(m.Peers[i].Addrs), netip.Addr.Is6)
	}
	return m
}

// ensureRoutes makes the fabric's routes and rules what m wants. What is new is added before what is old goes.
func (k *Mesh) ensureRoutes(ctx context.Context, c *nl.Conn, m ingress.Mesh) (changes int, err error) {
	bridge := 0
	if !c.HasIPv6() {
		m = withoutIPv6(m)
	}
	if m.VNI != 0 {
		l, ok, err := c.Link(overlay.BridgeName(m.VNI))
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, fmt.Errorf("the fabric has no bridge %s yet", overlay.BridgeName(m.VNI))
		}
		bridge = l.Index
	}
	if plan.From(ctx).IsDry() {
		return settleRoutes(c, m, bridge)
	}
	last := k.routes
	k.routes = madeRoutes{}
	if k.cfg.Doubt() || last.looked.IsZero() || time.Since(last.looked) > fullLook || bridge != last.bridge {
		last.looked = time.Now()
		changes, err = settleRoutes(c, m, bridge)
	} else {
		changes, err = stepRoutes(c, last.from, m, bridge)
	}
	if err == nil {
		k.routes = madeRoutes{m, bridge, last.looked}
	}
	return changes, err
}

// stepRoutes goes from one mesh, whose routes are there, to another.
func stepRoutes(c *nl.Conn, from, to ingress.Mesh, bridge int) (changes int, err error) {
	if from.VNI == to.VNI && from.Node == to.Node && reflect.DeepEqual(from.Peers, to.Peers) {
		from.Tasks, to.Tasks = ordered.Differ(from.Tasks, to.Tasks, func(a, b ingress.Task) int { return a.Addr.Compare(b.Addr) })
	}
	was, wasBack, wasRules := wantRoutes(from, bridge)
	is, back, rules := wantRoutes(to, bridge)
	return settleAll(c, was, is, wasBack, back, wasRules, rules)
}

// settleRoutes looks at what there is.
func settleRoutes(c *nl.Conn, m ingress.Mesh, bridge int) (changes int, err error) {
	tasks, back, rules := wantRoutes(m, bridge)
	main, err := c.Routes(0)
	if err != nil {
		return 0, err
	}
	var toTasks []nl.Route // ours in the main table, without the fabric's own default
	for _, r := range main {
		if r.Dst.IsSingleIP() && r.Via.IsValid() {
			toTasks = append(toTasks, r)
		}
	}
	haveBack, err := c.Routes(backTable)
	if err != nil {
		return 0, err
	}
	all, err := c.Rules()
	if err != nil {
		return 0, err
	}
	var ours []nl.Rule
	for _, r := range all {
		if r.Table == backTable {
			ours = append(ours, r)
		}
	}
	return settleAll(c, toTasks, tasks, haveBack, back, ours, rules)
}

func settleAll(c *nl.Conn, haveTasks, tasks, haveBack, back []nl.Route, haveRules, rules []nl.Rule) (changes int, err error) {
	dst := func(r nl.Route) netip.Prefix { return r.Dst }
	for _, pair := range [][2][]nl.Route{{haveTasks, tasks}, {haveBack, back}} {
		n, err := settle(pair[0], pair[1], c.ReplaceRoutes, c.DelRoutes, dst)
		changes += n
		if err != nil {
			return changes, err
		}
	}
	n, err := settle(haveRules, rules, each(c.AddRule), each(c.DelRule), func(r nl.Rule) nl.Rule { return r })
	return changes + n, err
}

func each[T any](fn func(T) error) func([]T) error {
	return func(list []T) error {
		for _, v := range list {
			if err := fn(v); err != nil {
				return err
			}
		}
		return nil
	}
}

// settle adds what is wanted and not there, then deletes what is there and not wanted, unless what was added has its key and so replaced it.
func settle[T, K comparable](have, want []T, add, del func([]T) error, key func(T) K) (changes int, err error) {
	old := make(map[T]bool, len(have))
	for _, h := range have {
		old[h] = true
	}
	var missing, extra []T
	replaced := map[K]bool{}
	for _, w := range want {
		if old[w] {
			delete(old, w)
			continue
		}
		missing = append(missing, w)
		replaced[key(w)] = true
	}
	for _, h := range have {
		if old[h] && !replaced[key(h)] {
			extra = append(extra, h)
		}
	}
	if len(missing) > 0 {
		if err := add(missing); err != nil {
			return 0, err
		}
	}
	if len(extra) > 0 {
		if err := del(extra); err != nil {
			return len(missing), err
		}
	}
	return len(missing) + len(extra), nil
}
