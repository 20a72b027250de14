package agent

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/internal/sequences"
)

// TestC25Sequences takes random sequences of what a person does to sandboxes, with daemons that end between any two changes of the host,
// and compares the host with a model. The host is in memory; TestKernelC25Sequences has a real one.
func TestC25Sequences(t *testing.T) {
	const atOnce = 32 // they mostly wait
	for worker := range atOnce {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			for i := worker; i < sequences.Count(1940); i += atOnce {
				h := newHost()
				q := newSequence(t, memory{h}, t.TempDir(), uint64(i))
				q.start()
				q.take(5 + q.rand.IntN(15))
				if q.chance(30) {
					q.powerCut(h)
				}
				q.clear()
				q.stop()
			}
		})
	}
}

// powerCut ends everything that runs, and the daemon first.
func (q *sequence) powerCut(h *host) {
	q.say("power cut")
	q.stop()
	h.do("", func() { clear(h.workloads); clear(h.sandboxes); h.fabric.Networks = nil; h.mesh.Ports = nil })
	for _, b := range q.boxes {
		b.up = b.up && b.restarts
	}
	q.start()
	q.quiet()
}

// memory is a machine in memory.
type memory struct{ *host }

func (m memory) boot(cfg Config, changed func(swarmnet.TaskID)) (parts, error) {
	// Without a fabric a node with nothing on it is left alone. This one has had one.
	if err := errors.Join(os.MkdirAll(cfg.netnsDir(), 0o700), os.WriteFile(cfg.fabricFile(), nil, 0o600)); err != nil {
		return parts{}, err
	}
	m.do("", func() { clear(m.attached) })
	m.changed = changed
	return parts{fakeFabric(m), fakeBalancer(m), fakeSandboxes(m), silence{}, fakeResolver(m), fakeExecutor(m), deaf{}, nil, wide{}}, nil
}

func (m memory) kill(id swarmnet.TaskID) {
	fakeExecutor(m).set(id, "", func(st *executor.Status) { st.Phase, st.ExitCode, st.EndedAt = executor.Ended, 137, time.Now() })
}

func (m memory) view(local.State) (out []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, s := range m.sandboxes {
		out = append(out, "stack "+name)
		for _, i := range s.Interfaces {
			out = append(out, fmt.Sprintf("interface %s of %s: %s %v on %s via %v", i.Name, name, i.MAC, i.Addrs, i.VNI, i.DefaultVia))
		}
	}
	for id, w := range m.workloads {
		out = append(out, "record "+string(id))
		if w.Phase == executor.Running {
			out = append(out, "process "+string(id))
		}
	}
	for id := range m.attached {
		out = append(out, "resolver "+string(id))
	}
	for _, n := range m.fabric.Networks {
		out = append(out, fmt.Sprintf("network %s %s %v", n.VNI, n.MAC, n.Addrs))
		for _, l := range n.Locals {
			out = append(out, fmt.Sprintf("neighbour %s %s %v", n.VNI, l.MAC, l.Addrs))
		}
	}
	for _, p := range m.mesh.Ports {
		out = append(out, fmt.Sprintf("port %d", p.Published))
		for _, b := range p.Backends {
			out = append(out, fmt.Sprintf("port %d leads to %s:%d", p.Published, b.Addr, b.Port))
		}
	}
	return out
}

func (m memory) expect(s local.State, stacks, processes []local.Sandbox) (out []string) {
	networks := map[string]bool{}
	for _, sb := range stacks {
		out = append(out, "stack "+string(sb.ID), "resolver "+string(sb.ID))
		for _, ep := range sb.Endpoints {
			n := s.Networks[ep.Network]
			via := "[]"
			if ep.DefaultRoute {
				via = fmt.Sprintf("[%s]", n.Subnets[0].Gateway)
			}
			networks[fmt.Sprintf("network %s %s [%s/%d]", n.VNI, swarmnet.GatewayMAC(n.VNI), n.Subnets[0].Gateway, n.Subnets[0].Prefix.Bits())] = true
			out = append(out, fmt.Sprintf("neighbour %s %s [%s]", n.VNI, ep.MAC, ep.Addrs[0].Addr()),
				fmt.Sprintf("interface %s of %s: %s %v on %s via %s", sb.Interfaces[n.ID], sb.ID, ep.MAC, ep.Addrs, n.VNI, via))
		}
	}
	for _, sb := range processes {
		out = append(out, "process "+string(sb.ID))
		for _, p := range sb.Spec.Ports {
			out = append(out, fmt.Sprintf("port %d", p.Published))
			for _, ep := range sb.Endpoints {
				if ep.DefaultRoute {
					out = append(out, fmt.Sprintf("port %d leads to %s:%d", p.Published, ep.Addrs[0].Addr(), p.Target))
				}
			}
		}
	}
	for id, sb := range s.Sandboxes {
		if m.hasRecord(sb) {
			out = append(out, "record "+string(id))
		}
	}
	return append(out, slices.Collect(maps.Keys(networks))...)
}

// hasRecord reports whether a sandbox's process has a record: once it ran, until a power cut.
func (m memory) hasRecord(sb local.Sandbox) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, has := m.workloads[sb.ID]
	return has || sb.State == swarmnet.SandboxRunning
}
