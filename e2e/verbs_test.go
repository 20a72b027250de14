package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/lab/labtest"
)

// What a person does to sandboxes that are there already: each verb, and what becomes of the restart policy.
func TestE2EC25Verbs(t *testing.T) {
	c := alone(t, 1)
	c.must("n1", "run", "-d", "--name", "keep", "--restart", "unless-stopped", "--", "sleep", "1000")
	c.must("n1", "run", "-d", "--name", "always", "--restart", "always", "--", "sleep", "1000")
	c.must("n1", "run", "-d", "--rm", "--name", "gone", "--", "true")
	c.must("n1", "run", "-dit", "--name", "shell", "--", "sh")
	// Exactly the signal that was asked for, and no start after it.
	c.must("n1", "kill", "-s", "TERM", "keep")
	c.awaitBox("n1", "keep", "has ended", func(b boxRow) bool { return b.State == "exited" && b.Status.ExitCode == 143 })
	c.must("n1", "restart", "-t", "1", "keep")
	c.awaitBox("n1", "keep", "runs again", func(b boxRow) bool { return b.State == "running" })
	c.must("n1", "rename", "keep", "kept")
	if top := c.must("n1", "top", "--format", "{{.Command}}", "kept"); strings.TrimSpace(top) != "sleep 1000" {
		t.Errorf("top says %q", top)
	}
	c.refused("n1", 1, []string{"kept", "taken"}, "rename", "always", "kept")
	c.must("n1", "stop", "-t", "1", "kept", "always", "shell")
	// With the daemon starts what its policy says so of, though it was stopped.
	if err := c.Stop("n1", false); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	c.awaitBox("n1", "always", "was started with the daemon", func(b boxRow) bool { return b.State == "running" })
	labtest.Eventually(t, 10*time.Second, "what was to be removed to be so", func() error {
		names := strings.Fields(c.must("n1", "ps", "-a", "--format", "{{.Names}} {{.State}}"))
		if got := strings.Join(names, " "); strings.Contains(got, "gone") || !strings.Contains(got, "kept exited") {
			return fmt.Errorf("there are %s", got)
		}
		return nil
	})
	c.must("n1", "prune", "--force")
	if got := strings.TrimSpace(c.must("n1", "ps", "-a", "--format", "{{.Names}}")); got != "always" {
		t.Errorf("after prune there are %q", got)
	}
}

// What happens on a node is told there, with scope and actor.
func TestE2ES57NodeEvents(t *testing.T) {
	c := alone(t, 1)
	c.must("n1", "network", "create", "net")
	c.must("n1", "run", "-d", "--rm", "--name", "a", "--network", "net", "--", "sh", "-c", "exit 3")
	labtest.Eventually(t, 20*time.Second, "all to be told", func() error {
		got := c.must("n1", "events", "--since", "1h", "--until", "0s", "--format", "{{.Scope}} {{.Type}} {{.Action}} {{.Name}} {{.Actor}}")
		for _, want := range []string{"node network create net local\n", "node sandbox create a local\n", "node sandbox die a node\n", "node sandbox remove a "} {
			if !strings.Contains(got, want) {
				return fmt.Errorf("%q is not in\n%s", want, got)
			}
		}
		return nil
	})
}

// Many are removed at once: a fraction of the time that one after the other takes.
func TestE2EC26RemoveMany(t *testing.T) {
	c := alone(t, 1)
	var names []string
	for i := range 24 {
		names = append(names, fmt.Sprintf("s%d", i))
		c.must("n1", "run", "-d", "--name", names[i], "--", "sleep", "1000")
	}
	start := time.Now()
	out := c.must("n1", append([]string{"rm", "-f"}, names...)...)
	if got := strings.Fields(out); strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("told were %v", got)
	}
	t.Logf("%d removed in %v", len(names), time.Since(start).Round(time.Millisecond))
	if left := c.must("n1", "ps", "-aq"); left != "" {
		t.Errorf("left are %q", left)
	}
}
