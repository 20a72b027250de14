package sandbox

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet/internal/nl"
)

// Two networks with gateways: each address has its own way out, whichever of the two has the default route. What is broken of it comes back, and
// nothing of it is left when one network goes.
func TestKernelC21EachAddressHasItsWay(t *testing.T) {
	b := newBench(t, 1, 2)
	first, second := iface("eth0", 1, 5, true), iface("eth1", 2, 5, true)
	for _, i := range []*Interface{&first, &second} {
		addr6 := netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("fd00:%s::5", i.VNI)), 64)
		i.Addrs = append(i.Addrs, addr6)
		i.Via = []netip.Addr{i.DefaultVia[0], netip.MustParseAddr(fmt.Sprintf("fd00:%s::1", i.VNI))}
		i.DefaultVia = nil
	}
	first.DefaultVia = first.Via
	b.ensure(Spec{Name: "a", Interfaces: []Interface{first}})
	alone := b.look("a")
	if strings.Contains(alone, "rule") || strings.Contains(alone, "table") {
		t.Fatalf("one network needs no rule:\n%s", alone)
	}
	first.DefaultVia, second.DefaultVia = nil, second.Via
	both := Spec{Name: "a", Interfaces: []Interface{first, second}}
	b.ensure(both)
	whole := b.look("a")
	at := func(name string) int { return b.inside("a").Link(name).Index }
	for _, want := range []string{
		"route 0.0.0.0/0 dev eth1 via 10.0.2.1\n", "route ::/0 dev eth1 via fd00:2::1\n",
		fmt.Sprintf("route 0.0.0.0/0 dev eth0 via 10.0.1.1 table %d", at("eth0")), fmt.Sprintf("route 10.0.1.0/24 dev eth0 table %d", at("eth0")),
		fmt.Sprintf("route ::/0 dev eth0 via fd00:1::1 table %d", at("eth0")), fmt.Sprintf("route fd00:2::/64 dev eth1 table %d", at("eth1")),
		fmt.Sprintf("rule from 10.0.1.5/32 table %d", at("eth0")), fmt.Sprintf("rule from fd00:2::5/128 table %d", at("eth1")),
	} {
		if !strings.Contains(whole+"\n", want) {
			t.Errorf("no %q in\n%s", want, whole)
		}
	}
	b.inside("a").With(func(c *nl.Conn) error {
		rules, err := c.Rules()
		if err != nil {
			return err
		}
		if err := c.DelRule(rules[0]); err != nil {
			return err
		}
		return c.DelRoute(nl.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.1.1"), Index: at("eth0"), Table: firstTable + at("eth0")})
	})
	if b.look("a") == whole {
		t.Fatal("nothing was broken")
	}
	b.ensure(both)
	if got := b.look("a"); got != whole {
		t.Errorf("got\n%s\nwant\n%s", got, whole)
	}
	first.DefaultVia = first.Via
	b.ensure(Spec{Name: "a", Interfaces: []Interface{first}})
	if got := b.look("a"); got != alone {
		t.Errorf("got\n%s\nwant\n%s", got, alone)
	}
}
