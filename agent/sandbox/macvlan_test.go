package sandbox

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// street is a host and an outsider on one wire, no fabric, and the sandboxes of the host.
type street struct {
	*Sandboxes
	t             testing.TB
	host, outside *kerneltest.NS
}

func newStreet(t testing.TB) *street {
	kerneltest.Require(t, kerneltest.Macvlan)
	s := &street{t: t, host: kerneltest.NewNamespace(t), outside: kerneltest.NewNamespace(t)}
	kerneltest.Veth(t, 1500, kerneltest.End{NS: s.host, Name: "eth0", Addrs: []string{"192.0.2.1/24"}},
		kerneltest.End{NS: s.outside, Name: "eth0", Addrs: []string{"192.0.2.100/24"}})
	dir := t.TempDir()
	s.Sandboxes = New(Config{HostNS: s.host.Path, NetnsDir: dir, FabricNS: filepath.Join(dir, "fabric")})
	t.Cleanup(func() {
		names, _ := s.List()
		for _, n := range names {
			if err := s.Delete(context.Background(), n); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

func (s *street) spec(name, parent, mode string, last byte) Spec {
	addr := netip.AddrFrom4([4]byte{192, 0, 2, last})
	return Spec{Name: name, Interfaces: []Interface{{
		Name: "eth0", MAC: swarmnet.MACFor(addr), Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)},
		DefaultVia: []netip.Addr{netip.MustParseAddr("192.0.2.100")}, Macvlan: Macvlan{Parent: parent, Mode: mode},
	}}}
}

func (s *street) ensure(spec Spec) *kerneltest.NS {
	s.t.Helper()
	if err := s.Ensure(context.Background(), spec); err != nil {
		s.t.Fatal(err)
	}
	return kerneltest.Adopt(s.t, s.Path(spec.Name))
}

// whoIs connects from a namespace to an address, where a server answers with the client's address.
func whoIs(t testing.TB, from, at *kerneltest.NS, addr string) (string, error) {
	t.Helper()
	var ln net.Listener
	at.Do(func() (err error) { ln, err = net.Listen("tcp", addr); return err })
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := ln.Accept(); err == nil {
			_, _ = io.WriteString(c, c.RemoteAddr().(*net.TCPAddr).IP.String())
			c.Close()
		}
	}()
	defer func() { ln.Close(); <-done }()
	var c net.Conn
	var err error
	from.Do(func() error { c, err = net.DialTimeout("tcp", addr, time.Second); return nil })
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

func TestKernelC09Macvlan(t *testing.T) {
	for _, mode := range []string{"", "bridge", "vepa", "private"} {
		t.Run("mode "+mode, func(t *testing.T) {
			s := newStreet(t)
			spec := s.spec("a", "eth0", mode, 50)
			a := s.ensure(spec)
			l := a.Link("eth0")
			if l.Kind != "macvlan" || l.MAC != spec.Interfaces[0].MAC || l.MTU != 1500 || !l.Up {
				t.Fatalf("the interface is %+v", l)
			}
			s.ensure(spec)
			if again := a.Link("eth0"); again.Index != l.Index {
				t.Error("a good interface was made anew")
			}
			// Each side by its own address; with a gateway, from anywhere.
			if seen, err := whoIs(t, s.outside, a, "192.0.2.50:80"); err != nil || seen != "192.0.2.100" {
				t.Errorf("from outside: seen as %q, %v", seen, err)
			}
			if seen, err := whoIs(t, a, s.outside, "192.0.2.100:80"); err != nil || seen != "192.0.2.50" {
				t.Errorf("to the outside: seen as %q, %v", seen, err)
			}
			s.outside.With(func(c *nl.Conn) error {
				return c.AddAddr(s.outside.Link("lo").Index, netip.MustParsePrefix("203.0.113.9/32"))
			})
			if seen, err := whoIs(t, a, s.outside, "203.0.113.9:80"); err != nil || seen != "192.0.2.50" {
				t.Errorf("through the gateway: seen as %q, %v", seen, err)
			}
			// As macvlan is: the parent's own host does not reach it.
			if seen, err := whoIs(t, s.host, a, "192.0.2.50:80"); err == nil {
				t.Errorf("the host reached it as %s", seen)
			}
		})
	}
}

// Members of one parent reach each other in mode bridge, not in mode private.
func TestKernelC09MacvlanMembers(t *testing.T) {
	for mode, want := range map[string]bool{"bridge": true, "private": false} {
		s := newStreet(t)
		a, b := s.ensure(s.spec("a", "eth0", mode, 50)), s.ensure(s.spec("b", "eth0", mode, 51))
		if seen, err := whoIs(t, a, b, "192.0.2.51:80"); (err == nil) != want {
			t.Errorf("%s: seen as %q, %v", mode, seen, err)
		}
	}
}

func TestKernelC09MacvlanPassthru(t *testing.T) {
	s := newStreet(t)
	parent := s.host.Link("eth0").MAC
	a := s.ensure(s.spec("a", "eth0", "passthru", 50))
	s.ensure(s.spec("a", "eth0", "passthru", 50))
	if got := a.Link("eth0").MAC; got != parent || s.host.Link("eth0").MAC != parent {
		t.Errorf("inside %s, the parent %s, before %s", got, s.host.Link("eth0").MAC, parent)
	}
	if _, err := whoIs(t, s.outside, a, "192.0.2.50:80"); err != nil {
		t.Error(err)
	}
	err := s.Ensure(context.Background(), s.spec("b", "eth0", "passthru", 51))
	if err == nil || !strings.Contains(err.Error(), "eth0") {
		t.Errorf("a second one: %v", err)
	}
}

func TestKernelC09ParentIsRefusedByName(t *testing.T) {
	s := newStreet(t)
	for parent, want := range map[string]string{
		"wan7": `"wan7"`, "wan7.5": `"wan7" to make the VLAN 5 of`, "eth0.0": `"0" is not a VLAN`, "eth0.4095": `"4095" is not a VLAN`, "eth0.x": `"x" is not a VLAN`,
	} {
		for _, err := range []error{s.EnsureParent(t.Context(), parent), s.Ensure(t.Context(), s.spec("a", parent, "", 50))} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", parent, err)
			}
		}
	}
	if err := s.Ensure(t.Context(), s.spec("b", "eth0", "sideways", 50)); err == nil || !strings.Contains(err.Error(), "bridge, passthru, private, vepa") {
		t.Errorf("mode: %v", err)
	}
	if err := s.EnsureParent(t.Context(), "eth0"); err != nil {
		t.Error(err)
	}
}

func TestKernelC09MacvlanRewire(t *testing.T) {
	s := newStreet(t)
	kerneltest.Veth(t, 1500, kerneltest.End{NS: s.host, Name: "eth1"}, kerneltest.End{NS: s.outside, Name: "eth1"})
	first := s.spec("a", "eth0", "bridge", 50)
	a := s.ensure(first)
	for what, change := range map[string]func(*Interface){
		"parent": func(i *Interface) { i.Macvlan.Parent = "eth1" },
		"mode":   func(i *Interface) { i.Macvlan.Mode = "private" },
	} {
		before := a.Link("eth0").Index
		spec := s.spec("a", "eth0", "bridge", 50)
		change(&spec.Interfaces[0])
		s.ensure(spec)
		if after := a.Link("eth0").Index; after == before {
			t.Errorf("%s: the interface is the old one", what)
		}
	}
	s.ensure(first)
	a.With(func(c *nl.Conn) error { return c.DelLink("eth0") })
	s.ensure(first)
	if _, err := whoIs(t, s.outside, a, "192.0.2.50:80"); err != nil {
		t.Errorf("repaired: %v", err)
	}
	s.ensure(Spec{Name: "a"})
	a.With(func(c *nl.Conn) error {
		if _, there, err := c.Link("eth0"); there || err != nil {
			t.Errorf("after disconnect: %v %v", there, err)
		}
		return nil
	})
}

// A process may outlive its sandbox for a moment: the interface is off the network all the same.
func TestKernelC09MacvlanDeletedWhileUsed(t *testing.T) {
	s := newStreet(t)
	a := s.ensure(s.spec("a", "eth0", "passthru", 50))
	var hold net.PacketConn
	a.Do(func() (err error) { hold, err = net.ListenPacket("udp4", "127.0.0.1:0"); return err })
	defer hold.Close()
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	s.ensure(s.spec("b", "eth0", "passthru", 50)) // the parent is free
}

func TestKernelC09VLAN(t *testing.T) {
	kerneltest.Require(t, kerneltest.VLAN)
	s := newStreet(t)
	if err := s.EnsureParent(t.Context(), "eth0.50"); err != nil {
		t.Fatal(err)
	}
	a := s.ensure(s.spec("a", "eth0.50", "bridge", 50))
	s.outside.With(func(c *nl.Conn) error {
		if err := c.AddVLAN("eth0.50", s.outside.Link("eth0").Index, 50); err != nil {
			return err
		}
		l := s.outside.Link("eth0.50")
		if err := c.AddAddr(l.Index, netip.MustParsePrefix("198.51.100.100/24")); err != nil {
			return err
		}
		return c.SetUp(l.Index)
	})
	a.With(func(c *nl.Conn) error {
		return c.AddAddr(a.Link("eth0").Index, netip.MustParsePrefix("198.51.100.50/24"))
	})
	if seen, err := whoIs(t, s.outside, a, "198.51.100.50:80"); err != nil || seen != "198.51.100.100" {
		t.Errorf("by its VLAN: seen as %q, %v", seen, err)
	}
	s.host.With(func(c *nl.Conn) error { return c.AddVLAN("eth0.60", s.host.Link("eth0").Index, 60) }) // a person's own
	for _, left := range []struct {
		parents []string
		want    string
	}{{[]string{"eth0.50"}, "eth0.50 eth0.60"}, {nil, "eth0.60"}} {
		if err := s.PruneParents(t.Context(), left.parents); err != nil {
			t.Fatal(err)
		}
		var names []string
		s.host.With(func(c *nl.Conn) error {
			links, err := c.Links()
			for _, l := range links {
				if l.Kind == "vlan" {
					names = append(names, l.Name)
				}
			}
			return err
		})
		if got := strings.Join(names, " "); got != left.want {
			t.Errorf("with %v: %s are there, want %s", left.parents, got, left.want)
		}
	}
}

// A sandbox on no network needs no fabric.
func TestKernelC08NoNetwork(t *testing.T) {
	s := newStreet(t)
	a := s.ensure(Spec{Name: "a"})
	a.With(func(c *nl.Conn) error {
		links, err := c.Links()
		if len(links) != 1 || links[0].Name != "lo" || !links[0].Up {
			t.Errorf("it has %v", links)
		}
		return err
	})
	i := iface("eth0", 1, 5, true)
	if err := s.Ensure(t.Context(), Spec{Name: "a", Interfaces: []Interface{i}}); err == nil || !strings.Contains(fmt.Sprint(err), "fabric is not there yet") {
		t.Errorf("on a bridge: %v", err)
	}
}
