package sandbox

import (
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet/internal/nl"
)

// Each interface with a gateway of its own has a routing table, whose number is made of the interface's, and a rule for each of its
// addresses that leads there before the main table does (ip-rule(8)).
const (
	firstTable   = 1000
	fromPriority = 1000
)

// wantRoutes are the routes of a sandbox and the rules between its tables. With one gateway the main table says it all, and no lookup has to
// pass a rule.
func wantRoutes(ifs []connected) (routes []nl.Route, rules []nl.Rule) {
	for _, i := range ifs {
		routes = append(append(routes, i.onLink(0)...), i.defaults(i.DefaultVia, 0)...)
	}
	gateways := 0
	for _, i := range ifs {
		if len(i.Via) > 0 {
			gateways++
		}
	}
	if gateways < 2 {
		return routes, nil
	}
	for _, i := range ifs {
		if len(i.Via) == 0 {
			continue
		}
		table := firstTable + i.index
		routes = append(append(routes, i.onLink(table)...), i.defaults(i.Via, table)...)
		for _, p := range i.Addrs {
			from := netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
			rules = append(rules, nl.Rule{V6: p.Addr().Is6(), Priority: fromPriority, From: from, Table: table})
		}
	}
	return routes, rules
}

// onLink are the routes to the subnets of an interface. They are ours, too: the kernel makes them with the address and never again. Those of a
// foreign interface are its maker's; its own table has the same.
func (i connected) onLink(table int) []nl.Route {
	var out []nl.Route
	if i.Foreign && table == 0 {
		return nil
	}
	if i.Foreign {
		for _, r := range i.theirs {
			r.Table = table
			out = append(out, r)
		}
		return out
	}
	for _, p := range i.Addrs {
		if !p.IsSingleIP() {
			out = append(out, nl.Route{Dst: p.Masked(), Index: i.index, Src: source(p), Table: table})
		}
	}
	return out
}

// foreignRoutes are the routes by an interface, but the default ones: those on the link first, since others lead by them.
func (w *wiring) foreignRoutes(index int) ([]nl.Route, error) {
	all, err := w.in.AllRoutes()
	if err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(all, func(r nl.Route) bool { return r.Index != index || r.Dst.Bits() == 0 })
	slices.SortStableFunc(out, func(a, b nl.Route) int {
		switch {
		case a.Via.IsValid() == b.Via.IsValid():
			return 0
		case b.Via.IsValid():
			return -1
		}
		return 1
	})
	return out, nil
}

func (i connected) defaults(via []netip.Addr, table int) []nl.Route {
	var out []nl.Route
	for _, a := range via {
		dst := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if a.Is6() {
			dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		out = append(out, nl.Route{Dst: dst, Via: a, Index: i.index, Table: table})
	}
	return out
}

// source is the address that packets to the subnet carry. An IPv6 route with one cannot be added while the address is being set up; with
// one address a family the kernel's choice is the same.
func source(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return p.Addr()
	}
	return netip.Addr{}
}

// ensureRoutes gives the sandbox its routes and rules, and takes others of ours away. An address gets its own table and the rule that leads
// there before the main table changes: at no moment do its connections lose their way.
func (w *wiring) ensureRoutes(ifs []connected) error {
	routes, rules := wantRoutes(ifs)
	slices.SortStableFunc(routes, func(a, b nl.Route) int { return b.Table - a.Table }) // the main table, which is 0, last
	have, err := w.in.RoutesOfAllTables()
	if err != nil {
		return err
	}
	haveRules, err := w.in.Rules()
	if err != nil {
		return err
	}
	ruled := len(rules) == 0
	for _, r := range routes {
		if r.Table == 0 && !ruled {
			ruled = true
			if err := w.addRules(rules, haveRules); err != nil {
				return err
			}
		}
		if !slices.Contains(have, r) {
			if err := w.in.ReplaceRoute(r); err != nil {
				return err
			}
		}
	}
	for _, r := range haveRules {
		if !slices.Contains(rules, r) {
			if err := w.in.DelRule(r); err != nil {
				return err
			}
		}
	}
	for _, r := range have {
		kept := slices.ContainsFunc(routes, func(k nl.Route) bool { return k.Dst == r.Dst && k.Table == r.Table })
		if !kept {
			if err := w.in.DelRoute(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *wiring) addRules(want, have []nl.Rule) error {
	for _, r := range want {
		if !slices.Contains(have, r) {
			if err := w.in.AddRule(r); err != nil {
				return err
			}
		}
	}
	return nil
}
