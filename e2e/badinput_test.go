package e2e

import (
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet/lab"
)

func TestE2EBadInput(t *testing.T) {
	c := up(t)
	c.must("n1", "network", "create", "-d", "overlay", "--subnet", "10.9.0.0/24", "app")
	c.must("n1", "service", "create", "--detach", "--name", "web", "--network", "app", "--publish", "8080:80", "--", "swarmnet", "whoami")
	before := c.must("n1", "service", "ls", "-q") + c.must("n1", "network", "ls", "-q")
	for _, b := range []struct {
		status int
		args   string
		pieces []string
	}{
		{1, "cluster init", []string{"already part of a cluster", "cluster leave"}},
		{1, "cluster join --token SWMTKN-1-x 192.0.2.1", []string{"already part of a cluster"}},
		{1, "network create -d overlay app", []string{"app"}},
		{1, "service create --name web -- sleep 1", []string{"web"}},
		{1, "network inspect nope", []string{"nope"}},
		{1, "service ps nope", []string{"nope"}},
		{1, "service scale nope=3", []string{"nope"}},
		{1, "node inspect nope", []string{"nope"}},
		{1, "service create --name x --network nope -- sleep 1", []string{"nope"}},
		{1, "network create -d overlay --subnet 10.9.0.0/16 other", []string{"overlaps", "app"}},
		{2, "network create -d overlay --subnet 10.8.0.0/24 --gateway 10.7.0.1 other", []string{"10.7.0.1", "outside the subnet 10.8.0.0/24"}},
		{2, "network create -d overlay --subnet 10.8.0.1/24 other", []string{"10.8.0.0/24"}},
		{1, "network create -d nosuch other", []string{"nosuch"}},
		{1, "network create -d overlay bad/name", []string{"bad/name"}},
		{1, "network rm app", []string{"web"}},
		{1, "network rm ingress", []string{"ingress"}},
		{1, "service create --name y --publish 8080:80 -- sleep 1", []string{"8080", "web"}},
		{1, "service create --name bad/name -- sleep 1", []string{"bad/name"}},
		{1, "service create --name z --constraint nonsense -- sleep 1", []string{"nonsense"}},
		{2, "service create --name z --publish 80:x -- sleep 1", []string{`"x"`}},
		{2, "service create --name z --publish 8081:80 --publish 8081:81 -- sleep 1", []string{"8081", "twice"}},
		{2, "service create --name z --replicas -1 -- sleep 1", []string{"-1"}},
		{2, "service create --name z --replicsa 1 -- sleep 1", []string{"--replicas"}},
		{2, "service create --name z --stop-grace-period banana -- sleep 1", []string{"banana"}},
		{2, "service create --name z", []string{"COMMAND"}},
		{2, "service scale web", []string{"SERVICE=REPLICAS"}},
		{2, "service scale web=-3", []string{"-3"}},
		{2, "servcie ls", []string{`"service"`}},
		{2, "network craete x", []string{`"create"`}},
		{2, "node update --availability asleep n1", []string{"asleep", "drain"}},
		{2, "node ls --filter nonsense=1", []string{"nonsense", "role"}},
		{2, "node ls --format {{.Nope}}", []string{"Nope"}},
	} {
		c.refused("n1", b.status, b.pieces, strings.Fields(b.args)...)
	}
	if after := c.must("n1", "service", "ls", "-q") + c.must("n1", "network", "ls", "-q"); after != before {
		t.Errorf("something changed: before %q, after %q", before, after)
	}
	// A host that is in no cluster.
	c.refused(lab.Outside, 1, []string{"cannot reach the daemon", "swarmnet daemon"}, "node", "ls")
}

func TestE2EBadTokens(t *testing.T) {
	c := up(t)
	worker := c.must("n1", "cluster", "join-token", "-q", "worker")
	c.must("n1", "cluster", "join-token", "--rotate", "-q", "worker")
	fresh := c.must("n1", "cluster", "join-token", "-q", "worker")
	if fresh == worker {
		t.Fatal("the token was not replaced")
	}
	c.must("n3", "cluster", "leave", "--force")
	i := strings.LastIndexByte(fresh, '-')
	if i < 12 {
		t.Fatalf("token %q", fresh)
	}
	flip := map[byte]string{'0': "1"}[fresh[i-1]]
	if flip == "" {
		flip = "0"
	}
	for what, token := range map[string]string{
		"a replaced token": worker,
		"a wrong secret":   fresh[:i+1] + strings.Repeat("0", len(fresh)-i-1),
		"another root":     fresh[:i-1] + flip + fresh[i:],
		"something else":   "hello",
		"half a token":     fresh[:i],
	} {
		t.Run(what, func(t *testing.T) {
			c := cluster{c.Lab, t}
			c.refused("n3", 1, nil, "cluster", "join", "--token", token, "192.0.2.1:4747")
			if state := c.must("n3", "cluster", "info", "--format", "{{.State}}"); state != "inactive" {
				t.Errorf("n3 is %s after it, want inactive", state)
			}
		})
	}
	c.must("n3", "cluster", "join", "--token", fresh, "192.0.2.1:4747")
}
