package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
)

// Whatever is wrong with a command line is one line on stderr and status 2, before any daemon is asked.
func TestWrongUsage(t *testing.T) {
	t.Setenv("SWARMNET_HOST", "unix:///nonexistent/swarmnet.sock")
	for args, want := range map[string]string{
		"nod":                               `did you mean "node"?`,
		"network craete x":                  `did you mean "create"?`,
		"zzz":                               "`swarmnet --help` lists them",
		"node ls --fromat json":             "did you mean --format?",
		"node ls --zzz":                     "`swarmnet node ls --help` lists them",
		"node ls extra":                     "takes no arguments: 1 given",
		"node ls --filter x":                "KEY=VALUE is wanted",
		"node ls --filter x=1":              "availability, id, membership",
		"node ls --format {{.ID":            "unclosed action",
		"service create --replicas -1 -- x": "invalid syntax",
		"service create --replicas 1 --mode global -- x": "--replicas goes with a replicated service",
		"service create --health-retries 2 -- x":         "goes with --health-cmd or --health-tcp",
		"service create --update-order up -- x":          `"up" is not a update order`,
		"service create --env NOT_SET_ANYWHERE -- x":     "no such variable",
		"service create --network a --network a -- x":    "given twice",
		"service scale web=1 web=2":                      "given twice",
		"service update web x":                           "goes after --",
		"cluster join 192.0.2.1":                         "--token is missing",
		"cluster join --token t :4747":                   "HOST:PORT is wanted",
		"cluster init --availability away":               `"away" is not a availability`,
		"cluster init --node-down-after -1s":             "a duration above 0",
		"cluster join-token boss":                        `"boss" is not a role`,
		"network prune":                                  "say --force",
		"daemon --log-level loud":                        "debug, info, warn, error",
		"--host nowhere node ls":                         "needs an admin certificate",
		"--host unix://relative node ls":                 "an absolute path is wanted",
		"lab up --managers 0":                            "at least one manager",
		"lab exec n1":                                    "needs NODE CMD",
	} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), strings.Fields(args), strings.NewReader(""), &out, &errs)
		if code != 2 || !strings.HasPrefix(errs.String(), "Error: ") || strings.Count(errs.String(), "\n") != 1 || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("swarmnet %s: status %d, %q %q; want status 2 and %q", args, code, errs.String(), out.String(), want)
		}
	}
}

func TestNoDaemon(t *testing.T) {
	var out, errs bytes.Buffer
	code := Run(t.Context(), []string{"--host", "unix:///nonexistent/s.sock", "node", "ls"}, nil, &out, &errs)
	if want := "Error: cannot reach the daemon at /nonexistent/s.sock: is it running? start it with `swarmnet daemon`\n"; code != 1 || errs.String() != want {
		t.Errorf("status %d, %q", code, errs.String())
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{errors.New("a"), 1, "Error: a\n"},
		{errors.Join(errors.New("a"), errors.New("b")), 1, "Error: a; b\n"},
		{usagef("a"), 2, "Error: a\n"},
		{exitStatus(7), 7, ""},
		{exitError{errors.New("a"), 125}, 125, "Error: a\n"},
		{status.Error(codes.NotFound, "no network x"), 1, "Error: no network x\n"},
		{status.Error(codes.Canceled, "context canceled"), 1, "Error: interrupted\n"},
	} {
		var b bytes.Buffer
		if code := report(&b, c.err); code != c.code || b.String() != c.text {
			t.Errorf("%v: %d %q, want %d %q", c.err, code, b.String(), c.code, c.text)
		}
	}
}

func TestFormats(t *testing.T) {
	type row struct{ ID, Name string }
	list := func(context.Context, bool) ([]row, error) {
		return []row{{"1", "a"}, {"2", "b"}, {"3", "a"}}, nil
	}
	for args, want := range map[string]string{
		"":                                   "ID        NAME\n1         a\n2         b\n3         a\n",
		"--format json":                      "{\"ID\":\"1\",\"Name\":\"a\"}\n{\"ID\":\"2\",\"Name\":\"b\"}\n{\"ID\":\"3\",\"Name\":\"a\"}\n",
		"--format {{.Name}}:{{upper~.Name}}": "a:A\nb:B\na:A\n",
		`--format table~{{.Name}}\t{{.ID}}`:  "NAME      ID\na         1\nb         2\na         3\n",
		"-q":                                 "1\n2\n3\n",
		"-q --filter name=a":                 "1\n3\n",
		"-q --filter name=a --filter name=b": "1\n2\n3\n",
		"-q --filter name=a --filter id=3":   "3\n",
		"-q --filter name=c":                 "",
	} {
		var out bytes.Buffer
		cmd := lsCmd(&app{stdout: &out}, lister[row, row]{
			columns: []column[row]{{"ID", "ID"}, {"NAME", "Name"}},
			quiet:   func(r row) string { return r.ID }, list: list, row: func(r row, _ bool) row { return r },
			filters: map[string]filterFunc[row]{"name": func(r row, v string) bool { return r.Name == v }, "id": func(r row, v string) bool { return r.ID == v }},
		})
		fields := strings.Fields(args)
		for i := range fields {
			fields[i] = strings.ReplaceAll(fields[i], "~", " ")
		}
		cmd.SetArgs(fields)
		if err := cmd.ExecuteContext(t.Context()); err != nil || out.String() != want {
			t.Errorf("%s: %v %q, want %q", args, err, out.String(), want)
		}
	}
}

func TestProgressOf(t *testing.T) {
	task := func(version uint64, state swarmnet.TaskState, desired swarmnet.DesiredState) swarmnet.Task {
		return swarmnet.Task{SpecVersion: version, Desired: desired, Status: swarmnet.TaskStatus{State: state, At: time.Unix(int64(version), 0)}}
	}
	run := func(v uint64) swarmnet.Task { return task(v, swarmnet.TaskRunning, swarmnet.DesireRunning) }
	s := swarmnet.Service{SpecVersion: 2, Spec: swarmnet.ServiceSpec{Replicas: 2}}
	updating := s
	updating.Update.State = swarmnet.UpdateRunning
	global := swarmnet.Service{SpecVersion: 1, Spec: swarmnet.ServiceSpec{Mode: swarmnet.Global}}
	for _, c := range []struct {
		what  string
		s     swarmnet.Service
		tasks []swarmnet.Task
		want  string
		done  bool
	}{
		{"nothing yet", s, nil, "0 of 2 tasks running", false},
		{"half", s, []swarmnet.Task{run(2), task(2, swarmnet.TaskStarting, swarmnet.DesireRunning)}, "1 of 2 tasks running", false},
		{"all", s, []swarmnet.Task{run(2), run(2)}, "2 of 2 tasks running", true},
		{"scaled: tasks of the version before count", s, []swarmnet.Task{run(1), run(2)}, "2 of 2 tasks running", true},
		{"one too many", s, []swarmnet.Task{run(2), run(2), run(2)}, "3 of 2 tasks running", false},
		{"one on its way out", s, []swarmnet.Task{run(2), run(2), task(1, swarmnet.TaskRunning, swarmnet.DesireShutdown)}, "2 of 2 tasks running", true},
		{"an update under way", updating, []swarmnet.Task{run(2), run(1)}, "1 of 2 tasks running", false},
		{"global, no task made yet", global, nil, "0 of 0 tasks running", false},
		{"global", global, []swarmnet.Task{run(1)}, "1 of 1 tasks running", true},
	} {
		if got := progressOf(c.s, c.tasks, nil); got.String() != c.want || got.done != c.done {
			t.Errorf("%s: %s %v, want %s %v", c.what, got, got.done, c.want, c.done)
		}
	}
}

// Where no person watches, progress is told when there is more of it, each trouble once, and tasks that keep failing end the waiting.
func TestPatience(t *testing.T) {
	p := patience{best: -1, told: map[string]bool{}}
	start := time.Unix(1000, 0)
	var told []string
	for _, c := range []struct {
		after  time.Duration
		c      convergence
		enough bool
	}{
		{0, convergence{wanted: 2}, false},
		{time.Second, convergence{wanted: 2, running: 1}, false},
		{2 * time.Second, convergence{wanted: 2, trouble: "exit status 1", failed: 1}, false},
		{3 * time.Second, convergence{wanted: 2, running: 1, trouble: "exit status 1", failed: 1}, false},
		{29 * time.Second, convergence{wanted: 2, trouble: "exit status 2", failed: 5}, false},
		{32 * time.Second, convergence{wanted: 2, trouble: "no suitable node"}, false}, // that may change
		{32 * time.Second, convergence{wanted: 2, trouble: "exit status 1", failed: 5, monitor: time.Minute}, false},
		{32 * time.Second, convergence{wanted: 2, trouble: "exit status 1", failed: 5}, true},
	} {
		lines, enough := p.step(c.c, start.Add(c.after))
		if told = append(told, lines...); enough != c.enough {
			t.Errorf("after %v: %v, want %v", c.after, enough, c.enough)
		}
	}
	const want = "0 of 2 tasks running|1 of 2 tasks running|0 of 2 tasks running: exit status 1|0 of 2 tasks running: exit status 2|0 of 2 tasks running: no suitable node"
	if got := strings.Join(told, "|"); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func TestProgressHearsNodes(t *testing.T) {
	s := swarmnet.Service{Meta: swarmnet.Meta{Updated: 5}}
	tasks := []swarmnet.Task{{Balanced: 7, Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}}, {Balanced: 9, Status: swarmnet.TaskStatus{State: swarmnet.TaskShutdown}}}
	c := convergence{running: 1, wanted: 1, done: true}
	for i, applied := range []uint64{7, 6, 20} {
		c.hear(swarmnet.Node{Spec: swarmnet.NodeSpec{Name: fmt.Sprint("n", i)}, Applied: applied, Status: swarmnet.NodeStatus{State: swarmnet.NodeReady}}, s, tasks)
	}
	c.hear(swarmnet.Node{Status: swarmnet.NodeStatus{State: swarmnet.NodeDown}}, s, tasks)
	if got := c.String(); c.answers() || got != "1 of 1 tasks running, answering on 2 of 3 nodes" || c.silent[0] != "n1" {
		t.Errorf("%s, silent: %v", got, c.silent)
	}
}

func TestText(t *testing.T) {
	if naturalKey("n2") >= naturalKey("n10") {
		t.Error("n2 sorts after n10")
	}
	now := time.Unix(1e6, 0)
	for d, want := range map[time.Duration]string{0: "less than a second ago", time.Second: "1 second ago", 90 * time.Second: "1 minute ago", 47 * time.Hour: "47 hours ago", 72 * time.Hour: "3 days ago"} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"replicas", "replicsa", 2}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("distance of %q and %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// An external service has converged with whatever has joined it, once it has its addresses and ports.
func TestProgressOfAnExternalService(t *testing.T) {
	s := swarmnet.Service{Spec: swarmnet.ServiceSpec{Mode: swarmnet.External}, SpecVersion: 2, Allocated: 1}
	joined := []swarmnet.Task{
		{Member: "s", Desired: swarmnet.DesireRunning, Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}},
		{Member: "s", Desired: swarmnet.DesireDraining, Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}},
		{Member: "s", Desired: swarmnet.DesireRunning, Status: swarmnet.TaskStatus{State: swarmnet.TaskFailed}},
	}
	if c := progressOf(s, joined, nil); c.done {
		t.Errorf("it has converged without its addresses: %s", c)
	}
	s.Allocated = 2
	if c := progressOf(s, joined, nil); !c.done || c.String() != "1 sandboxes have joined" {
		t.Errorf("done %t: %s", c.done, c)
	}
}
