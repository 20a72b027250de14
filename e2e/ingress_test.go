package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

type networkRow struct {
	Name    string
	VNI     int
	Subnets []struct{ Prefix string }
}

func (c cluster) inspectNetwork(name string) networkRow {
	c.t.Helper()
	return decode[[]networkRow](c.t, c.must("n1", "network", "inspect", name))[0]
}

// The ingress network can be removed when nobody needs it, and made anew otherwise; networks' numbers are unique.
func TestE2ES01S04IngressAndNumbers(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "app")
	t.Run("S01 ingress", c.ingressMadeAnew)
	t.Run("S04 numbers", c.networkNumbers)
}

func (c cluster) ingressMadeAnew(t *testing.T) {
	c = c.on(t)
	whoami := func(name string, flags ...string) []string {
		return append(append([]string{"service", "create", "--name", name, "--network", "app"}, flags...), "--", "swarmnet", "whoami")
	}
	c.refused("n1", 1, []string{"ingress", "remove it"}, "network", "create", "-d", "overlay", "--ingress", "more")
	c.createWhoami("web", 8080, 2)
	c.refused("n2", 1, []string{"ingress", "service web"}, "network", "rm", "ingress")
	c.rm("web")
	labtest.Eventually(t, 10*time.Second, "the ingress network to be removed", func() error {
		_, err := c.Swarmnet(t.Context(), "n2", "network", "rm", "ingress")
		return err
	})
	c.refused("n1", 1, []string{"no ingress network"}, whoami("web", "--publish", "8080:80")...)
	c.must("n1", whoami("plain")...)
	c.must("n1", whoami("rr", "--endpoint-mode", "dnsrr")...)
	c.must("n1", whoami("host", "--publish", "published=8082,target=80,mode=host", "--constraint", "node.hostname==n2")...)
	c.answers(web80("n2", 8082), 10*time.Second)
	c.must("n1", "network", "create", "-d", "overlay", "--ingress", "--subnet", "10.55.0.0/24", "--opt", "mtu=1200", "mesh")
	c.createWhoami("web", 8080, 2)
	for _, n := range three {
		for _, r := range c.ask(10, web(n)) {
			if r.Err != "" || !strings.HasPrefix(r.Answer.Client, lab.Addr(lab.Outside).String()+":") {
				t.Errorf("%s over the new ingress network: %+v", r.URL, r)
			}
		}
		r, err := c.Run(t.Context(), n, "sh", "-c", fmt.Sprintf("nsenter --net=/run/swarmnet/netns/fabric ip -o addr show; nsenter --net=/run/swarmnet/netns/fabric ip -o link show vx-%d", c.inspectNetwork("mesh").VNI))
		if err != nil || !strings.Contains(r.Stdout, "10.55.0.") || !strings.Contains(r.Stdout, "mtu 1200") {
			t.Errorf("%s: the new subnet and MTU are not in force: %v %s%s", n, err, r.Stdout, r.Stderr)
		}
	}
	const octets = 20 << 20 // more than one small packet
	for _, n := range three {
		if d := decode[struct {
			Octets int64
			Err    string
		}](t, c.must(lab.Outside, "probe", "fetch", "--octets", fmt.Sprint(octets), web(n)+fmt.Sprintf("/bytes/%d", octets))); d.Err != "" {
			t.Errorf("a download through %s: %+v", n, d)
		}
	}
	c.refused("n1", 1, []string{"mesh", "service web"}, "network", "rm", "mesh")
	c.rm("web", "plain", "rr", "host")
}

func (c cluster) networkNumbers(t *testing.T) {
	c = c.on(t)
	c.must("n1", "network", "create", "-d", "overlay", "--opt", "vni=7000", "chosen")
	c.refused("n1", 1, []string{"VNI 7000", "chosen"}, "network", "create", "-d", "overlay", "--opt", "vni=7000", "again")
	c.refused("n1", 1, []string{"vni", "16777215"}, "network", "create", "-d", "overlay", "--opt", "vni=16777216", "beyond")
	c.must("n1", "network", "create", "-d", "overlay", "one")
	c.must("n1", "network", "create", "-d", "overlay", "two")
	seen := map[int]string{}
	for _, name := range []string{"app", "mesh", "chosen", "one", "two"} {
		n := c.inspectNetwork(name)
		if other, taken := seen[n.VNI]; taken || n.VNI < 4096 {
			t.Errorf("%s has the VNI %d, %q too", name, n.VNI, other)
		}
		seen[n.VNI] = name
	}
	if seen[7000] != "chosen" {
		t.Errorf("VNIs %v", seen)
	}
	// It is what is on the wire.
	c.must("n1", "service", "create", "--name", "far", "--network", "chosen", "--constraint", "node.hostname==n3", "--", "sleep", "1000")
	r, err := c.Run(t.Context(), "n3", "nsenter", "--net=/run/swarmnet/netns/fabric", "ip", "-d", "link", "show", "vx-7000")
	if err != nil || !strings.Contains(r.Stdout, "vxlan id 7000") {
		t.Errorf("%v: %s%s", err, r.Stdout, r.Stderr)
	}
	c.rm("far")
}
