package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// mtu is that of a sandbox's first interface, on n1.
func (c cluster) mtu(box string) int {
	c.t.Helper()
	s := c.stack(box)
	i := slices.IndexFunc(s.Interfaces, func(i probe.Interface) bool { return i.Name == "eth0" })
	if i < 0 {
		c.t.Fatalf("%s has no eth0: %+v", box, s)
	}
	return s.Interfaces[i].MTU
}

// The way to a node loses what is larger than 1,300 octets, and nobody says so. Downloads over the overlay, a VIP and the mesh go on, and new ones
// are as good as ever; doctor finds it. When the way is wide again the networks are, too.
func TestE2EBlackHole(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "--attachable", "app")
	c.must("n1", "service", "create", "--name", "web", "--network", "app", "--constraint", "node.hostname==n3", "-p", "8080:80", "--", "swarmnet", "whoami")
	c.box("box", "--network", "app")
	c.answers(web("n1"), 10*time.Second)
	const octets = 100 << 20
	urls := map[string]string{
		"overlay": fmt.Sprintf("http://tasks.web/bytes/%d", octets), "VIP": fmt.Sprintf("http://web/bytes/%d", octets), "mesh": web("n1") + fmt.Sprintf("/bytes/%d", octets),
	}
	download := func(way string, pace int) *background {
		fetch := []string{"probe", "fetch", "--octets", fmt.Sprint(octets), "--pace", fmt.Sprint(pace), urls[way]}
		if way == "mesh" {
			return c.start(lab.Outside, fetch...)
		}
		return c.start("n1", append([]string{"exec", "box", "--", "swarmnet"}, fetch...)...)
	}
	whole := func(pace int, meanwhile func()) {
		t.Helper()
		all := map[string]*background{}
		for way := range urls {
			all[way] = download(way, pace)
		}
		meanwhile()
		for way, b := range all {
			if d := decode[probe.Download](t, b.finish(t, 3*time.Minute)); d.Err != "" || d.Octets != octets {
				t.Errorf("by %s: %+v", way, d)
			}
		}
	}
	if got := c.mtu("box"); got != 1450 {
		t.Errorf("at first the MTU is %d, want 1450", got)
	}
	becomes := func(want int) {
		t.Helper()
		labtest.Eventually(t, time.Minute, fmt.Sprintf("an MTU of %d", want), func() error {
			if got := c.mtu("box"); got != want {
				return fmt.Errorf("%d", got)
			}
			return nil
		})
	}
	whole(5<<20, func() {
		time.Sleep(time.Second) // amid the downloads
		if err := c.Narrow("n3", 1300); err != nil {
			t.Fatal(err)
		}
		becomes(1250)
	})
	whole(0, func() {})
	got, status := c.look("n1", "doctor", "-q")
	if status != 1 || !slices.ContainsFunc(got, func(v verdict) bool {
		return v.Check == "path-mtu" && v.Verdict == "wrong" && strings.HasPrefix(v.Found, "n3 (192.0.2.3): of packets that its route takes, of up to 1500 octets, none of more than 1300 arrives")
	}) {
		t.Errorf("doctor: status %d, %+v", status, got)
	}
	c.refused("n1", 1, []string{"mtu=1400", "1300", "1250"}, "network", "create", "-d", "overlay", "--opt", "mtu=1400", "larger")
	c.must("n1", "network", "create", "-d", "overlay", "--opt", "com.docker.network.driver.mtu=1200", "smaller")
	if err := c.Narrow("n3", lab.DefaultMTU); err != nil {
		t.Fatal(err)
	}
	becomes(1450)
	if got, status := c.look("n1", "doctor", "-q"); status != 0 {
		t.Errorf("doctor, when all is well again: status %d, %+v", status, got)
	}
}
