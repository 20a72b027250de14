package driver

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
)

func TestC01Predefined(t *testing.T) {
	if got := Predefined(); !slices.Equal(got, []string{"bridge", "host", "none"}) {
		t.Errorf("every node has %v", got)
	}
	for _, name := range []string{"host", "none"} {
		if slices.Contains(Makeable(), name) {
			t.Errorf("another %s network can be made", name)
		}
	}
}

func TestC11Options(t *testing.T) {
	bridge, _ := Find(swarmnet.DriverBridge)
	for _, options := range []map[string]string{{"icc": "false"}, {"com.docker.network.bridge.enable_icc": "false"}} {
		if got, err := bridge.Normalise(options); err != nil || !maps.Equal(got, map[string]string{"icc": "false"}) {
			t.Errorf("%v became %v %v", options, got, err)
		}
	}
	for want, options := range map[string]map[string]string{
		"true, false":          {"icc": "maybe"},
		"icc, masquerade, mtu": {"parent": "eth0"},
		"twice":                {"icc": "true", "com.docker.network.bridge.enable_icc": "true"},
	} {
		if _, err := bridge.Normalise(options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v does not say %q", options, err, want)
		}
	}
}

// Whatever is accepted is in the short form, complete, and accepted again as it is.
func TestC02NormaliseIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom(All()).Draw(t, "driver")
		keys := []string{"icc", "mtu", "parent", "conf", "nonsense", "", "com.docker.network.driver.mtu", "macvlan_mode"}
		options := rapid.MapOf(rapid.SampledFrom(keys), rapid.SampledFrom([]string{"", "true", "1400", "vepa"})).Draw(t, "options")
		once, err := d.Normalise(options)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than a line: %v", err)
			}
			return
		}
		if len(once) != len(options) {
			t.Errorf("%v became %v", options, once)
		}
		again, err := d.Normalise(once)
		if err != nil || !maps.Equal(once, again) {
			t.Errorf("%v became %v, and that %v %v", options, once, again, err)
		}
	})
}

func TestC12Capable(t *testing.T) {
	const conf = `{"name":"x","plugins":[{"type":"a"},{"type":"b","capabilities":{"ips":true,"mac":false}}]}`
	if !Capable(conf, CapIPs) || Capable(conf, CapMAC) || Capable(conf, CapPorts) || Capable("", CapIPs) {
		t.Error("capabilities are read wrong")
	}
}
