package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
)

// platter is a disk in memory that fails when it is told to.
type platter struct {
	now, synced map[string]map[string][]byte // folder → id → object; synced is what a power cut leaves at least
	left        int                          // writes until it fails; negative: never
	lasting     bool                         // it goes on failing then, as when the node ends:
	dead        bool                         // it has
	half        bool                         // the write that fails has its effect all the same
}

var errDisk = errors.New("the disk fails")

func newPlatter() *platter {
	return &platter{now: map[string]map[string][]byte{}, synced: map[string]map[string][]byte{}, left: -1}
}

func (p *platter) load(folder string) (map[string][][]byte, error) {
	out := map[string][][]byte{}
	for id, b := range p.now[folder] {
		out[id] = [][]byte{b}
	}
	return out, nil
}

func (p *platter) write(folder string, sync bool, change func(map[string][]byte)) error {
	if p.dead {
		return errDisk
	}
	fails := p.left == 0
	p.left--
	p.dead = fails && p.lasting
	if fails && !p.half {
		return errDisk
	}
	for _, m := range []map[string]map[string][]byte{p.now, p.synced}[:map[bool]int{false: 1, true: 2}[sync]] {
		if m[folder] == nil {
			m[folder] = map[string][]byte{}
		}
		change(m[folder])
	}
	if fails {
		return errDisk
	}
	return nil
}

func (p *platter) replace(folder, id string, b []byte, sync bool) error {
	return p.write(folder, sync, func(m map[string][]byte) { m[id] = b })
}

func (p *platter) remove(folder, id string, sync bool) error {
	return p.write(folder, sync, func(m map[string][]byte) { delete(m, id) })
}

func (p *platter) setAside(folder, id string) (string, error) {
	return "", fmt.Errorf("%s of %s is damaged", id, folder)
}

// powerCut takes back what was not synced, each object for itself or not.
func (p *platter) powerCut(t *rapid.T) {
	for _, folder := range []string{networks, sandboxes} {
		ids := map[string]bool{}
		for id := range p.now[folder] {
			ids[id] = true
		}
		for id := range p.synced[folder] {
			ids[id] = true
		}
		for id := range ids {
			was, had := p.synced[folder][id]
			if string(was) == string(p.now[folder][id]) || rapid.Bool().Draw(t, "written") {
				continue
			}
			if delete(p.now[folder], id); had {
				p.now[folder][id] = was
			}
		}
		p.synced[folder] = maps.Clone(p.now[folder])
	}
}

// TestC25Crash takes random steps on a disk that fails, for once or for good, at any of the writes of a step. After a failure that passes
// the disk says what the store does; after an end, of the daemon or of the power, each object is as before the step or as after it, what
// somebody was told is done is done, and all can be taken away.
func TestC25Crash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		env := local.Env{Now: time.Unix(1, 0).UTC()}
		p, log, ids := newPlatter(), slog.New(slog.DiscardHandler), 0
		s, err := open(p, env, log)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			env.Now = env.Now.Add(time.Second)
			end := rapid.SampledFrom([]string{"", "", "", "daemon", "power"}).Draw(t, "end")
			p.left, p.half, p.lasting = rapid.IntRange(-1, 2).Draw(t, "fails"), rapid.Bool().Draw(t, "half"), end != ""
			ids++
			step := draw(t, ids, env)
			before := s.Read()
			asked := before
			_, err := s.Step(func(st local.State) (local.State, error) {
				next, err := step(st)
				if err == nil {
					asked = next
				}
				return next, err
			})
			told := s.Read()
			failed := errors.Is(err, errDisk)
			if failed && !same(told, before) {
				t.Fatal("a step that was not taken has changed something")
			}
			p.left, p.dead = -1, false
			switch end {
			case "":
				if failed { // should it not have been possible at once, the next step makes the disk say what the store does
					if _, err := s.Step(func(st local.State) (local.State, error) { return st, nil }); err != nil {
						t.Fatal(err)
					}
				}
				if again, err := open(p, env, log); err != nil || !same(again.Read(), told) {
					t.Fatalf("%v: the disk says %+v, the store %+v", err, again.Read(), told)
				}
				continue
			case "power":
				p.powerCut(t)
			}
			if s, err = open(p, env, log); err != nil {
				t.Fatal(err)
			}
			is := s.Read()
			switch {
			case end == "daemon":
				between(t, before, asked, is)
			case !failed:
				promised(t, told, is)
			}
			whole(t, is)
		}
		p.left = -1
		empty(t, s)
		if len(p.now[sandboxes]) != 0 || len(p.now[networks]) != 3 {
			t.Fatalf("left on the disk: %d sandboxes, %d networks", len(p.now[sandboxes]), len(p.now[networks]))
		}
	})
}

func same(a, b local.State) bool {
	return equal(a.Networks, b.Networks) && equal(a.Sandboxes, b.Sandboxes)
}

// equal compares what the disk holds of values.
func equal(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// draw chooses a step.
func draw(t *rapid.T, id int, env local.Env) func(local.State) (local.State, error) {
	box, net := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "box"), rapid.SampledFrom([]string{"x", "y", "bridge"}).Draw(t, "net")
	only := func(s local.State, _ local.Sandbox, err error) (local.State, error) { return s, err }
	return map[string]func(local.State) (local.State, error){
		"network": func(s local.State) (local.State, error) {
			s, _, err := s.CreateNetwork(swarmnet.NetworkID(fmt.Sprint("n", id)), swarmnet.NetworkSpec{Name: net}, env)
			return s, err
		},
		"network rm": func(s local.State) (local.State, error) { return s.RemoveNetwork(net) },
		"run": func(s local.State) (local.State, error) {
			spec := swarmnet.SandboxSpec{Name: box, Networks: []swarmnet.NetworkAttachment{{Network: swarmnet.NetworkID(net)}}}
			spec.Task.Command = []string{"x"}
			s, sb, err := s.CreateSandbox(swarmnet.TaskID(fmt.Sprint("s", id)), spec, env)
			if err != nil {
				return s, err
			}
			return only(s.Start(string(sb.ID), env))
		},
		"start": func(s local.State) (local.State, error) { return only(s.Start(box, env)) },
		"stop":  func(s local.State) (local.State, error) { return only(s.Stop(box, "", -1)) },
		"connect": func(s local.State) (local.State, error) {
			return only(s.Connect(box, swarmnet.NetworkAttachment{Network: swarmnet.NetworkID(net)}, env))
		},
		"disconnect": func(s local.State) (local.State, error) { return only(s.Disconnect(box, net, env)) },
		"report": func(s local.State) (local.State, error) {
			sb, err := s.Sandbox(box)
			if err != nil {
				return s, err
			}
			st := rapid.SampledFrom([]swarmnet.TaskState{swarmnet.TaskRunning, swarmnet.TaskComplete}).Draw(t, "state")
			return s.Report(sb.ID, sb.Run, swarmnet.TaskStatus{State: st}, env.Now), nil
		},
		"rm":   func(s local.State) (local.State, error) { return only(s.RemoveSandbox(box, true)) },
		"gone": func(s local.State) (local.State, error) { sb, err := s.Sandbox(box); return s.Gone(sb.ID), err },
	}[rapid.SampledFrom([]string{"network", "network rm", "run", "run", "start", "stop", "connect", "disconnect", "report", "rm", "gone"}).Draw(t, "step")]
}

// between checks that each object is as before a step or as after it.
func between(t *rapid.T, before, after, is local.State) {
	for _, s := range []local.State{before, after, is} {
		for id := range s.Sandboxes {
			if is := is.Sandboxes[id]; !equal(is, before.Sandboxes[id]) && !equal(is, after.Sandboxes[id]) {
				t.Fatalf("sandbox %s is %+v", id, is)
			}
		}
		for id := range s.Networks {
			if is := is.Networks[id]; !equal(is, before.Networks[id]) && !equal(is, after.Networks[id]) {
				t.Fatalf("network %s is %+v", id, is)
			}
		}
	}
}

// promised checks that what somebody was told is done outlasts a power cut: all but what became of processes, and what was being removed.
func promised(t *rapid.T, told, is local.State) {
	for id, n := range told.Networks {
		if !equal(is.Networks[id].Network, n.Network) {
			t.Fatalf("network %s was %+v, is %+v", id, n, is.Networks[id])
		}
	}
	if len(told.Networks) != len(is.Networks) {
		t.Fatal("a removed network is back")
	}
	for id, sb := range told.Sandboxes {
		now := is.Sandboxes[id]
		if !equal(now.Spec, sb.Spec) || !equal(now.Endpoints, sb.Endpoints) || now.Wanted != sb.Wanted || now.Removing != sb.Removing {
			t.Fatalf("sandbox %s was %+v, is %+v", id, sb, now)
		}
	}
	for id, sb := range is.Sandboxes {
		if _, there := told.Sandboxes[id]; !there && !sb.Removing {
			t.Fatalf("sandbox %s is back", id)
		}
	}
}

// whole checks that nothing refers to what is not there, and that no address is given twice.
func whole(t *rapid.T, s local.State) {
	held := map[string]swarmnet.TaskID{}
	for id, sb := range s.Sandboxes {
		if len(sb.Endpoints) != len(sb.Spec.Networks) {
			t.Fatalf("%d endpoints on %d networks", len(sb.Endpoints), len(sb.Spec.Networks))
		}
		for _, ep := range sb.Endpoints {
			at := fmt.Sprint(ep.Network, ep.Addrs)
			if other, taken := held[at]; taken && !sb.Removing && !s.Sandboxes[other].Removing {
				t.Fatalf("%s is held by %s and %s", at, other, id)
			}
			held[at] = id
			if _, there := s.Networks[ep.Network]; !there && !sb.Removing {
				t.Fatalf("sandbox %s is on network %s, which is gone", id, ep.Network)
			}
		}
	}
}

// empty takes all away that was made.
func empty(t *rapid.T, s *Store) {
	_, err := s.Step(func(st local.State) (local.State, error) {
		for id := range st.Sandboxes {
			next, _, err := st.RemoveSandbox(string(id), true)
			if err != nil {
				return st, err
			}
			st = next.Gone(id)
		}
		for id := range st.Networks {
			if local.IsPredefined(id) {
				continue
			}
			next, err := st.RemoveNetwork(string(id))
			if err != nil {
				return st, err
			}
			st = next
		}
		return st, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
