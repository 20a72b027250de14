package agent

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/agent/local/store"
)

// alone is an agent of a node in no cluster, with what is the node's own.
type alone struct {
	*testing.T
	h     *host
	a     *Agent
	local *store.Store
	stop  func()
}

func startAlone(t *testing.T) *alone {
	t.Helper()
	s, err := store.Open(t.TempDir(), local.Env{Now: time.Now()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &alone{T: t, h: newHost(), local: s}
	w.restart()
	return w
}

// restart runs another agent on the same host.
func (w *alone) restart() {
	w.Helper()
	if w.stop != nil {
		w.stop()
	}
	dir := w.TempDir()
	cfg := Config{DataDir: dir, RunDir: dir, Hostname: "h1", Local: w.local}.withDefaults()
	a := newAgent(cfg, parts{fakeFabric{w.h}, fakeBalancer{w.h}, fakeSandboxes{w.h}, silence{}, fakeResolver{w.h}, fakeExecutor{w.h}, deaf{}, nil, wide{}}, nil)
	w.h.changed = a.workloadChanged
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	w.a = a
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
		w.stop = nil
	}
	w.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
	})
}

func (w *alone) step(f func(local.State) (local.State, local.Sandbox, error)) {
	w.Helper()
	if _, err := w.local.Step(func(s local.State) (local.State, error) { s, _, err := f(s); return s, err }); err != nil {
		w.Fatal(err)
	}
}

func (w *alone) run(name string, spec swarmnet.SandboxSpec) {
	w.Helper()
	spec.Name, spec.Task.Command = name, []string{"x"}
	w.step(func(s local.State) (local.State, local.Sandbox, error) {
		return s.CreateSandbox(swarmnet.TaskID(name), spec, local.Env{Now: time.Now()})
	})
	w.start(name)
}

func (w *alone) start(name string) {
	w.Helper()
	w.step(func(s local.State) (local.State, local.Sandbox, error) {
		return s.Start(name, local.Env{Now: time.Now()})
	})
}

func (w *alone) until(name string, want swarmnet.SandboxState) {
	w.Helper()
	eventually(w.T, name+" is "+want.String(), func() bool { return w.local.Read().Sandboxes[swarmnet.TaskID(name)].State == want })
}

func (w *alone) end(name string, code int) {
	fakeExecutor{w.h}.set(swarmnet.TaskID(name), "", func(st *executor.Status) {
		st.Phase, st.ExitCode, st.EndedAt, st.Run = executor.Ended, code, time.Now(), w.local.Read().Sandboxes[swarmnet.TaskID(name)].Run
	})
}

func policy(c swarmnet.RestartCondition) (spec swarmnet.SandboxSpec) {
	spec.Task.Restart = swarmnet.RestartPolicy{Condition: c, Delay: time.Millisecond}
	return spec
}

func TestLifeOfASandbox(t *testing.T) {
	w := startAlone(t)
	w.run("web", policy(swarmnet.RestartNone))
	w.until("web", swarmnet.SandboxRunning)
	w.step(func(s local.State) (local.State, local.Sandbox, error) { return s.Stop("web", "", -1) })
	w.until("web", swarmnet.SandboxExited)
	eventually(t, "its namespace is gone", func() bool { return strings.Contains(w.h.did(), "delete web") })
	w.start("web")
	w.until("web", swarmnet.SandboxRunning)
	w.step(func(s local.State) (local.State, local.Sandbox, error) { return s.RemoveSandbox("web", true) })
	eventually(t, "it is gone", func() bool { return len(w.local.Read().Sandboxes) == 0 })
	want := "make web\nstart web\nstop web\ndelete web\nmake web\nstart web\nforget web\ndelete web"
	if got := w.h.did(); got != want {
		t.Errorf("done:\n%s\nwant:\n%s", got, want)
	}
}

func TestSandboxIsStartedAgain(t *testing.T) {
	w := startAlone(t)
	w.run("web", policy(swarmnet.RestartOnFailure))
	w.until("web", swarmnet.SandboxRunning)
	w.end("web", 1)
	eventually(t, "it runs again", func() bool {
		sb := w.local.Read().Sandboxes["web"]
		return sb.Restarts == 1 && sb.State == swarmnet.SandboxRunning
	})
	if got := w.h.did(); strings.Contains(got, "delete web") {
		t.Errorf("its network stack did not stay:\n%s", got)
	}
	w.end("web", 0)
	w.until("web", swarmnet.SandboxExited)
}

func TestC25SandboxesAndTheAgent(t *testing.T) {
	w := startAlone(t)
	w.run("stays", policy(swarmnet.RestartAny))
	w.run("once", policy(swarmnet.RestartNone))
	w.until("stays", swarmnet.SandboxRunning)
	w.until("once", swarmnet.SandboxRunning)
	before := w.h.did()
	w.restart()
	eventually(t, "the new agent has looked", func() bool {
		return w.a.wanted("once").Desired == swarmnet.DesireRunning && w.a.wanted("stays").Desired == swarmnet.DesireRunning
	})
	if got := w.h.did(); got != before {
		t.Errorf("a restart of the agent did %s", strings.TrimPrefix(got, before))
	}
	w.stop()
	w.h.do("power cut", func() { clear(w.h.workloads); clear(w.h.sandboxes) })
	w.restart()
	w.until("once", swarmnet.SandboxExited)
	eventually(t, "the one with a policy runs again", func() bool {
		sb := w.local.Read().Sandboxes["stays"]
		return sb.State == swarmnet.SandboxRunning && sb.Restarts == 1
	})
	if sb := w.local.Read().Sandboxes["once"]; sb.Status.ExitCode != 137 || sb.Status.Err != "node restarted" {
		t.Errorf("the other: %+v", sb.Status)
	}
}

func TestC23StackOutlivesItsOwner(t *testing.T) {
	w := startAlone(t)
	w.run("owner", policy(swarmnet.RestartNone))
	w.until("owner", swarmnet.SandboxRunning)
	shared := policy(swarmnet.RestartNone)
	shared.Mode, shared.SharedWith = swarmnet.ModeShared, "owner"
	w.run("tools", shared)
	w.until("tools", swarmnet.SandboxRunning)
	w.end("owner", 0)
	w.until("owner", swarmnet.SandboxExited)
	i := slices.IndexFunc(w.a.Sandboxes(), func(sb local.Sandbox) bool { return sb.ID == "tools" })
	if msg := w.a.Sandboxes()[i].Status.Message; !strings.Contains(msg, "owner") || !strings.Contains(msg, "stopped") {
		t.Errorf("the sharer says %q", msg)
	}
	eventually(t, "the stack is known as lent", func() bool { return w.a.wanted("owner").Stack.Lent })
	if strings.Contains(w.h.did(), "delete") {
		t.Errorf("the stack in use is gone:\n%s", w.h.did())
	}
	w.end("tools", 0)
	eventually(t, "the stack is gone with its last user", func() bool { return strings.Contains(w.h.did(), "delete owner") })
}

func TestIdleNodeIsLeftAlone(t *testing.T) {
	w := startAlone(t)
	eventually(t, "it has planned", func() bool { w.a.mu.Lock(); defer w.a.mu.Unlock(); return w.a.set.Self == local.StandaloneNode })
	if st := w.a.fabric.Status(); st.Wanted != 0 {
		t.Error("a fabric is made for nobody")
	}
}
