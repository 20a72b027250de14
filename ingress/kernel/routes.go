package kernel

import (
	"fmt"
	"net/netip"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nl"
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

// ensureRoutes makes the fabric's routes and rules what m wants. What is new is added before what is old goes.
func ensureRoutes(c *nl.Conn, m ingress.Mesh) (changes int, err error) {
	bridge := 0
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
	n, err := settle(toTasks, tasks, c.ReplaceRoute, c.DelRoute, func(a, b nl.Route) bool { return a.Dst == b.Dst })
	changes += n
	if err != nil {
		return changes, err
	}
	have, err := c.Routes(backTable)
	if err != nil {
		return changes, err
	}
	n, err = settle(have, back, c.ReplaceRoute, c.DelRoute, func(a, b nl.Route) bool { return a.Dst == b.Dst })
	changes += n
	if err != nil {
		return changes, err
	}
	all, err := c.Rules()
	if err != nil {
		return changes, err
	}
	var ours []nl.Rule
	for _, r := range all {
		if r.Table == backTable {
			ours = append(ours, r)
		}
	}
	n, err = settle(ours, rules, c.AddRule, c.DelRule, func(nl.Rule, nl.Rule) bool { return false })
	return changes + n, err
}

// settle adds what is wanted and not there, then deletes what is there and not wanted, unless what was added replaced it.
func settle[T comparable](have, want []T, add, del func(T) error, replaces func(a, b T) bool) (changes int, err error) {
	old := make(map[T]bool, len(have))
	for _, h := range have {
		old[h] = true
	}
	var added []T
	for _, w := range want {
		if old[w] {
			delete(old, w)
			continue
		}
		if err := add(w); err != nil {
			return changes, err
		}
		added = append(added, w)
		changes++
	}
	if len(old) == 0 {
		return changes, nil
	}
	for _, h := range have {
		if !old[h] {
			continue
		}
		replaced := false
		for _, a := range added {
			replaced = replaced || replaces(a, h)
		}
		if replaced {
			continue
		}
		if err := del(h); err != nil {
			return changes, err
		}
		changes++
	}
	return changes, nil
}
