package agent

import (
	"context"
	"net/netip"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
)

// slowVIPs is a balancer whose virtual addresses come into force when it is told so.
type slowVIPs struct {
	fakeBalancer
	asked  chan ingress.VIPs
	permit chan struct{}
}

func (f slowVIPs) VIPs(ctx context.Context, _ string, v ingress.VIPs) error {
	select {
	case f.asked <- v:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-f.permit:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// balanced is assignments with a service web that has a virtual address with the tasks behind it.
func balanced(revision uint64, tasks ...swarmnet.Task) swarmnet.AssignmentSet {
	set := assignments(revision, tasks...)
	set.Services["web"] = swarmnet.Service{ID: "web", VIPs: []swarmnet.VIP{{Network: "app", Addr: netip.MustParseAddr("10.0.1.99")}}}
	for id, ep := range set.Endpoints {
		ep.Service, ep.State = "web", swarmnet.TaskRunning
		set.Endpoints[id] = ep
	}
	return set
}

// A task counts as drained on a node when no sandbox there has it behind a virtual address, whatever the published ports say.
func TestAcknowledgesWhatEverySandboxBalances(t *testing.T) {
	h, b := newHost(), newBoss(t)
	slow := slowVIPs{fakeBalancer{h}, make(chan ingress.VIPs), make(chan struct{})}
	a, _ := startAgentWith(t, h, slow, t.TempDir(), b.addr)
	t1, t2 := want("t1", swarmnet.DesireRunning, swarmnet.TaskAssigned), want("t2", swarmnet.DesireRunning, swarmnet.TaskAssigned)
	acked := func() uint64 { b.mu.Lock(); defer b.mu.Unlock(); return b.applied }
	// pass lets what is asked come into force until something holds.
	pass := func(what string, ok func() bool) {
		eventually(t, what, func() bool {
			select {
			case <-slow.asked:
				slow.permit <- struct{}{}
			default:
			}
			return ok()
		})
	}
	b.sets <- balanced(1, t1, t2)
	pass("the first set to be acknowledged", func() bool { return acked() == 1 })

	t2.Desired = swarmnet.DesireDraining
	b.sets <- balanced(2, t1, t2)
	for held := false; !held; {
		v := <-slow.asked
		held = len(v) == 1 && len(v[0].Draining) == 1
		if !held {
			slow.permit <- struct{}{}
		}
	}
	eventually(t, "all but the sandbox to be in force", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		n := len(a.debts)
		return n > 0 && a.debts[n-1].revision == 2 && a.debts[n-1].mesh <= a.mesh.Status().Applied && a.debts[n-1].fabric <= a.fabric.Status().Applied
	})
	a.acknowledge()
	a.mu.Lock()
	owed := len(a.debts)
	a.mu.Unlock()
	if owed == 0 {
		t.Error("the node says that it has in force what one sandbox has not")
	}
	slow.permit <- struct{}{}
	pass("the second set to be acknowledged", func() bool { return acked() == 2 })
}
