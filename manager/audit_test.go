package manager

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet/manager/raftnode"
	"github.com/swarmnet/swarmnet/manager/state"
)

// A manager whose state is not the others' finds that out, stops with the way out in its error, and comes back by it.
func TestAudit(t *testing.T) {
	m1 := initCluster(t)
	m2, m3 := m1.addManager(t, "m2"), m1.addManager(t, "m3")
	leader, others := leaderOf(t, []*running{m1, m2, m3})
	wrong, right := others[0], others[1]
	wrong.mayFail = true
	self, _ := leader.View().Node(wrong.cfg.Identity.NodeID())
	touch := func(label string) state.Command {
		spec := self.Spec
		spec.Labels = map[string]string{"touched": label}
		return state.UpdateNode{ID: self.ID, Spec: spec}
	}

	count := 0
	eventually(t, "the quarantine of the one that differs", func() error {
		// This is lost when an entry is applied at the same moment: so it is done again.
		stray, _, _ := state.Apply(wrong.View(), touch("stray"), state.Meta{})
		wrong.replica.now.Store(stray)
		for range 10 {
			count++
			if _, err := right.Propose(t.Context(), "test", touch(fmt.Sprint(count))); err != nil {
				t.Fatal(err)
			}
		}
		if wrong.Raft().Quarantined == "" {
			return errors.New("it goes on")
		}
		return nil
	})
	<-wrong.ended
	raftDir := wrong.raftDir()
	if err := wrong.stop(); !errors.Is(err, raftnode.ErrQuarantined) || !strings.Contains(err.Error(), "remove "+raftDir) {
		t.Fatalf("it ended with %v", err)
	}

	again := start(t, wrong.cfg)
	again.mayFail = true
	<-again.ended
	if err := again.stop(); !errors.Is(err, raftnode.ErrQuarantined) {
		t.Fatalf("it started again: %v", err)
	}
	if err := os.RemoveAll(raftDir); err != nil {
		t.Fatal(err)
	}
	wrong.cfg.JoinVia = []string{right.Addr().String()}
	healed := start(t, wrong.cfg)
	healed.waitReady(t)
	eventually(t, "the same state on all", func() error {
		for _, m := range []*running{leader, right, healed} {
			n, _ := m.View().Node(self.ID)
			if got := n.Spec.Labels["touched"]; got != fmt.Sprint(count) || n.RaftID == self.RaftID {
				return fmt.Errorf("%s sees label %s and number %d", m.Addr(), got, n.RaftID)
			}
		}
		return nil
	})
}
