package cni

import (
	"net/netip"
	"slices"
	"testing"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/swarmnet/swarmnet"
)

// FuzzC12Conf: whatever is read as a configuration says the same when it is kept and read again.
func FuzzC12Conf(f *testing.F) {
	f.Add([]byte(`{"name":"x","cniVersion":"1.0.0","plugins":[{"type":"bridge","ipam":{"type":"host-local"}}]}`))
	f.Add([]byte(`{"name":"x","cniVersion":"0.4.0","type":"ptp"}`))
	f.Add([]byte(`{"name":"x","cniVersions":["0.4.0","1.0.0"],"disableCheck":"true","plugins":[{"type":"a"},{"type":"b"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parse(b, "")
		if err != nil || len(l.Plugins) == 0 {
			return
		}
		kept, err := flatten(l)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse([]byte(kept), "")
		if err != nil || again.Name != l.Name || again.CNIVersion != l.CNIVersion || len(again.Plugins) != len(l.Plugins) || again.DisableCheck != l.DisableCheck {
			t.Fatalf("%s\nbecame\n%s\n%v", b, kept, err)
		}
	})
}

func TestC12Result(t *testing.T) {
	res, err := current.NewResult([]byte(`{"cniVersion":"1.0.0",
		"interfaces":[{"name":"cni0"},{"name":"eth1","mac":"02:00:00:00:00:09","sandbox":"/ns"}],
		"ips":[{"interface":0,"address":"10.0.0.1/24"},{"interface":1,"address":"10.0.0.9/24","gateway":"10.0.0.1"},{"address":"fd00::9/64","gateway":"fd00::1"}],
		"routes":[{"dst":"0.0.0.0/0"},{"dst":"10.9.0.0/16","gw":"10.0.0.7"},{"dst":"::/0","gw":"fd00::2"}],
		"dns":{"nameservers":["10.0.0.53","rubbish"],"domain":"example"}}`))
	if err != nil {
		t.Fatal(err)
	}
	g, err := given(res, "eth1", swarmnet.MAC{2, 0, 0, 0, 0, 9})
	if err != nil {
		t.Fatal(err)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.9/24"), netip.MustParsePrefix("fd00::9/64")}; !slices.Equal(g.Addrs, want) {
		t.Errorf("addresses %v, want %v", g.Addrs, want)
	}
	if want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::2")}; !slices.Equal(g.Gateways, want) {
		t.Errorf("gateways %v, want %v", g.Gateways, want)
	}
	if len(g.DNS.Servers) != 1 || !slices.Equal(g.DNS.Search, []string{"example"}) {
		t.Errorf("DNS %+v", g.DNS)
	}
}
