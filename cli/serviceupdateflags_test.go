package cli

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
)

// What service update edits of a service's lists; what is to be removed and is not there is refused, but for keys: they are gone either way.
func TestServiceUpdateLists(t *testing.T) {
	before := func() swarmnet.ServiceSpec {
		var s swarmnet.ServiceSpec
		s.Labels = map[string]string{"tier": "front"}
		s.Task.Labels = map[string]string{"a": "1", "b": "2"}
		s.Task.Env = []string{"A=1", "B=2"}
		s.Task.Hosts = []swarmnet.HostEntry{{Name: "db", Addr: netip.MustParseAddr("192.0.2.6")}, {Name: "nas", Addr: netip.MustParseAddr("192.0.2.9")}}
		s.Task.Placement.Constraints = []string{"node.role==worker"}
		s.Ports = []swarmnet.PortSpec{{Protocol: swarmnet.TCP, Target: 80, Published: 8080}}
		return s
	}
	update := func(flags string) (swarmnet.ServiceSpec, error) {
		var f serviceFlags
		cmd := &cobra.Command{}
		f.addUpdate(cmd)
		if err := cmd.ParseFlags(strings.Fields(flags)); err != nil {
			t.Fatal(err)
		}
		s := before()
		return s, f.applyUpdate(&s, nil)
	}
	show := func(s swarmnet.ServiceSpec) string {
		return fmt.Sprint(s.Labels, s.Task.Labels, s.Task.Env, s.Task.Hosts, s.Task.Placement.Constraints, len(s.Ports))
	}
	s, err := update("--label-rm tier --label-add x=y --container-label-rm a --container-label-add c=3 --env-rm A --env-add B=7 --host-rm db:192.0.2.6 --host-add db:192.0.2.7" +
		" --constraint-rm node.role==worker --constraint-add node.id==n --publish-rm 80 --publish-add 9090:90 --label-rm nosuch --env-rm NOSUCH")
	const want = "map[x:y] map[b:2 c:3] [B=7] [{nas 192.0.2.9} {db 192.0.2.7}] [node.id==n] 1"
	if got := show(s); err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for flags, says := range map[string]string{
		"--host-rm db:192.0.2.7":              `--host-rm "db:192.0.2.7": the service has no such entry`,
		"--host-rm db":                        "--host-rm",
		"--host-add db:x":                     "--host-add",
		"--constraint-rm node.role==manager":  `it has ["node.role==worker"]`,
		"--publish-rm 81":                     "does not publish it",
		"--container-label-add =v":            "--container-label-add",
		"--host-rm nas:192.0.2.9 --host-rm x": "--host-rm",
	} {
		if _, err := update(flags); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", flags, err, says)
		}
	}
	if got := show(before()); !strings.Contains(got, "db 192.0.2.6") {
		t.Errorf("the spec that was read is %s", got)
	}
}
