package task

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/gossip"
)

func TestDecide(t *testing.T) {
	started := time.Unix(1, 0)
	run := executor.Status{Phase: executor.Running, StartedAt: started}
	stopping := run
	stopping.Stopping = true
	ended := func(code int, msg string) executor.Status {
		return executor.Status{Phase: executor.Ended, StartedAt: started, ExitCode: code, Err: msg}
	}
	stopped := ended(143, "")
	stopped.Stopping = true
	broken := errors.New("no such device")
	for _, c := range []struct {
		name string
		in   Input
		want string
	}{
		{"fresh", Input{Desired: swarmnet.DesireRunning}, "wait state=preparing row=none sandbox=true"},
		{"sandbox fails", Input{Desired: swarmnet.DesireRunning, NetworkErr: broken, NetworkFor: time.Second}, `wait state=preparing row=none sandbox=true err="no such device"`},
		{"sandbox is refused", Input{Desired: swarmnet.DesireRunning, NetworkErr: broken, NetworkRefused: true}, `release state=rejected row=none sandbox=false err="no such device"`},
		{"sandbox fails for long", Input{Desired: swarmnet.DesireRunning, NetworkErr: broken, NetworkFor: time.Minute}, `release state=rejected row=none sandbox=false err="no such device"`},
		{"hold", Input{Desired: swarmnet.DesireReady, Network: true}, "wait state=preparing row=none sandbox=true"},
		{"start", Input{Desired: swarmnet.DesireRunning, Network: true}, "start state=starting row=up sandbox=true"},
		{"start fails", Input{Desired: swarmnet.DesireRunning, Network: true, Starts: 3, StartErr: broken}, `release state=rejected row=none sandbox=false err="no such device"`},
		{"runs", Input{Desired: swarmnet.DesireRunning, Network: true, Workload: run}, "wait state=running row=ready sandbox=true"},
		{"runs, does not listen yet", Input{Desired: swarmnet.DesireRunning, Network: true, Workload: run, Settling: true}, "wait state=starting row=up sandbox=true"},
		{"not yet healthy", Input{Desired: swarmnet.DesireRunning, Workload: run, Checked: true}, "wait state=starting row=up sandbox=true"},
		{"healthy", Input{Desired: swarmnet.DesireRunning, Workload: run, Checked: true, Health: Healthy}, "wait state=running row=ready sandbox=true"},
		{"adopted, not yet checked again", Input{Desired: swarmnet.DesireRunning, Told: swarmnet.TaskRunning, Workload: run, Checked: true}, "wait state=running row=ready sandbox=true"},
		{"unhealthy", Input{Desired: swarmnet.DesireRunning, Workload: run, Checked: true, Health: Unhealthy, HealthErr: broken}, "wait state=starting row=draining sandbox=true"},
		{"unhealthy, and all have heard", Input{Desired: swarmnet.DesireRunning, Workload: run, Checked: true, Health: Unhealthy, HealthErr: broken, Spread: true}, "stop state=starting row=draining sandbox=true"},
		{"unhealthy, ended", Input{Desired: swarmnet.DesireRunning, Workload: stopped, Checked: true, Health: Unhealthy, HealthErr: broken}, `release state=failed row=draining sandbox=false err="unhealthy: no such device"`},
		{"drain", Input{Desired: swarmnet.DesireDraining, Workload: run}, "wait state=running row=draining sandbox=true"},
		{"shut down", Input{Desired: swarmnet.DesireShutdown, Told: swarmnet.TaskRunning, Workload: run}, "stop state=running row=draining sandbox=true"},
		{"stopping", Input{Desired: swarmnet.DesireShutdown, Told: swarmnet.TaskRunning, Workload: stopping}, "wait state=running row=draining sandbox=true"},
		{"stopped", Input{Desired: swarmnet.DesireShutdown, Workload: stopped}, "release state=shutdown row=draining sandbox=false"},
		{"given up while cut off", Input{Desired: swarmnet.DesireRunning, Told: swarmnet.TaskOrphaned, Workload: run}, "stop state=running row=draining sandbox=true"},
		{"given up while cut off, and the node itself leads to it", Input{Desired: swarmnet.DesireRunning, Told: swarmnet.TaskOrphaned, Workload: run, Leading: true}, "wait state=running row=draining sandbox=true"},
		{"never started", Input{Desired: swarmnet.DesireRemove}, "release state=shutdown row=none sandbox=false"},
		{"finished", Input{Desired: swarmnet.DesireRunning, Workload: ended(0, "")}, "release state=complete row=draining sandbox=false"},
		{"failed", Input{Desired: swarmnet.DesireRunning, Workload: ended(3, "")}, `release state=failed row=draining sandbox=false err="exit status 3"`},
		{"no such command", Input{Desired: swarmnet.DesireRunning, Workload: executor.Status{Phase: executor.Ended, ExitCode: 127, Err: "command not found: x"}}, `release state=rejected row=draining sandbox=false err="command not found: x"`},
		{"lost", Input{Desired: swarmnet.DesireRunning, Workload: executor.Status{Phase: executor.Lost, Err: "the node was restarted"}}, `release state=failed row=draining sandbox=false err="the node was restarted"`},
		{"rebooted", Input{Desired: swarmnet.DesireRunning, Told: swarmnet.TaskRunning}, `release state=failed row=draining sandbox=false err="node restarted"`},
		{"ended, and the managers know", Input{Desired: swarmnet.DesireRunning, Told: swarmnet.TaskFailed, Workload: ended(3, "")}, `release state=failed row=none sandbox=false err="exit status 3"`},
		{"over", Input{Desired: swarmnet.DesireShutdown, Told: swarmnet.TaskFailed}, "release state=failed row=none sandbox=false"},
	} {
		if got := Decide(c.in).String(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestDecideInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := Input{
			Desired:  swarmnet.DesiredState(rapid.IntRange(0, 4).Draw(t, "desired")),
			Told:     swarmnet.TaskState(rapid.IntRange(0, 10).Draw(t, "told")),
			Network:  rapid.Bool().Draw(t, "network"),
			Checked:  rapid.Bool().Draw(t, "checked"),
			Settling: rapid.Bool().Draw(t, "settling"),
			Health:   Health(rapid.IntRange(0, 2).Draw(t, "health")),
			Starts:   rapid.IntRange(0, 4).Draw(t, "starts"),
			StartErr: errors.New("x"), HealthErr: errors.New("y"),
			Workload: executor.Status{
				Phase:    executor.Phase(rapid.IntRange(0, 4).Draw(t, "phase")),
				Stopping: rapid.Bool().Draw(t, "stopping"),
				ExitCode: rapid.IntRange(0, 1).Draw(t, "code"),
			},
		}
		out := Decide(in)
		held := in.Workload.Phase == executor.Starting || in.Workload.Phase == executor.Running
		switch {
		case out.Row == gossip.EndpointReady && (in.Workload.Phase != executor.Running || in.Desired > swarmnet.DesireRunning || in.Health == Unhealthy || in.Settling || in.Checked && in.Health == HealthUnknown && in.Told != swarmnet.TaskRunning):
			t.Fatal("connections are taken for what cannot serve them")
		case out.Action == Start && (held || !in.Network || in.Desired != swarmnet.DesireRunning || in.Told >= swarmnet.TaskRunning):
			t.Fatal("started what must not be")
		case held && !out.Sandbox:
			t.Fatal("the sandbox goes while the workload is there")
		case out.Status.State.Terminal() && held:
			t.Fatal("reported as ended while it is there")
		case out.Action == Release && !out.Status.State.Terminal():
			t.Fatal("released without having ended")
		case in.Desired >= swarmnet.DesireShutdown && out.Action == Wait && !in.Workload.Stopping:
			t.Fatal("nothing is done about a task that should end")
		case strings.Contains(out.String(), "%!"):
			t.Fatal(out.String())
		}
	})
}
