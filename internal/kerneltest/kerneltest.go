// Package kerneltest gives kernel tests fresh network namespaces and probes for what the kernel can do. A test never sees the machine's
// own network, and needs no root: in a user namespace of its own the same tests run.
package kerneltest

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// NS is a network namespace that goes with its test.
type NS struct {
	Path string
	t    testing.TB
}

// NewNamespace makes a namespace with its loopback interface up. It skips the test where none can be made.
func NewNamespace(t testing.TB) *NS {
	t.Helper()
	Require(t, Namespaces)
	dir := t.TempDir()
	if _, err := netns.Create(dir, "ns"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(dir, "ns"); err != nil {
			t.Error(err)
		}
	})
	ns := &NS{filepath.Join(dir, "ns"), t}
	ns.With(func(c *nl.Conn) error { return ns.up(c, "lo") })
	return ns
}

// Adopt wraps a namespace that somebody else made and removes.
func Adopt(t testing.TB, path string) *NS { return &NS{path, t} }

// Do runs fn in the namespace and fails the test when it fails.
func (n *NS) Do(fn func() error) {
	n.t.Helper()
	if err := netns.Do(n.Path, fn); err != nil {
		n.t.Fatal(err)
	}
}

// With runs fn with a netlink connection in the namespace and fails the test when it fails.
func (n *NS) With(fn func(*nl.Conn) error) {
	n.t.Helper()
	c, err := nl.Open(n.Path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	if err := fn(c); err != nil {
		n.t.Fatal(err)
	}
}

// Link returns a link that must be there.
func (n *NS) Link(name string) (l nl.Link) {
	n.t.Helper()
	n.With(func(c *nl.Conn) (err error) {
		l, err = find(n.t, c, name)
		return err
	})
	return l
}

func find(t testing.TB, c *nl.Conn, name string) (nl.Link, error) {
	l, ok, err := c.Link(name)
	if err == nil && !ok {
		t.Fatalf("link %s is not there", name)
	}
	return l, err
}

func (n *NS) up(c *nl.Conn, name string) error {
	l, err := find(n.t, c, name)
	if err != nil {
		return err
	}
	return c.SetUp(l.Index)
}

// End is one end of a pair: a name in a namespace, and the addresses that it has there.
type End struct {
	NS    *NS
	Name  string
	Addrs []string // with prefix length
}

// Veth joins two namespaces by a pair of interfaces with the given MTU, in octets, both up.
func Veth(t testing.TB, mtu int, a, b End) {
	t.Helper()
	a.NS.With(func(ac *nl.Conn) error {
		bc, err := nl.Open(b.NS.Path)
		if err != nil {
			return err
		}
		defer bc.Close()
		if err := ac.AddVeth(mtu, nl.Veth{Name: a.Name}, nl.Veth{Name: b.Name, NS: bc.NS()}); err != nil {
			return err
		}
		if err := a.configure(t, ac); err != nil {
			return err
		}
		return b.configure(t, bc)
	})
}

func (e End) configure(t testing.TB, c *nl.Conn) error {
	l, err := find(t, c, e.Name)
	if err != nil {
		return err
	}
	for _, a := range e.Addrs {
		if err := c.AddAddr(l.Index, netip.MustParsePrefix(a)); err != nil {
			return err
		}
	}
	return c.SetUp(l.Index)
}

// Switch joins namespaces by a bridge in a namespace of its own, each with one interface `eth0`.
func Switch(t testing.TB, mtu int, ends ...End) *NS {
	t.Helper()
	sw := NewNamespace(t)
	sw.With(func(c *nl.Conn) error {
		if err := c.AddBridge("switch", [6]byte{}, mtu); err != nil {
			return err
		}
		return sw.up(c, "switch")
	})
	bridge := sw.Link("switch").Index
	for i, e := range ends {
		port := "port" + string(rune('a'+i))
		Veth(t, mtu, e, End{NS: sw, Name: port})
		sw.With(func(c *nl.Conn) error { return c.SetMaster(sw.Link(port).Index, bridge) })
	}
	return sw
}
