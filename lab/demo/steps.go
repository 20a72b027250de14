package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab"
)

const (
	webPort   = 8080
	probePort = 9000

	// patience bounds each wait for something that comes within a second, on a machine that does nothing else.
	patience = 60 * time.Second
)

func (t *tour) url(node string, port uint16) string {
	return "http://" + netip.AddrPortFrom(t.lab.Addr(node), port).String()
}

var nodes = []string{"n1", "n2", "n3"}

func (t *tour) deploy(ctx context.Context) error {
	create := []string{"network", "create", "-d", "overlay", "app"}
	if t.ipv6 {
		create = slices.Insert(create, 4, "--ipv6")
	}
	if _, err := t.show(ctx, "n1", create...); err != nil {
		return err
	}
	if _, err := t.show(ctx, "n1", "service", "create", "--name", "web", "--replicas", "3", "--network", "app", "--publish", "8080:80", "--", "swarmnet", "whoami"); err != nil {
		return err
	}
	returned := time.Now()
	for _, n := range nodes {
		if err := t.answers(ctx, t.url(n, webPort), patience); err != nil {
			return err
		}
	}
	t.measured("service create returned, until the last node's port answered", "%.0f ms", time.Since(returned).Seconds()*1000)
	if _, err := t.show(ctx, "n1", "service", "ls"); err != nil {
		return err
	}
	_, err := t.show(ctx, t.other, "service", "ps", "web")
	return err
}

// answers waits until a whoami answers to outside.
func (t *tour) answers(ctx context.Context, url string, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		replies, err := t.ask(ctx, 1, url)
		if err != nil {
			return err
		}
		switch {
		case replies[0].Err == "":
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s does not answer within %v: %s", url, within, replies[0].Err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ask asks whoamis from outside.
func (t *tour) ask(ctx context.Context, count int, urls ...string) ([]probe.Reply, error) {
	out, err := t.lab.Swarmnet(ctx, lab.Outside, append([]string{"probe", "ask", "--count", fmt.Sprint(count)}, urls...)...)
	if err != nil {
		return nil, err
	}
	var replies []probe.Reply
	return replies, json.Unmarshal([]byte(out), &replies)
}

// seen counts what a run of answers shows.
type seen struct {
	tasks, nodes, clients map[string]int
	failed                int
	firstErr              string
}

func count(replies []probe.Reply) seen {
	s := seen{map[string]int{}, map[string]int{}, map[string]int{}, 0, ""}
	for _, r := range replies {
		if r.Err != "" {
			s.failed++
			if s.firstErr == "" {
				s.firstErr = ": " + r.Err
			}
			continue
		}
		s.tasks[r.Answer.Task]++
		s.nodes[r.Answer.Node]++
		client := r.Answer.Client
		if ap, err := netip.ParseAddrPort(client); err == nil {
			client = ap.Addr().String()
		}
		s.clients[client]++
	}
	return s
}

func (t *tour) names(ctx context.Context) error {
	t.say("A second service, one task on n2, asks from inside its sandbox what it is told to.")
	if _, err := t.show(ctx, "n1", "service", "create", "--name", "probe", "--network", "app", "--constraint", "node.hostname==n2", "--publish", "9000:80", "--", "swarmnet", "probe", "serve"); err != nil {
		return err
	}
	if err := t.inSandboxReady(ctx); err != nil {
		return err
	}
	var web, tasks probe.Looked
	family := map[bool]string{true: "&network=ip6"}[t.ipv6]
	if err := t.inSandbox(ctx, &web, "lookup?name=web"+family); err != nil {
		return err
	}
	t.check(len(web.Addrs) == 1, "in the sandbox, `web` resolves to one address, the service's virtual one: %s%s", strings.Join(web.Addrs, " "), web.Err)
	if err := t.inSandbox(ctx, &tasks, "lookup?name=tasks.web"+family); err != nil {
		return err
	}
	t.check(len(tasks.Addrs) == 3, "`tasks.web` resolves to the three tasks: %s%s", strings.Join(tasks.Addrs, " "), tasks.Err)
	var replies []probe.Reply
	if err := t.inSandbox(ctx, &replies, "ask?count=300&url=http://web"); err != nil {
		return err
	}
	s := count(replies)
	t.check(s.failed == 0 && len(s.tasks) == 3, "300 requests to http://web reached %d tasks: %s, %d failed%s", len(s.tasks), spread(s.tasks), s.failed, s.firstErr)
	t.check(len(s.clients) == 1 && !s.hasClient("192.0.2.") && !s.hasClient("2001:db8:"), "and the tasks saw the caller's own overlay address: %s", spread(s.clients))
	return nil
}

func (s seen) hasClient(prefix string) bool {
	for c := range s.clients {
		if strings.HasPrefix(c, prefix) {
			return true
		}
	}
	return false
}

// inSandbox asks the probe service, from outside, to do something in its sandbox.
func (t *tour) inSandbox(ctx context.Context, v any, path string) error {
	out, err := t.lab.Swarmnet(ctx, lab.Outside, "probe", "get", t.url("n1", probePort)+"/"+path)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), v)
}

func (t *tour) inSandboxReady(ctx context.Context) error {
	deadline := time.Now().Add(patience)
	for {
		var l probe.Looked
		err := t.inSandbox(ctx, &l, "lookup?name=web")
		if err == nil && l.Err == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the probe in the sandbox does not answer: %v %s", err, l.Err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (t *tour) mesh(ctx context.Context) error {
	t.say("Every node answers on the port, whether it runs a task or not. `outside` is " + t.lab.Addr(lab.Outside).String() + ".")
	for _, n := range nodes {
		fmt.Fprintf(t.w, "\n$ swarmnet lab exec --name %s %s -- swarmnet probe get %s\n", t.name, lab.Outside, t.url(n, webPort))
		out, err := t.lab.Swarmnet(ctx, lab.Outside, "probe", "get", t.url(n, webPort))
		if err != nil {
			return err
		}
		fmt.Fprintln(t.w, out)
	}
	if err := t.balancers(ctx); err != nil {
		return err
	}
	replies, err := t.ask(ctx, 300, t.url("n1", webPort), t.url("n2", webPort), t.url("n3", webPort))
	if err != nil {
		return err
	}
	s := count(replies)
	t.check(s.failed == 0 && len(s.tasks) == 3, "300 requests over the three nodes reached %d tasks: %s, %d failed%s", len(s.tasks), spread(s.tasks), s.failed, s.firstErr)
	t.check(len(s.clients) == 1 && s.clients[t.lab.Addr(lab.Outside).String()] > 0, "every task saw the client's own address: %s", spread(s.clients))
	out, err := t.lab.Swarmnet(ctx, lab.Outside, "probe", "sameport", "--port", "40000", t.url("n1", webPort), t.url("n2", webPort))
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), &replies); err != nil {
		return err
	}
	s = count(replies)
	t.check(s.failed == 0, "one source port used towards two nodes at once: %d of %d requests failed%s", s.failed, len(replies), s.firstErr)
	return nil
}

// balancers checks that every node balances as it was told to.
func (t *tour) balancers(ctx context.Context) error {
	if t.balancer == "" || t.balancer == "auto" {
		return nil
	}
	for _, n := range nodes {
		by, err := t.lab.Swarmnet(ctx, n, "cluster", "info", "--format", "{{.Balancer}}")
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(strings.TrimSpace(by), " ")
		t.check(name == t.balancer, "%s balances by %s", n, strings.TrimSpace(by))
	}
	return nil
}

func spread(m map[string]int) string {
	var out []string
	for k, n := range m {
		if name, id, ok := cutLast(k); ok && len(id) == 25 {
			k = name // a task's name without its id
		}
		out = append(out, fmt.Sprintf("%s ×%d", k, n))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(sorted(out), ", ")
}

func cutLast(s string) (string, string, bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
