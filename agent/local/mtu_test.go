package local

import (
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// An MTU that cannot be had is refused when the network is made, under either of its names.
func TestC04MTU(t *testing.T) {
	env := env()
	env.WayOut, env.MTUs = 1500, map[string]int{"lo": 65536, "eth0": 1400}
	for _, c := range []struct {
		driver  string
		options map[string]string
		refused string
	}{
		{"bridge", map[string]string{"mtu": "1500"}, ""},
		{"bridge", map[string]string{"com.docker.network.driver.mtu": "1400"}, ""},
		{"bridge", map[string]string{"com.docker.network.driver.mtu": "1501"}, "mtu=1501 is more than the host's way out takes: ask for at most 1500"},
		{"bridge", map[string]string{"mtu": "575"}, "a number from 576 to 65535 is wanted"},
		{"bridge", map[string]string{"mtu": "big"}, "a number from 576 to 65535 is wanted"},
		{"macvlan", map[string]string{"parent": "eth0", "mtu": "1400"}, ""},
		{"macvlan", map[string]string{"parent": "eth0", "mtu": "1500"}, "more than its parent eth0 takes: ask for at most 1400"},
		{"macvlan", map[string]string{"parent": "eth0.50", "mtu": "1500"}, "more than its parent eth0.50 takes: ask for at most 1400"},
	} {
		_, n, err := New(env).CreateNetwork("id", swarmnet.NetworkSpec{
			Name: "net", Driver: c.driver, Options: c.options, IPAM: []swarmnet.IPAMConfig{{Subnet: prefix("10.9.0.0/24")}},
		}, env)
		switch {
		case c.refused == "" && (err != nil || n.Spec.WantedMTU() == 0):
			t.Errorf("%s %v: %v, with an MTU of %d", c.driver, c.options, err, n.Spec.WantedMTU())
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s %v: %v, want it refused: %s", c.driver, c.options, err, c.refused)
		}
	}
}
