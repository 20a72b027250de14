package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
)

func openDir(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, local.Env{Now: time.Unix(1, 0).UTC()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s *Store, id swarmnet.TaskID) {
	t.Helper()
	_, err := s.Step(func(st local.State) (local.State, error) {
		spec := swarmnet.SandboxSpec{Ports: []swarmnet.PortSpec{{Target: 80, Mode: swarmnet.PublishHost}}}
		spec.Task.Command = []string{"sleep", "1"}
		st, _, err := st.CreateSandbox(id, spec, local.Env{Now: time.Unix(2, 0).UTC()})
		if err == nil {
			st, _, err = st.Start(string(id), local.Env{Now: time.Unix(3, 0).UTC()})
		}
		return st, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestC25WhatIsKept(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	create(t, s, "one")
	create(t, s, "two")
	if _, err := s.Step(func(st local.State) (local.State, error) {
		st, sb, err := st.RemoveSandbox("two", true)
		return st.Gone(sb.ID), err
	}); err != nil {
		t.Fatal(err)
	}
	again := openDir(t, dir)
	if got, want := again.Read(), s.Read(); !reflect.DeepEqual(got.Sandboxes, want.Sandboxes) || !reflect.DeepEqual(got.Networks, want.Networks) {
		t.Errorf("read  %+v\nwrote %+v", got, want)
	}
	if files, _ := filepath.Glob(dir + "/*/*.json"); len(files) != 4 {
		t.Errorf("files %v", files)
	}
}

func TestRefusedStepChangesNothing(t *testing.T) {
	s := openDir(t, t.TempDir())
	before := s.Read()
	no := errors.New("no")
	if _, err := s.Step(func(st local.State) (local.State, error) { return local.State{}, no }); !errors.Is(err, no) {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s.Read(), before) {
		t.Error("something has changed")
	}
}

func TestFullDiskIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "sandboxes")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Step(func(st local.State) (local.State, error) {
		spec := swarmnet.SandboxSpec{Mode: swarmnet.ModeNone}
		spec.Task.Command = []string{"x"}
		st, _, err := st.CreateSandbox("one", spec, local.Env{})
		return st, err
	})
	if err == nil || len(s.Read().Sandboxes) != 0 {
		t.Errorf("%v, and %d sandboxes", err, len(s.Read().Sandboxes))
	}
}

func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	create(t, s, "one")
	create(t, s, "two")
	if err := os.WriteFile(filepath.Join(dir, "sandboxes", "one.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := openDir(t, dir).Read().Sandboxes; len(got) != 1 || got["two"].ID != "two" {
		t.Errorf("left: %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "sandboxes", "one.json.damaged")); err != nil {
		t.Error(err)
	}
}

// Many file systems have nothing in a file after a power cut that was not synced: what was synced last counts then.
func TestC25PowerCutAmidAReport(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	create(t, s, "one")
	before := s.Read().Sandboxes["one"]
	report := func(st swarmnet.TaskState) {
		t.Helper()
		if _, err := s.Step(func(s local.State) (local.State, error) {
			return s.Report("one", 1, swarmnet.TaskStatus{State: st}, time.Unix(4, 0).UTC()), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	report(swarmnet.TaskStarting)
	report(swarmnet.TaskRunning)
	path := filepath.Join(dir, "sandboxes", "one.json")
	if got := openDir(t, dir).Read().Sandboxes["one"]; got.State != swarmnet.SandboxRunning {
		t.Errorf("without a power cut: %+v", got)
	}
	for _, left := range []string{"", "{\"ID\": \"on"} {
		if err := os.WriteFile(path, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := openDir(t, dir).Read().Sandboxes["one"]; !reflect.DeepEqual(got, before) {
			t.Errorf("%q was left in the file, and of the sandbox %+v", left, got)
		}
	}
	if err := os.WriteFile(path+".tmp", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, dir)
	if _, err := s.Step(func(s local.State) (local.State, error) {
		s, sb, err := s.RemoveSandbox("one", true)
		return s.Gone(sb.ID), err
	}); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(dir + "/sandboxes/*"); len(left) != 0 {
		t.Errorf("left of a removed sandbox: %v", left)
	}
}

func TestAwaitAndWatch(t *testing.T) {
	s := openDir(t, t.TempDir())
	ch := make(chan struct{}, 1)
	stop := s.Watch(ch)
	arrived := make(chan error, 1)
	go func() {
		_, err := s.Await(t.Context(), func(st local.State) bool { return len(st.Sandboxes) == 1 })
		arrived <- err
	}()
	create(t, s, "one")
	if err := <-arrived; err != nil {
		t.Error(err)
	}
	<-ch
	stop()
	create(t, s, "two")
	select {
	case <-ch:
		t.Error("told after the watch ended")
	default:
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Await(ctx, func(local.State) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What no step does is told in its order among what steps do, and wakes who follows.
func TestTell(t *testing.T) {
	s, err := Open(t.TempDir(), local.Env{Now: time.Now()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	last := s.LastEvent()
	_, _, more := s.Events(last)
	s.Tell(local.Event{Kind: "node", Action: local.ActionDrift, Detail: "networks: x"})
	select {
	case <-more:
	case <-time.After(5 * time.Second):
		t.Fatal("nobody was woken")
	}
	events, is, _ := s.Events(last)
	if is != last+1 || len(events) != 1 || events[0].Action != local.ActionDrift || events[0].Detail != "networks: x" || events[0].At.IsZero() {
		t.Errorf("events %+v up to %d", events, is)
	}
}
