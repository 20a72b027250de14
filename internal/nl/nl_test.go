package nl_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// open returns a connection into a fresh namespace that has a bridge `br` with a VXLAN device `vx` in it, and their indexes.
func open(t *testing.T) (c *nl.Conn, br, vx int) {
	kerneltest.Require(t, kerneltest.Bridge, kerneltest.VXLAN)
	ns := kerneltest.NewNamespace(t)
	c, err := nl.Open(ns.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	v := nl.VXLAN{VNI: 5, Local: netip.MustParseAddr("127.0.0.1"), Port: 4789, Proxy: true}
	if err := errors.Join(c.AddBridge("br", swarmnet.GatewayMAC(5), 1450), c.AddVXLAN("vx", 1450, v, c.NS())); err != nil {
		t.Fatal(err)
	}
	br, vx = ns.Link("br").Index, ns.Link("vx").Index
	if err := errors.Join(c.SetMaster(vx, br), c.SetUp(br), c.SetUp(vx)); err != nil {
		t.Fatal(err)
	}
	if l := ns.Link("vx"); l.Master != br || !l.Up || l.MTU != 1450 || l.VXLAN == nil || *l.VXLAN != v || l.Kind != "vxlan" {
		t.Fatalf("the VXLAN device reads back as %+v %+v", l, l.VXLAN)
	}
	return c, br, vx
}

func entries(br, vx, n int) (list []nl.Neigh) {
	vtep := netip.MustParseAddr("192.0.2.9")
	for i := range n {
		four := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		six := netip.MustParseAddr(fmt.Sprintf("fd00::%x", i+1))
		mac := swarmnet.MACFor(four)
		list = append(list,
			nl.Neigh{Index: vx, MAC: mac, VTEP: vtep}, nl.Neigh{Index: vx, MAC: mac},
			nl.Neigh{Index: vx, MAC: mac, Addr: four}, nl.Neigh{Index: br, MAC: mac, Addr: six})
	}
	return list
}

// found are the entries of both devices, without the devices' own.
func found(t *testing.T, c *nl.Conn, br, vx int) (list []nl.Neigh) {
	t.Helper()
	for _, dump := range []func(int) ([]nl.Neigh, error){c.Neighs, c.FDB} {
		for _, index := range []int{br, vx} {
			got, err := dump(index)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, got...)
		}
	}
	return slices.DeleteFunc(list, func(n nl.Neigh) bool { return n.FDB() && n.MAC[1] != 0x42 })
}

func sorted(list []nl.Neigh) []nl.Neigh {
	return slices.SortedFunc(slices.Values(list), func(a, b nl.Neigh) int {
		return strings.Compare(fmt.Sprint(a.Index, a), fmt.Sprint(b.Index, b))
	})
}

func TestKernelNeighbours(t *testing.T) {
	c, br, vx := open(t)
	want := entries(br, vx, 300) // more than one batch
	for range 2 {
		if err := c.SetNeighs(want); err != nil {
			t.Fatal(err)
		}
		if got := found(t, c, br, vx); !slices.Equal(sorted(got), sorted(want)) {
			t.Fatalf("%d entries, want %d", len(got), len(want))
		}
	}
	moved := want[0]
	moved.VTEP = netip.MustParseAddr("192.0.2.10")
	if err := c.SetNeighs([]nl.Neigh{moved}); err != nil {
		t.Fatal(err)
	}
	if got := found(t, c, br, vx); !slices.Contains(got, moved) || len(got) != len(want) {
		t.Fatalf("after a move: %d entries", len(got))
	}
	for range 2 { // the second time they are absent
		if err := c.DelNeighs(append([]nl.Neigh{moved}, want[1:]...)); err != nil {
			t.Fatal(err)
		}
		if got := found(t, c, br, vx); len(got) != 0 {
			t.Fatalf("%d entries are left", len(got))
		}
	}
}

// What is refused is said, shortly, and the rest is done.
func TestKernelRefusedNeighbours(t *testing.T) {
	c, br, vx := open(t)
	good := entries(br, vx, 100)
	bad := entries(9999, 9999, 100)
	var mixed []nl.Neigh
	for i := range good {
		mixed = append(mixed, bad[i], good[i])
	}
	err := c.SetNeighs(mixed)
	if !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "and 396 more") {
		t.Errorf("got %v", err)
	}
	if got := found(t, c, br, vx); len(got) != len(good) {
		t.Errorf("%d good entries were set, want %d", len(got), len(good))
	}
	if err := c.SetNeighs(good); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}

func TestKernelRoutesAndRules(t *testing.T) {
	c, br, _ := open(t)
	if err := c.AddAddr(br, netip.MustParsePrefix("10.1.0.1/24")); err != nil {
		t.Fatal(err)
	}
	routes := []nl.Route{
		{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.1.0.9"), Index: br},
		{Dst: netip.MustParsePrefix("198.51.100.0/24"), Index: br, Src: netip.MustParseAddr("10.1.0.1")},
		{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("169.254.78.1"), Index: br, Table: 77, Onlink: true},
		{Dst: netip.MustParsePrefix("2001:db8:5::/64"), Index: br},
	}
	for _, r := range routes {
		for range 2 {
			if err := c.ReplaceRoute(r); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Routes(r.Table); err != nil || !slices.Contains(got, r) {
			t.Errorf("table %d has %+v, %v; want %+v", r.Table, got, err, r)
		}
	}
	for _, r := range routes {
		for range 2 {
			if err := c.DelRoute(r); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Routes(r.Table); err != nil || slices.Contains(got, r) {
			t.Errorf("still there: %+v, %v", got, err)
		}
	}
	for _, v6 := range []bool{false, true} {
		rule := nl.Rule{V6: v6, Priority: 1000, Mark: 0x10000, Mask: 0x10000, Table: 77}
		for range 2 {
			if err := c.AddRule(rule); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Rules(); err != nil || !slices.Equal(got, []nl.Rule{rule}) {
			t.Errorf("rules %+v, %v", got, err)
		}
		for range 2 {
			if err := c.DelRule(rule); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestKernelSysctl(t *testing.T) {
	c, _, _ := open(t)
	for _, v := range []string{"1", "0", "1"} {
		if err := c.Sysctl("net/ipv4/ip_forward", v); err != nil {
			t.Fatal(err)
		}
		if got, err := c.GetSysctl("net/ipv4/ip_forward"); got != v || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if err := c.Sysctl("net/ipv4/no_such_thing", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown one: %v", err)
	}
}

func TestKernelAbsentIsDeleted(t *testing.T) {
	c, br, _ := open(t)
	if err := errors.Join(c.DelLink("nothing"), c.DelAddr(br, netip.MustParsePrefix("192.0.2.1/24"))); err != nil {
		t.Error(err)
	}
	if _, ok, err := c.Link("nothing"); ok || err != nil {
		t.Errorf("an absent link: %v, %v", ok, err)
	}
}
