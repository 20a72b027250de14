package local

import (
	"net/netip"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
)

// dual makes a spec one with IPv6, with the wishes beside those that it has.
func dual(wishes ...swarmnet.IPAMConfig) func(*swarmnet.NetworkSpec) {
	return func(s *swarmnet.NetworkSpec) { s.IPv6, s.IPAM = true, append(s.IPAM, wishes...) }
}

func TestC04IPv6Subnets(t *testing.T) {
	w := newWorld(t)
	w.env.Routes = append(w.env.Routes, prefix("2001:db8:1::/64"), prefix("::/0"))
	w.network("a", "10.7.0.0/24", dual(swarmnet.IPAMConfig{Subnet: prefix("fd00:7::/64")}))
	for _, c := range []struct {
		ipam swarmnet.IPAMConfig
		kind Kind
		says []string
	}{
		{swarmnet.IPAMConfig{Subnet: prefix("fd00:8::1/64")}, Invalid, []string{"host bits", "fd00:8::/64"}},
		{swarmnet.IPAMConfig{Subnet: prefix("fd00:8::/64"), Gateway: addr("fd00:9::1")}, Invalid, []string{"gateway fd00:9::1", "outside"}},
		{swarmnet.IPAMConfig{Subnet: prefix("fd00:8::/64"), Gateway: addr("fd00:8::")}, Invalid, []string{"gateway fd00:8::", "subnet"}},
		{swarmnet.IPAMConfig{Subnet: prefix("fd00:8::/64"), Range: prefix("fd00:9::/80")}, Invalid, []string{"fd00:9::/80", "outside"}},
		{swarmnet.IPAMConfig{Subnet: prefix("fd00:8::/64"), Aux: map[string]netip.Addr{"nas": addr("fd00:9::1")}}, Invalid, []string{"nas", "outside"}},
		{swarmnet.IPAMConfig{Subnet: prefix("fd00:8::/127")}, Invalid, []string{"too small", "/126"}},
		{swarmnet.IPAMConfig{Subnet: prefix("fe80::/64")}, Invalid, []string{"not of addresses for hosts", "fd"}},
		{swarmnet.IPAMConfig{Subnet: prefix("::ffff:10.0.0.0/120")}, Invalid, []string{"not of addresses for hosts"}},
		{swarmnet.IPAMConfig{Subnet: prefix("fd00:7::/48")}, Refused, []string{"fd00:7::/64", "network a"}},
		{swarmnet.IPAMConfig{Subnet: prefix("2001:db8:1::/80")}, Refused, []string{"route to 2001:db8:1::/64"}},
	} {
		_, _, err := w.CreateNetwork("x", swarmnet.NetworkSpec{Name: "b", IPv6: true, IPAM: []swarmnet.IPAMConfig{c.ipam}}, w.env)
		w.refused(err, c.kind, c.says...)
	}
	_, _, err := w.CreateNetwork("x", swarmnet.NetworkSpec{Name: "b", IPAM: []swarmnet.IPAMConfig{{Subnet: prefix("fd00:8::/64")}}}, w.env)
	w.refused(err, Invalid, "--ipv6")
	w.env.Links = append(w.env.Links, "eth0")
	_, _, err = w.CreateNetwork("x", swarmnet.NetworkSpec{Name: "b", Driver: swarmnet.DriverMacvlan, IPv6: true, Options: map[string]string{driver.Parent: "eth0"},
		IPAM: []swarmnet.IPAMConfig{{Subnet: prefix("fd00:8::/64")}}}, w.env)
	w.refused(err, Invalid, "IPv4", "--subnet")
}

// Without a subnet named, a network has a unique local one that overlaps nothing.
func TestC04IPv6SubnetChosen(t *testing.T) {
	w := newWorld(t)
	a, b := w.network("a", "", dual()), w.network("b", "10.7.0.0/24", dual())
	for _, n := range []Network{a, b} {
		if len(n.Subnets) != 2 || !n.Subnets[0].Prefix.Addr().Is4() {
			t.Fatalf("network %s has %v", n.Spec.Name, n.Subnets)
		}
		six := n.Subnets[1]
		if six.Prefix.Bits() != 64 || !prefix("fd00::/8").Contains(six.Prefix.Addr()) || six.Gateway != six.Prefix.Addr().Next() {
			t.Errorf("network %s has %v", n.Spec.Name, six)
		}
	}
	if a.Subnets[1].Prefix == b.Subnets[1].Prefix {
		t.Errorf("both have %v", a.Subnets[1].Prefix)
	}
	w.env.Routes = append(w.env.Routes, a.Subnets[1].Prefix)
	s, err := w.RemoveNetwork("a")
	if err != nil {
		t.Fatal(err)
	}
	w.State = s
	if again := w.network("a", "", dual()); again.Subnets[1].Prefix.Overlaps(a.Subnets[1].Prefix) {
		t.Errorf("%v overlaps the host's route", again.Subnets[1].Prefix)
	}
}

// 2^64 addresses are given out as quickly as 2^8: in order, within the range, and none that others use.
func TestC05IPv6RangeAndAux(t *testing.T) {
	w := newWorld(t)
	w.network("a", "10.7.0.0/24", dual(swarmnet.IPAMConfig{Subnet: prefix("fd00:7::/64"), Range: prefix("fd00:7::8000:0:0:0/66"), Gateway: addr("fd00:7::ffff"),
		Aux: map[string]netip.Addr{"nas": addr("fd00:7::8000:0:0:1")}}))
	var got []string
	for _, name := range []string{"s1", "s2"} {
		got = append(got, w.run(name, on("a")).Endpoints[0].Addrs[1].String())
	}
	w.remove("s1")
	got = append(got, w.run("s3", on("a")).Endpoints[0].Addrs[1].String())
	for i, want := range []string{"fd00:7:0:0:8000::/64", "fd00:7:0:0:8000::2/64", "fd00:7:0:0:8000::3/64"} {
		if netip.MustParsePrefix(got[i]) != netip.MustParsePrefix(want) {
			t.Errorf("address %d is %s, want %s", i, got[i], want)
		}
	}
}

func TestC22FixedIPv6Addresses(t *testing.T) {
	w := newWorld(t)
	w.network("a", "10.7.0.0/24", dual(swarmnet.IPAMConfig{Subnet: prefix("fd00:7::/64")}))
	at := func(a string) swarmnet.SandboxSpec {
		spec := on("a")
		spec.Networks[0].Addrs = []netip.Addr{addr(a)}
		return spec
	}
	web := w.run("web", at("fd00:7::99"))
	if ep := web.Endpoints[0]; len(ep.Addrs) != 2 || ep.Addrs[1] != prefix("fd00:7::99/64") || ep.MAC != swarmnet.MACFor(ep.Addrs[0].Addr()) {
		t.Errorf("endpoint %v", ep)
	}
	for a, says := range map[string]string{"fd00:9::1": "outside network a", "fd00:7::1": "gateway", "fd00:7::99": "sandbox web", "fd00:7::": "subnet"} {
		kind := Refused
		if a == "fd00:9::1" {
			kind = Invalid
		}
		_, err := w.create("x", at(a))
		w.refused(err, kind, a, says)
	}
	if len(w.Sandboxes) != 1 {
		t.Error("something is left of what was refused")
	}
}
