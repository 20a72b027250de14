// Package e2e tests whole clusters, on labs with real daemons on the real kernel.
package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/internal/cnitest"
	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

var binary string

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == meddleArg { // this binary as one who does damage
		os.Exit(meddleMain(os.Args[2:]))
	}
	if status, called := cnitest.Main(); called { // this binary as a CNI plugin
		os.Exit(status)
	}
	os.Exit(labtest.Main(m, &binary))
}

// cluster is a lab with a cluster of three managers.
type cluster struct {
	*lab.Lab
	t *testing.T
}

func up(t *testing.T) cluster {
	t.Helper()
	return cluster{labtest.Up(t, lab.Config{Binary: binary}), t}
}

// must runs a swarmnet command on a node, which must succeed, and returns its output.
func (c cluster) must(node string, args ...string) string {
	c.t.Helper()
	out, err := c.Swarmnet(c.t.Context(), node, args...)
	if err != nil {
		c.t.Fatalf("%s: %v", node, err)
	}
	return out
}

// refused runs a swarmnet command on a node, which must fail with a status and one line on stderr that holds every piece.
func (c cluster) refused(node string, status int, pieces []string, args ...string) {
	c.t.Helper()
	r, err := c.Run(c.t.Context(), node, append([]string{"swarmnet"}, args...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.Code != status {
		c.t.Errorf("swarmnet %s: status %d, want %d: %s%s", strings.Join(args, " "), r.Code, status, r.Stdout, r.Stderr)
	}
	if !strings.HasPrefix(r.Stderr, "Error: ") || strings.Count(r.Stderr, "\n") != 1 {
		c.t.Errorf("swarmnet %s: want one line that begins with Error: %q", strings.Join(args, " "), r.Stderr)
	}
	for _, p := range pieces {
		if !strings.Contains(r.Stderr, p) {
			c.t.Errorf("swarmnet %s: %q does not say %q", strings.Join(args, " "), strings.TrimSpace(r.Stderr), p)
		}
	}
}

func web(node string) string { return fmt.Sprintf("http://%s:8080", lab.Addr(node)) }

// createWeb makes the network app and the service web of three tasks, published at 8080, and waits until every node answers.
func (c cluster) createWeb() {
	c.t.Helper()
	c.must("n1", "network", "create", "-d", "overlay", "app")
	c.must("n1", "service", "create", "--name", "web", "--replicas", "3", "--network", "app", "--publish", "8080:80", "--", "swarmnet", "whoami")
	for _, n := range []string{"n1", "n2", "n3"} {
		c.answers(web(n), 10*time.Second)
	}
}

// answers waits until a whoami answers to outside.
func (c cluster) answers(url string, within time.Duration) time.Duration {
	c.t.Helper()
	return labtest.Eventually(c.t, within, url+" to answer", func() error {
		if r := c.ask(1, url)[0]; r.Err != "" {
			c.t.Logf("not yet, after %v: %s", r.Took, r.Err)
			return fmt.Errorf("%s", r.Err)
		}
		return nil
	})
}

// ask asks whoamis from outside.
func (c cluster) ask(count int, urls ...string) []probe.Reply {
	c.t.Helper()
	return decode[[]probe.Reply](c.t, c.must(lab.Outside, append([]string{"probe", "ask", "--timeout", labtest.Patience(2 * time.Second).String(), "--count", fmt.Sprint(count)}, urls...)...))
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// tally fails the test for every failed request and counts what the others show.
func tally(t *testing.T, replies []probe.Reply) (tasks, clients map[string]int) {
	t.Helper()
	tasks, clients = map[string]int{}, map[string]int{}
	for _, r := range replies {
		if r.Err != "" {
			t.Errorf("%s: %s", r.URL, r.Err)
			continue
		}
		tasks[r.Answer.Task]++
		ap, err := netip.ParseAddrPort(r.Answer.Client)
		if err != nil {
			t.Fatalf("client %q: %v", r.Answer.Client, err)
		}
		clients[ap.Addr().String()]++
	}
	return tasks, clients
}

// answeredBy is what is wrong with the replies that a probe printed: all are to be answers, and of so many tasks.
func answeredBy(replies string, tasks int) error {
	var all []probe.Reply
	if err := json.Unmarshal([]byte(replies), &all); err != nil {
		return fmt.Errorf("%w in %q", err, replies)
	}
	by := map[string]int{}
	for _, r := range all {
		if r.Err != "" {
			return fmt.Errorf("%s: %s", r.URL, r.Err)
		}
		by[r.Answer.Task]++
	}
	if len(by) != tasks {
		return fmt.Errorf("%v answer, want %d tasks", by, tasks)
	}
	return nil
}

// lines decodes one JSON object a line.
func lines[T any](t *testing.T, text string) []T {
	t.Helper()
	var out []T
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			out = append(out, decode[T](t, line))
		}
	}
	return out
}

// whole is a text without a last line that was not written to its end.
func whole(text string) string { return text[:strings.LastIndexByte(text, '\n')+1] }

type taskRow struct{ ID, Name, Node, CurrentState, DesiredState string }

func (r taskRow) running() bool {
	return strings.HasPrefix(r.CurrentState, "Running") && r.DesiredState == "Running"
}

// runningTasks are the tasks of a service that run, as a node's manager knows them; none while it cannot tell.
func (c cluster) runningTasks(node, service string) []taskRow {
	out, err := c.Swarmnet(c.t.Context(), node, "service", "ps", service, "--format", "json")
	if err != nil {
		return nil
	}
	var running []taskRow
	for _, r := range lines[taskRow](c.t, out) {
		if r.running() {
			running = append(running, r)
		}
	}
	return running
}
