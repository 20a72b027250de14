package daemon

import (
	"net/netip"
	"strings"
	"testing"
)

func TestSplitHostPort(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"192.0.2.1:4747", "192.0.2.1:4747"},
		{"192.0.2.1", "192.0.2.1:99"},
		{":4747", "invalid AddrPort"},
		{"[2001:db8::1]:5", "[2001:db8::1]:5"},
		{"2001:db8::1", "[2001:db8::1]:99"},
		{"host:1", "error: \"host:1\": \"host\" is not an IP address"},
		{"192.0.2.1:0", "error: \"192.0.2.1:0\": the port must be a number from 1 to 65535"},
		{"192.0.2.1:70000", "error: \"192.0.2.1:70000\": the port must be a number from 1 to 65535"},
		{"", "error: \"\" is not ADDRESS:PORT"},
	} {
		addr, port, err := splitHostPort(c.in, 99)
		got := netip.AddrPortFrom(addr, port).String()
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want {
			t.Errorf("splitHostPort(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestResolveAddressesPrefersTheRequest(t *testing.T) {
	cfg, err := Config{AdvertiseAddr: "192.0.2.9", Hostname: "h"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.resolveAddresses("0.0.0.0:5000", "192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	if got.Listen != "0.0.0.0:5000" || got.Advertise != "192.0.2.7:5000" || got.VTEP.String() != "192.0.2.7" {
		t.Errorf("got %+v", got)
	}
	for _, a := range []string{"0.0.0.0", "::", ":4747"} {
		if _, err := cfg.resolveAddresses("", a); err == nil || !strings.Contains(err.Error(), "unspecified") {
			t.Errorf("advertising %s: %v", a, err)
		}
	}
	// By default it listens on both families, whichever is advertised.
	for advertise, want := range map[string]string{"192.0.2.7": "192.0.2.7:4747", "2001:db8::7": "[2001:db8::7]:4747", "[2001:db8::7]:5000": "[2001:db8::7]:5000"} {
		got, err := cfg.resolveAddresses("", advertise)
		if err != nil || got.Listen != ":4747" || got.Advertise != want || got.VTEP.Is6() != strings.HasPrefix(want, "[") {
			t.Errorf("advertising %s: %+v %v", advertise, got, err)
		}
	}
}

func TestRecordSurvivesAndDamageIsNamed(t *testing.T) {
	dir := t.TempDir()
	if _, ok, err := loadRecord(dir); ok || err != nil {
		t.Fatalf("fresh directory: %v %v", ok, err)
	}
	want := record{Addresses: addresses{Listen: "a", Advertise: "b"}, Managers: []string{"m"}}
	if err := saveRecord(dir, want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := loadRecord(dir)
	if err != nil || !ok || got.Addresses.Advertise != "b" || len(got.Managers) != 1 {
		t.Fatalf("got %+v %v %v", got, ok, err)
	}
	if err := writeFileSync(recordPath(dir), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := loadRecord(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged record: %v", err)
	}
}
