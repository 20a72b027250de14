package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/agent/local/store"
)

// machine is what agents work on: in memory, or a real kernel.
type machine interface {
	// boot makes the parts of a new agent; changed is to be told of workloads.
	boot(cfg Config, changed func(swarmnet.TaskID)) (parts, error)
	// kill ends a workload's process behind the agent's back.
	kill(id swarmnet.TaskID)
	// view tells what there is, a line a thing.
	view(s local.State) []string
	// expect tells what there should be of these sandboxes, those that have a stack and those with a process.
	expect(s local.State, stacks, processes []local.Sandbox) []string
}

// sequence takes random steps as the commands of a person, and ends the daemon now and then.
type sequence struct {
	*testing.T
	machine
	rand *rand.Rand
	dir  string
	log  []string

	local *store.Store
	agent *Agent
	life  *life
	ended chan error
	ids   int

	// The model.
	networks map[string]bool
	boxes    map[string]*modelBox
}

// modelBox is what must be true of a sandbox.
type modelBox struct {
	id       swarmnet.TaskID
	networks map[string]bool
	up       bool // its process runs
	restarts bool // by its policy
	shares   string
	ports    []uint16
}

func newSequence(t *testing.T, m machine, dir string, seed uint64) *sequence {
	return &sequence{T: t, machine: m, rand: rand.New(rand.NewPCG(seed, 1)), dir: dir, log: []string{fmt.Sprint("seed ", seed)},
		networks: map[string]bool{"bridge": true}, boxes: map[string]*modelBox{}}
}

func (q *sequence) say(format string, args ...any) {
	q.log = append(q.log, fmt.Sprintf(format, args...))
}

func (q *sequence) fail(format string, args ...any) {
	q.Helper()
	q.Fatalf("%s\nafter %s", fmt.Sprintf(format, args...), strings.Join(q.log, "\n      "))
}

// start begins another daemon's life on what is there.
func (q *sequence) start() {
	q.Helper()
	var err error
	if q.local, err = store.Open(filepath.Join(q.dir, "local"), local.Env{Now: time.Now()}, slog.New(slog.DiscardHandler)); err != nil {
		q.fail("%v", err)
	}
	cfg := Config{DataDir: q.dir, RunDir: q.dir, Hostname: "h1", Local: q.local}.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	q.life = &life{end: cancel}
	q.life.left.Store(-1)
	var a atomic.Pointer[Agent]
	p, err := q.boot(cfg, func(id swarmnet.TaskID) {
		if a := a.Load(); a != nil {
			a.workloadChanged(id)
		}
	})
	if err != nil {
		q.fail("%v", err)
	}
	q.agent = newAgent(cfg, mortal(p, q.life), nil)
	a.Store(q.agent)
	q.ended = make(chan error, 1)
	go func(a *Agent, ended chan error) { ended <- a.Run(ctx) }(q.agent, q.ended)
}

// stop waits until the daemon has ended, which it was told to.
func (q *sequence) stop() {
	q.Helper()
	q.life.end()
	select {
	case err := <-q.ended:
		if err != nil && !errors.Is(err, errDead) {
			q.fail("the agent ended: %v", err)
		}
	case <-time.After(20 * time.Second):
		q.fail("the agent does not end")
	}
}

// until waits, beginning the next daemon's life where one has ended.
func (q *sequence) until(what string, ok func(local.State) bool) {
	q.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(q.local.Read()); time.Sleep(time.Millisecond) {
		if q.life.dead.Load() {
			q.stop()
			q.start()
		}
		if time.Now().After(deadline) {
			q.fail("waited in vain until %s: %+v", what, q.local.Read().SortedSandboxes())
		}
	}
}

func (q *sequence) step(f func(local.State) (local.State, local.Sandbox, error)) (sb local.Sandbox, err error) {
	_, err = q.local.Step(func(s local.State) (next local.State, err error) { next, sb, err = f(s); return next, err })
	return sb, err
}

// refused fails unless a step went as it had to.
func (q *sequence) refused(what string, err error, must bool) bool {
	q.Helper()
	q.say("%s: %v", what, err)
	if (err != nil) != must {
		q.fail("it should have been the other way")
	}
	return err != nil
}

func (q *sequence) env() local.Env { return local.Env{Now: time.Now()} }

func (q *sequence) one(in ...string) string { return in[q.rand.IntN(len(in))] }

func (q *sequence) chance(percent int) bool { return q.rand.IntN(100) < percent }

// sharers are those that use a sandbox's stack.
func (q *sequence) sharers(box string) (up bool) {
	for _, b := range q.boxes {
		up = up || b.shares == box && b.up
	}
	return up
}

// take takes n steps and then looks at everything.
func (q *sequence) take(n int) {
	q.Helper()
	for range n {
		box, net := q.one("a", "b", "c", "d"), q.one("bridge", "x", "y", "z")
		b := q.boxes[box]
		switch k := q.rand.IntN(100); {
		case k < 12:
			q.createNetwork(net)
		case k < 17:
			q.removeNetwork(net)
		case k < 45 && b == nil:
			q.run(box, net)
		case k < 55:
			q.connect(box, net)
		case k < 63:
			q.disconnect(box, net)
		case k < 71:
			q.stopBox(box)
		case k < 79:
			q.startBox(box)
		case k < 85:
			q.remove(box)
		case k < 90:
			q.die(box)
		case k < 95:
			q.say("the daemon is about to be killed")
			q.life.left.Store(int64(q.rand.IntN(12)))
		default:
			q.say("the daemon is restarted")
			q.stop()
			q.start()
		}
	}
	q.quiet()
}

func (q *sequence) createNetwork(net string) {
	q.Helper()
	q.ids++
	_, err := q.local.Step(func(s local.State) (local.State, error) {
		s, _, err := s.CreateNetwork(swarmnet.NetworkID(fmt.Sprintf("%d%s", q.ids, net)), swarmnet.NetworkSpec{Name: net}, q.env())
		return s, err
	})
	if !q.refused("network create "+net, err, q.networks[net]) {
		q.networks[net] = true
	}
}

func (q *sequence) removeNetwork(net string) {
	q.Helper()
	used := net == "bridge" || !q.networks[net]
	for _, b := range q.boxes {
		used = used || b.networks[net]
	}
	_, err := q.local.Step(func(s local.State) (local.State, error) { return s.RemoveNetwork(net) })
	if !q.refused("network rm "+net, err, used) {
		delete(q.networks, net)
	}
}

func (q *sequence) run(box, net string) {
	q.Helper()
	b := &modelBox{networks: map[string]bool{}, up: true, restarts: q.chance(40)}
	spec := swarmnet.SandboxSpec{Name: box}
	spec.Task.Command = []string{"sleep", "100000"}
	possible := true
	switch owner := q.one("a", "b", "c", "d"); {
	case q.chance(15):
		spec.Mode = swarmnet.ModeNone
	case q.chance(25) && q.boxes[owner] != nil && q.boxes[owner].shares == "" && q.boxes[owner].up:
		q.settle(owner)
		spec.Mode, spec.SharedWith = swarmnet.ModeShared, swarmnet.TaskID(owner)
		b.shares, b.restarts = owner, false
	default:
		nets := []string{net}
		if second := q.one("bridge", "x", "y", "z"); q.chance(30) && second != net {
			nets = append(nets, second)
		}
		for _, n := range nets {
			b.networks[n] = true
			possible = possible && q.networks[n]
			spec.Networks = append(spec.Networks, swarmnet.NetworkAttachment{Network: swarmnet.NetworkID(n)})
		}
		if q.chance(40) {
			port := uint16(19000 + q.rand.IntN(3))
			b.ports = []uint16{port}
			spec.Ports = []swarmnet.PortSpec{{Protocol: swarmnet.TCP, Published: port, Target: 80, Mode: swarmnet.PublishHost}}
		}
	}
	if b.restarts {
		spec.Task.Restart = swarmnet.RestartPolicy{Condition: swarmnet.RestartAny, Delay: time.Millisecond}
	} else {
		spec.Task.Restart.Condition = swarmnet.RestartNone
	}
	q.ids++
	b.id = swarmnet.TaskID(fmt.Sprintf("%d%s", q.ids, box))
	_, err := q.step(func(s local.State) (local.State, local.Sandbox, error) { return s.CreateSandbox(b.id, spec, q.env()) })
	if q.refused(fmt.Sprintf("create %s on %v, ports %v, shares %q, restarts %t", box, slices.Sorted(maps.Keys(b.networks)), b.ports, b.shares, b.restarts), err, !possible) {
		return
	}
	q.boxes[box] = b
	b.up = false
	if !q.startBox(box) {
		q.remove(box)
	}
}

// portTaken says whether another sandbox has a port of this one, or may have it still.
func (q *sequence) portTaken(box string) (surely, perhaps bool) {
	for name, other := range q.boxes {
		for _, p := range other.ports {
			if name != box && slices.Contains(q.boxes[box].ports, p) {
				surely, perhaps = surely || other.up, true
			}
		}
	}
	return surely, perhaps
}

// startBox reports whether the sandbox runs.
func (q *sequence) startBox(box string) bool {
	q.Helper()
	b := q.boxes[box]
	was := q.local.Read()
	now, _ := was.Sandbox(box)
	sb, err := q.step(func(s local.State) (local.State, local.Sandbox, error) { return s.Start(box, q.env()) })
	q.say("start %s: %v", box, err)
	if b == nil {
		q.refused("start "+box, err, true)
		return false
	}
	surely, perhaps := q.portTaken(box)
	ending := now.Active() && !now.Wanted // at least it was a moment ago
	ownerDown := b.shares != "" && (q.boxes[b.shares] == nil || !q.boxes[b.shares].up || q.boxes[b.shares].id != now.Spec.SharedWith)
	switch {
	case b.up && err != nil:
		q.fail("what runs cannot be started: %v", err)
	case b.up:
	case err == nil && (surely || ownerDown):
		q.fail("%s was started, although its port is taken (%t) or its stack is not there (%t)", box, surely, ownerDown)
	case err != nil && !ending && !perhaps && b.shares == "":
		q.fail("%s should have been started: %v", box, err)
	case err == nil:
		b.up = true
		if q.chance(60) {
			q.settle(box)
		}
	}
	_ = sb
	return b.up
}

// settle waits as the commands do until a sandbox runs that should.
func (q *sequence) settle(box string) {
	q.Helper()
	b := q.boxes[box]
	q.until(box+" runs", func(s local.State) bool { return s.Sandboxes[b.id].State == swarmnet.SandboxRunning })
}

func (q *sequence) stopBox(box string) {
	q.Helper()
	b := q.boxes[box]
	_, err := q.step(func(s local.State) (local.State, local.Sandbox, error) { return s.Stop(box, "SIGKILL", 0) })
	if q.refused("stop "+box, err, b == nil) {
		return
	}
	b.up = false
	defer q.resolve(box)
	if q.chance(60) {
		q.until(box+" has stopped", func(s local.State) bool { return !s.Sandboxes[b.id].Active() })
	}
}

// resolve finds out what became of those that were just being started on a stack whose owner has ended: they are up, or they were refused.
func (q *sequence) resolve(owner string) {
	q.Helper()
	for name, b := range q.boxes {
		if b.shares == owner && b.up {
			q.until(name+" runs or not", func(s local.State) bool {
				sb := s.Sandboxes[b.id]
				b.up = sb.State == swarmnet.SandboxRunning
				return b.up || !sb.Active()
			})
		}
	}
}

func (q *sequence) remove(box string) {
	q.Helper()
	b := q.boxes[box]
	_, err := q.step(func(s local.State) (local.State, local.Sandbox, error) { return s.RemoveSandbox(box, true) })
	if q.refused("rm -f "+box, err, b == nil) {
		return
	}
	delete(q.boxes, box)
	defer q.resolve(box)
	q.until(box+" is gone", func(s local.State) bool { _, there := s.Sandboxes[b.id]; return !there })
}

func (q *sequence) connect(box, net string) {
	q.Helper()
	b := q.boxes[box]
	_, err := q.step(func(s local.State) (local.State, local.Sandbox, error) {
		return s.Connect(box, swarmnet.NetworkAttachment{Network: swarmnet.NetworkID(net)}, q.env())
	})
	if !q.refused("connect "+box+" to "+net, err, b == nil || !q.networks[net] || b.networks[net] || b.shares != "") {
		b.networks[net] = true
	}
}

func (q *sequence) disconnect(box, net string) {
	q.Helper()
	b := q.boxes[box]
	_, err := q.step(func(s local.State) (local.State, local.Sandbox, error) { return s.Disconnect(box, net, q.env()) })
	if !q.refused("disconnect "+box+" from "+net, err, b == nil || !b.networks[net]) {
		delete(b.networks, net)
	}
}

// die ends a process that nobody asked to end.
func (q *sequence) die(box string) {
	q.Helper()
	b := q.boxes[box]
	if b == nil || !b.up {
		return
	}
	q.settle(box)
	q.say("the process of %s dies", box)
	run := q.local.Read().Sandboxes[b.id].Run
	q.kill(b.id)
	defer q.resolve(box)
	b.up = b.restarts
	q.until(box+" is known to have ended", func(s local.State) bool {
		sb := s.Sandboxes[b.id]
		return sb.Run > run || !sb.Active()
	})
}

// quiet waits until all is as the model says, and fails if it does not come to be so.
func (q *sequence) quiet() {
	q.Helper()
	q.life.left.Store(-1)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if q.life.dead.Load() {
			q.stop()
			q.start()
		}
		s := q.local.Read()
		wrong := q.known(s)
		want, have := q.expected(s), q.view(s)
		slices.Sort(have)
		slices.Sort(want)
		if wrong == "" && slices.Equal(want, have) {
			return
		}
		if time.Now().After(deadline) {
			q.fail("%s\nmissing: %s\ntoo much: %s", wrong, strings.Join(without(want, have), "\n         "), strings.Join(without(have, want), "\n          "))
		}
	}
}

// known compares the state with the model.
func (q *sequence) known(s local.State) string {
	if len(s.Sandboxes) != len(q.boxes) || len(s.Networks) != len(q.networks)+2 {
		return fmt.Sprintf("%d sandboxes and %d networks, want %d and %d", len(s.Sandboxes), len(s.Networks), len(q.boxes), len(q.networks)+2)
	}
	for name, b := range q.boxes {
		sb := s.Sandboxes[b.id]
		on := map[string]bool{}
		for _, ep := range sb.Endpoints {
			on[s.Networks[ep.Network].Spec.Name] = true
		}
		if (sb.State == swarmnet.SandboxRunning) != b.up || sb.Active() != b.up || !maps.Equal(on, b.networks) {
			return fmt.Sprintf("%s is %s on %v, should be up: %t, on %v", name, sb.State, on, b.up, b.networks)
		}
	}
	return ""
}

func (q *sequence) expected(s local.State) []string {
	var stacks, processes []local.Sandbox
	for name, b := range q.boxes {
		sb := s.Sandboxes[b.id]
		if b.shares == "" && (b.up || q.sharers(name)) {
			stacks = append(stacks, sb)
		}
		if b.up {
			processes = append(processes, sb)
		}
	}
	return q.expect(s, stacks, processes)
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// clear takes everything away.
func (q *sequence) clear() {
	q.Helper()
	for _, box := range slices.Sorted(maps.Keys(q.boxes)) {
		q.remove(box)
	}
	for _, net := range slices.Sorted(maps.Keys(q.networks)) {
		if net != "bridge" {
			q.removeNetwork(net)
		}
	}
	q.quiet()
}
