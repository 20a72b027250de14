package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/sandbox"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// newHome is a site of one host in no cluster, and one more host that stands for the outside.
func newHome(t testing.TB) (s *site, home *host, outside *kerneltest.NS) {
	s = newSite(t, 2)
	clear(s.set.Nodes)
	clear(s.set.Networks)
	home, outside = s.hosts[0], s.hosts[1].NS
	s.hosts = s.hosts[:1]
	return s, home, outside
}

// lan is the subnet of a node-local network: 172.18.N.0/24, and for IPv6 fd18:0:0:N::/64.
func lan(n, hostPart byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 18, n, hostPart}), 24)
}

func lan6(n, hostPart byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x18, 7: n, 15: hostPart}), 64)
}

func (s *site) addLocal(n byte, spec swarmnet.NetworkSpec) {
	v := swarmnet.FirstLocalSwitch + swarmnet.VNI(n)
	spec.Name, spec.Driver = fmt.Sprint("lan", n), swarmnet.DriverBridge
	net := swarmnet.Network{ID: networkID(v), VNI: v, Spec: spec, Subnets: []swarmnet.Subnet{{Prefix: lan(n, 0)}, {Prefix: lan6(n, 0)}}}
	if !spec.Internal {
		net.Subnets[0].Gateway, net.Subnets[1].Gateway = lan(n, 1).Addr(), lan6(n, 1).Addr()
	}
	s.set.Networks[net.ID] = net
}

// addGuest tells of a sandbox on a node-local network; it is made with the next converge.
func (h *host) addGuest(n, hostPart byte) *box {
	v := swarmnet.FirstLocalSwitch + swarmnet.VNI(n)
	net, p, p6 := h.site.set.Networks[networkID(v)], lan(n, hostPart), lan6(n, hostPart)
	name := fmt.Sprintf("guest%d-%d", n, hostPart)
	h.site.set.Endpoints[swarmnet.EndpointID(name)] = swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{
		ID: swarmnet.EndpointID(name), Network: net.ID, Task: swarmnet.TaskID(name), Node: h.id, MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p, p6},
	}}
	h.site.set.Tasks[swarmnet.TaskID(name)] = swarmnet.Task{ID: swarmnet.TaskID(name), Node: h.id, Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}}
	i := sandbox.Interface{Name: "eth0", MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p, p6}, MTU: underlayMTU, VNI: v, Isolated: overlay.Isolated(net)}
	for _, sub := range net.Subnets {
		if sub.Gateway.IsValid() {
			i.DefaultVia = append(i.DefaultVia, sub.Gateway)
		}
	}
	return &box{kerneltest.Adopt(h.site.t, h.sandboxes.Path(name)), h, sandbox.Spec{Name: name, Interfaces: []sandbox.Interface{i}}, p.Addr(), p6.Addr()}
}

const reach, noReach = 5 * time.Second, 700 * time.Millisecond

// sees checks that a server at addr in one namespace sees a client in another as it should, or does not see it at all.
func sees(t *testing.T, from, at *kerneltest.NS, addr netip.Addr, want string) {
	t.Helper()
	t.Run("", func(t *testing.T) { // its end closes the server
		to := netip.AddrPortFrom(addr, 8000)
		serve(t, at, to, 1<<16)
		if want == "" {
			if seen, _, err := ask(from, to, noReach); err == nil {
				t.Errorf("%s was reached, as %s", addr, seen)
			}
			return
		}
		if seen, _, err := ask(from, to, reach); err != nil || seen != want {
			t.Errorf("%s saw %q, want %q: %v", addr, seen, want, err)
		}
	})
}

func TestKernelC02LocalNetworkWithoutACluster(t *testing.T) {
	s, home, outside := newHome(t)
	s.addLocal(0, swarmnet.NetworkSpec{})
	s.addLocal(1, swarmnet.NetworkSpec{})
	a, b, c := home.addGuest(0, 2), home.addGuest(0, 3), home.addGuest(1, 2)
	s.converge(a, b, c)
	if ops := home.reconcile(); len(ops) != 0 {
		t.Errorf("a second pass does %v", ops)
	}
	sees(t, a.NS, b.NS, b.addr, a.addr.String())
	sees(t, a.NS, b.NS, b.six, a.six.String())
	sees(t, a.NS, outside, netip.MustParseAddr("192.0.2.2"), "192.0.2.1")
	sees(t, a.NS, outside, netip.MustParseAddr("2001:db8:1::2"), "2001:db8:1::1")
	sees(t, a.NS, c.NS, c.addr, "") // another network
	// The host reaches its own, both families; others do not, though they know the way.
	sees(t, home.NS, c.NS, c.addr, DefaultUplink().Host4.Addr().String())
	sees(t, home.NS, c.NS, c.six, DefaultUplink().Host6.Addr().String())
	outside.With(func(conn *nl.Conn) error {
		return conn.ReplaceRoute(nl.Route{Dst: lan(1, 0), Via: netip.MustParseAddr("192.0.2.1"), Index: outside.Link("eth0").Index})
	})
	c2 := home.addGuest(1, 3)
	s.converge(c2)
	sees(t, outside, c2.NS, c2.addr, "")
}

func TestKernelC10InternalLocalNetwork(t *testing.T) {
	s, home, outside := newHome(t)
	s.addLocal(0, swarmnet.NetworkSpec{Internal: true})
	a, b := home.addGuest(0, 2), home.addGuest(0, 3)
	s.converge(a, b)
	sees(t, a.NS, b.NS, b.addr, a.addr.String())
	// Even who makes a way of its own, to the bridge's own MAC, gets nowhere.
	a.With(func(c *nl.Conn) error {
		l, via := a.Link("eth0"), lan(0, 1).Addr()
		if err := c.ReplaceRoute(nl.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: via, Index: l.Index}); err != nil {
			return err
		}
		return c.SetNeighs([]nl.Neigh{{Index: l.Index, MAC: swarmnet.GatewayMAC(swarmnet.FirstLocalSwitch), Addr: via}})
	})
	sees(t, a.NS, outside, netip.MustParseAddr("192.0.2.2"), "")
	sees(t, a.NS, home.NS, netip.MustParseAddr("192.0.2.1"), "")
	if routes, err := home.fabric.HostRoutes(); err != nil || slices.ContainsFunc(routes, func(r HostRoute) bool { return r.Prefix.Overlaps(lan(0, 0)) }) {
		t.Errorf("the host has a route to it: %v %v", routes, err)
	}
}

func TestKernelC11NoICC(t *testing.T) {
	s, home, outside := newHome(t)
	s.addLocal(0, swarmnet.NetworkSpec{Options: map[string]string{"icc": "false"}})
	a, b := home.addGuest(0, 2), home.addGuest(0, 3)
	s.converge(a, b)
	sees(t, a.NS, b.NS, b.addr, "")
	sees(t, a.NS, b.NS, b.six, "")
	// Neither when it knows the other's MAC, nor by way of the gateway.
	a.With(func(c *nl.Conn) error {
		return c.SetNeighs([]nl.Neigh{{Index: a.Link("eth0").Index, MAC: swarmnet.MACFor(b.addr), Addr: b.addr}})
	})
	sees(t, a.NS, b.NS, b.addr, "")
	a.With(func(c *nl.Conn) error {
		return c.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(b.addr, 32), Via: lan(0, 1).Addr(), Index: a.Link("eth0").Index})
	})
	sees(t, a.NS, b.NS, b.addr, "")
	// The way out, and the host's way in, they have.
	sees(t, a.NS, outside, netip.MustParseAddr("192.0.2.2"), "192.0.2.1")
	sees(t, home.NS, b.NS, b.addr, DefaultUplink().Host4.Addr().String())
}

func TestKernelNoMasquerade(t *testing.T) {
	s, home, outside := newHome(t)
	s.addLocal(0, swarmnet.NetworkSpec{Options: map[string]string{overlay.OptionMasquerade: "false"}})
	a := home.addGuest(0, 2)
	s.converge(a)
	outside.With(func(conn *nl.Conn) error {
		return conn.ReplaceRoute(nl.Route{Dst: lan(0, 0), Via: netip.MustParseAddr("192.0.2.1"), Index: outside.Link("eth0").Index})
	})
	sees(t, a.NS, outside, netip.MustParseAddr("192.0.2.2"), a.addr.String())
	sees(t, outside, a.NS, a.addr, "") // what it publishes can be reached, and nothing else
}

// Whatever is deleted or changed, the next pass puts right.
func TestKernelLocalRepair(t *testing.T) {
	s, home, _ := newHome(t)
	s.addLocal(0, swarmnet.NetworkSpec{})
	a := home.addGuest(0, 2)
	s.converge(a)
	br := overlay.BridgeName(swarmnet.FirstLocalSwitch)
	up := DefaultUplink()
	route := nl.Route{Dst: lan(0, 0), Via: up.Fabric4.Addr(), Metric: hostMetric}
	uplink := []string{fmt.Sprint(up.Host4.Masked(), " ", hostMetric), fmt.Sprint(up.Host6.Masked(), " ", hostMetric)}
	onHost := func(fn func(c *nl.Conn, link int) error) func() {
		return func() { home.With(func(c *nl.Conn) error { return fn(c, home.Link(HostLink).Index) }) }
	}
	for name, breakIt := range map[string]func(){
		"bridge": func() { home.inFabric().With(func(c *nl.Conn) error { return c.DelLink(br) }) },
		"MTU": func() {
			home.inFabric().With(func(c *nl.Conn) error { return c.SetMTU(home.inFabric().Link(br).Index, 1000) })
		},
		"stray": func() {
			home.inFabric().With(func(c *nl.Conn) error { return c.AddBridge("br-99999999999", swarmnet.MAC{}, 1400) })
		},
		"uplink":            onHost(func(c *nl.Conn, link int) error { return c.DelLink(HostLink) }),
		"way to the fabric": func() { loseRoutes(t, home.NS, up.Host4.Masked()) },
		"way to the host":   func() { loseRoutes(t, home.inFabric(), up.Fabric4.Masked()) },
		"host route": onHost(func(c *nl.Conn, link int) error {
			route.Index = link
			return c.DelRoute(route)
		}),
		"wrong host route": onHost(func(c *nl.Conn, link int) error {
			return c.ReplaceRoute(nl.Route{Dst: lan(0, 0), Via: up.Fabric4.Addr(), Index: link, Metric: 5})
		}),
		"foreign host route": onHost(func(c *nl.Conn, link int) error {
			return c.ReplaceRoute(nl.Route{Dst: lan(9, 0), Via: up.Fabric4.Addr(), Index: link, Metric: hostMetric})
		}),
	} {
		t.Run(name, func(t *testing.T) {
			breakIt()
			s.converge(a)
			if ops := home.reconcile(); len(ops) != 0 {
				t.Errorf("a second pass does %v", ops)
			}
			sees(t, home.NS, a.NS, a.addr, up.Host4.Addr().String())
			var have []string
			home.With(func(c *nl.Conn) error {
				routes, err := c.Routes(0)
				for _, r := range routes {
					have = append(have, fmt.Sprint(r.Dst, " ", r.Metric))
				}
				return err
			})
			have = slices.DeleteFunc(have, func(r string) bool { return slices.Contains(uplink, r) })
			slices.Sort(have)
			if want := fmt.Sprintf("%s %d,%s %d", lan(0, 0), hostMetric, lan6(0, 0), hostMetric); strings.Join(have, ",") != want {
				t.Errorf("the host has the routes %v, want %s", have, want)
			}
		})
	}
	clear(s.set.Tasks)
	home.reconcile()
	home.With(func(c *nl.Conn) error {
		routes, err := c.Routes(0)
		if len(routes) != len(uplink) {
			t.Errorf("the last sandbox left, routes stayed: %v", routes)
		}
		return err
	})
}

func TestKernelC04HostRoutes(t *testing.T) {
	s, home, _ := newHome(t)
	s.addLocal(0, swarmnet.NetworkSpec{})
	s.converge(home.addGuest(0, 2))
	home.With(func(c *nl.Conn) error {
		eth := home.Link("eth0").Index
		for _, r := range []nl.Route{
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.2"), Index: eth},
			{Dst: netip.MustParsePrefix("10.20.0.0/16"), Via: netip.MustParseAddr("192.0.2.2"), Index: eth},
		} {
			if err := c.ReplaceRoute(r); err != nil {
				return err
			}
		}
		return nil
	})
	routes, err := home.fabric.HostRoutes()
	var got []string
	for _, r := range routes {
		got = append(got, r.String())
	}
	slices.Sort(got)
	want := []string{"10.20.0.0/16 dev eth0", "192.0.2.0/24 dev eth0", "2001:db8:1::/64 dev eth0"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
	// A subnet that the host itself gets later is not taken from it.
	home.With(func(c *nl.Conn) error { return c.AddAddr(home.Link("eth0").Index, lan(0, 200)) })
	home.reconcile()
	if ops := home.reconcile(); len(ops) != 0 {
		t.Errorf("beside the host's own: %v", ops)
	}
	routes, err = home.fabric.HostRoutes()
	if err != nil || !slices.Contains(routes, HostRoute{lan(0, 0), "eth0"}) {
		t.Errorf("the host's own is gone: %v %v", routes, err)
	}
}

func TestKernelUplinkMTUWithoutACluster(t *testing.T) {
	_, home, _ := newHome(t)
	for _, want := range []int{1500, 1400} {
		home.With(func(c *nl.Conn) error {
			eth := home.Link("eth0").Index
			if err := c.SetMTU(eth, want); err != nil {
				return err
			}
			return c.ReplaceRoute(nl.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.2"), Index: eth})
		})
		if got, err := home.fabric.UnderlayMTU(netip.Addr{}); got != want || err != nil {
			t.Errorf("got %d, want %d: %v", got, want, err)
		}
	}
}

// loseRoutes deletes the routes to a prefix, whoever made them.
func loseRoutes(t *testing.T, ns *kerneltest.NS, to netip.Prefix) {
	t.Helper()
	ns.Do(func() error {
		all, err := netlink.RouteList(nil, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		lost := 0
		for _, r := range all {
			if r.Dst != nil && r.Dst.String() == to.String() {
				lost++
				err = errors.Join(err, netlink.RouteDel(&r))
			}
		}
		if lost == 0 {
			t.Errorf("there is no route to %s", to)
		}
		return err
	})
}
