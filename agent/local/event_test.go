package local

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
)

// TestS57Events takes a sandbox and a network through a life and reads what was told of it.
func TestS57Events(t *testing.T) {
	e := env()
	s := New(e).Settled()
	var told []string
	take := func(next State, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range Events(s, next) {
			told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s %s by %s %s", ev.Kind, ev.Action, ev.Name, ev.Actor, ev.Detail)))
		}
		s = next.Settled()
	}
	net, _, err := s.CreateNetwork("n1", swarmnet.NetworkSpec{Name: "net"}, e)
	take(net, err)
	spec := swarmnet.SandboxSpec{Name: "db", Task: swarmnet.TaskSpec{Command: []string{"x"}, Restart: swarmnet.RestartPolicy{Condition: swarmnet.RestartOnFailure}}}
	made, _, err := s.CreateSandbox("s1", spec, e)
	take(made, err)
	started, _, err := s.Start("db", e)
	take(started, err)
	running := swarmnet.TaskStatus{State: swarmnet.TaskRunning, At: e.Now}
	take(s.Report("s1", 1, running, e.Now), nil)
	on, _, err := s.Connect("db", swarmnet.NetworkAttachment{Network: "n1"}, e)
	take(on, err)
	renamed, _, err := s.Rename("db", "data", e)
	take(renamed, err)
	take(s.Report("s1", 1, swarmnet.TaskStatus{State: swarmnet.TaskFailed, ExitCode: 3, At: e.Now}, e.Now), nil)
	take(s.Report("s1", 2, running, e.Now), nil)
	off, _, err := s.Disconnect("data", "n1", e)
	take(off, err)
	again, _, err := s.Restart("data", "", -1, e)
	take(again, err)
	take(s.Report("s1", 2, swarmnet.TaskStatus{State: swarmnet.TaskShutdown, ExitCode: 143, At: e.Now}, e.Now), nil)
	take(s.Report("s1", 3, running, e.Now), nil)
	stopped, _, err := s.Stop("data", "", -1)
	take(stopped, err)
	take(s.Report("s1", 3, swarmnet.TaskStatus{State: swarmnet.TaskShutdown, At: e.Now}, e.Now), nil)
	removing, _, err := s.RemoveSandbox("data", false)
	take(removing, err)
	take(s.Gone("s1"), nil)
	gone, err := s.RemoveNetwork("net")
	take(gone, err)
	const want = `network create net by local bridge
sandbox create db by local
sandbox start db by node
sandbox connect db by local network n1
sandbox rename data by local from db
sandbox die data by node exit status 3, to be started again
sandbox start data by node
sandbox disconnect data by local network n1
sandbox stop data by local
sandbox die data by node exit status 143, to be started again
sandbox start data by node
sandbox stop data by local
sandbox die data by node exit status 0
sandbox remove data by local
network remove net by local bridge`
	if got := strings.Join(told, "\n"); got != want {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
}

// How a process ends and what then becomes of its sandbox, by what was asked for.
func TestC25Ends(t *testing.T) {
	e := env()
	always := swarmnet.RestartPolicy{Condition: swarmnet.RestartAny}
	for _, c := range []struct {
		what   string
		spec   swarmnet.SandboxSpec
		before func(State) (State, Sandbox, error)
		want   string
	}{
		{"a signal that is not an end", swarmnet.SandboxSpec{Task: swarmnet.TaskSpec{Restart: always}}, func(s State) (State, Sandbox, error) { return s.Kill("db", false) }, "restarting run 2"},
		{"killed", swarmnet.SandboxSpec{Task: swarmnet.TaskSpec{Restart: always}}, func(s State) (State, Sandbox, error) { return s.Kill("db", true) }, "exited run 1"},
		{"restarted, and never to be again by itself", swarmnet.SandboxSpec{Task: swarmnet.TaskSpec{Restart: swarmnet.RestartPolicy{Condition: swarmnet.RestartNone}}},
			func(s State) (State, Sandbox, error) { return s.Restart("db", "", -1, e) }, "restarting run 2"},
		{"restarted, then stopped", swarmnet.SandboxSpec{Task: swarmnet.TaskSpec{Restart: always}}, func(s State) (State, Sandbox, error) {
			s, sb, err := s.Restart("db", "", -1, e)
			if err != nil {
				return s, sb, err
			}
			return s.Stop("db", "", -1)
		}, "exited run 1"},
		{"--rm", swarmnet.SandboxSpec{AutoRemove: true, Task: swarmnet.TaskSpec{Restart: swarmnet.RestartPolicy{Condition: swarmnet.RestartNone}}}, nil, "exited run 1 removing"},
		{"--rm, restarted", swarmnet.SandboxSpec{AutoRemove: true, Task: swarmnet.TaskSpec{Restart: swarmnet.RestartPolicy{Condition: swarmnet.RestartNone}}},
			func(s State) (State, Sandbox, error) { return s.Restart("db", "", -1, e) }, "restarting run 2"},
		{"stopped, always: started with the daemon", swarmnet.SandboxSpec{StartWithDaemon: true, Task: swarmnet.TaskSpec{Restart: always}}, func(s State) (State, Sandbox, error) { return s.Stop("db", "", -1) }, "created run 2"},
		{"stopped, unless-stopped", swarmnet.SandboxSpec{Task: swarmnet.TaskSpec{Restart: always}}, func(s State) (State, Sandbox, error) { return s.Stop("db", "", -1) }, "exited run 1"},
	} {
		c.spec.Name, c.spec.Task.Command = "db", []string{"x"}
		s, _, err := New(e).CreateSandbox("s1", c.spec, e)
		if err == nil {
			s, _, err = s.Start("db", e)
		}
		s = s.Report("s1", 1, swarmnet.TaskStatus{State: swarmnet.TaskRunning, At: e.Now}, e.Now)
		if err == nil && c.before != nil {
			s, _, err = c.before(s)
		}
		if err != nil {
			t.Fatal(c.what, err)
		}
		s = s.Report("s1", 1, swarmnet.TaskStatus{State: swarmnet.TaskFailed, ExitCode: 137, At: e.Now.Add(time.Second)}, e.Now.Add(time.Second))
		s, errs := s.StartWithDaemon(e)
		sb := s.Sandboxes["s1"]
		got := fmt.Sprintf("%s run %d", sb.State, sb.Run)
		if sb.Removing {
			got += " removing"
		}
		if got != c.want || len(errs) > 0 {
			t.Errorf("%s: %s, want %s; %v", c.what, got, c.want, errs)
		}
	}
}
