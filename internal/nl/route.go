package nl

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RouteProtocol marks our routes and rules (rtnetlink(7), rtm_protocol): nobody else's are touched.
const RouteProtocol = 77

// Route is a route of ours.
type Route struct {
	Dst    netip.Prefix // 0.0.0.0/0 or ::/0: the default route
	Via    netip.Addr   // zero: on the link
	Index  int          // of the interface
	Table  int          // 0: main
	Onlink bool         // Via is on the link although no prefix says so
	Src    netip.Addr   // preferred source; zero: the kernel chooses
	Metric int          // the lowest wins; 0 for IPv6 is the kernel's default, 1024
	Local  bool         // what is sent to Dst is this host's
}

// Routes lists our routes in a table (0: main), both families.
func (c *Conn) Routes(table int) ([]Route, error) {
	if table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	return c.routesIn(table)
}

// RoutesOfAllTables lists our routes in every table, both families.
func (c *Conn) RoutesOfAllTables() ([]Route, error) { return c.routesIn(unix.RT_TABLE_UNSPEC) }

func (c *Conn) routesIn(table int) ([]Route, error) {
	return dump("routes", func() ([]Route, error) {
		list, err := c.h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: table, Protocol: RouteProtocol},
			netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			return nil, err
		}
		out := make([]Route, 0, len(list))
		for _, r := range list {
			out = append(out, fromRoute(r))
		}
		return out, nil
	})
}

// AllRoutes lists the unicast routes of the main table, whoever made them, both families.
func (c *Conn) AllRoutes() ([]Route, error) {
	return dump("routes", func() ([]Route, error) {
		list, err := c.h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		var out []Route
		for _, r := range list {
			if r.Type == unix.RTN_UNICAST {
				out = append(out, fromRoute(r))
			}
		}
		return out, nil
	})
}

func fromRoute(r netlink.Route) Route {
	out := Route{Index: r.LinkIndex, Onlink: r.Flags&unix.RTNH_F_ONLINK != 0, Metric: r.Priority, Local: r.Type == unix.RTN_LOCAL}
	if r.Family == unix.AF_INET6 && r.Priority == defaultMetric6 {
		out.Metric = 0
	}
	if r.Table != unix.RT_TABLE_MAIN {
		out.Table = r.Table
	}
	if p, ok := fromIPNet(r.Dst); ok {
		out.Dst = p
	} else if r.Family == unix.AF_INET6 {
		out.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	} else {
		out.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	if a, ok := netip.AddrFromSlice(r.Gw); ok {
		out.Via = a.Unmap()
	}
	if a, ok := netip.AddrFromSlice(r.Src); ok {
		out.Src = a.Unmap()
	}
	return out
}

// defaultMetric6 is what an IPv6 route without a metric gets (IP6_RT_PRIO_USER).
const defaultMetric6 = 1024

func toRoute(r Route) *netlink.Route {
	out := &netlink.Route{LinkIndex: r.Index, Table: r.Table, Dst: toIPNet(r.Dst), Protocol: RouteProtocol, Priority: r.Metric}
	if r.Table == 0 {
		out.Table = unix.RT_TABLE_MAIN
	}
	switch {
	case r.Via.IsValid():
		out.Gw = r.Via.AsSlice()
	case r.Local:
		out.Type, out.Scope = unix.RTN_LOCAL, netlink.SCOPE_HOST
	default:
		out.Scope = netlink.SCOPE_LINK
	}
	if r.Onlink {
		out.Flags = unix.RTNH_F_ONLINK
	}
	if r.Src.IsValid() {
		out.Src = r.Src.AsSlice()
	}
	return out
}

// ReplaceRoute adds a route, or changes the one to the same destination in the same table.
func (c *Conn) ReplaceRoute(r Route) error {
	return c.adding(func() error {
		if err := c.h.RouteReplace(toRoute(r)); err != nil {
			return fmt.Errorf("cannot set route to %s: %w", r.Dst, err)
		}
		return nil
	}, "route %s", c.words(r))
}

// DelRoute removes a route; an absent one is gone already.
func (c *Conn) DelRoute(r Route) error {
	return c.removing(func() error {
		if err := c.h.RouteDel(toRoute(r)); err != nil && !absent(err) {
			return fmt.Errorf("cannot remove route to %s: %w", r.Dst, err)
		}
		return nil
	}, "route %s", c.words(r))
}

// words are a route's in ip-route(8)'s, for a plan.
func (c *Conn) words(r Route) string {
	out := r.Dst.String()
	switch {
	case r.Dst.Bits() == 0:
		out = "default"
	case r.Local:
		out = "local " + out
	}
	if r.Via.IsValid() {
		out += " via " + r.Via.String()
	}
	if name := c.name(r.Index); r.Index != 0 && name != "" {
		out += " dev " + name
	}
	if r.Table != 0 {
		out += fmt.Sprintf(" table %d", r.Table)
	}
	if r.Metric != 0 {
		out += fmt.Sprintf(" metric %d", r.Metric)
	}
	return out
}

// Rule sends packets to a routing table (ip-rule(8)), by their mark or by the address that they come from.
type Rule struct {
	V6         bool
	Priority   int
	Mark, Mask uint32
	From       netip.Prefix // zero: from anywhere
	Table      int
}

// String is the rule as ip-rule(8) has it.
func (r Rule) String() string {
	s := fmt.Sprintf("rule pref %d fwmark %#x/%#x lookup %d", r.Priority, r.Mark, r.Mask, r.Table)
	if r.V6 {
		s = "-6 " + s
	}
	return s
}

// Rules lists our rules, of both families.
func (c *Conn) Rules() ([]Rule, error) {
	// The library asks for rules with a struct ifinfomsg, which is longer than struct fib_rule_hdr: strict checking refuses that (EINVAL).
	_ = c.h.SetStrictCheck(false)
	defer func() { _ = c.h.SetStrictCheck(true) }()
	return dump("rules", func() ([]Rule, error) {
		var out []Rule
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			list, err := c.h.RuleList(family)
			if err != nil {
				return nil, err
			}
			for _, r := range list {
				if r.Protocol != RouteProtocol {
					continue
				}
				rule := Rule{V6: family == netlink.FAMILY_V6, Priority: r.Priority, Mark: r.Mark, Table: r.Table}
				if r.Mask != nil {
					rule.Mask = *r.Mask
				}
				if p, ok := fromIPNet(r.Src); ok {
					rule.From = p
				}
				out = append(out, rule)
			}
		}
		return out, nil
	})
}

func toRule(r Rule) *netlink.Rule {
	out := netlink.NewRule()
	out.Family = netlink.FAMILY_V4
	if r.V6 {
		out.Family = netlink.FAMILY_V6
	}
	out.Priority, out.Table, out.Protocol = r.Priority, r.Table, RouteProtocol
	if r.Mask != 0 {
		out.Mark, out.Mask = r.Mark, &r.Mask
	}
	if r.From.IsValid() {
		out.Src = toIPNet(r.From)
	}
	return out
}

// AddRule adds a rule; one that is there is kept.
func (c *Conn) AddRule(r Rule) error {
	return c.adding(func() error {
		if err := c.h.RuleAdd(toRule(r)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("cannot add rule %d: %w", r.Priority, err)
		}
		return nil
	}, "%s", r)
}

// DelRule removes a rule; an absent one is gone already.
func (c *Conn) DelRule(r Rule) error {
	return c.removing(func() error {
		if err := c.h.RuleDel(toRule(r)); err != nil && !absent(err) {
			return fmt.Errorf("cannot remove rule %d: %w", r.Priority, err)
		}
		return nil
	}, "%s", r)
}
