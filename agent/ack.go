package agent

import "github.com/swarmnet/swarmnet/agent/session"

// debt is an acknowledgement that the managers are owed: of a revision, when its networks and published ports, which are the loops' states of
// these numbers, are in force, and its virtual addresses in every sandbox. (Names are in force at once.)
type debt struct{ revision, fabric, mesh uint64 }

// mostDebts bounds what is owed while something cannot be brought into force; the newest count.
const mostDebts = 64

// owe notes what was planned from a set.
func (a *Agent) owe(d debt) {
	a.mu.Lock()
	if n := len(a.debts); n > 0 && a.debts[n-1].revision == d.revision {
		a.debts[n-1] = d // the same set with fresher gossip
	} else {
		a.debts = append(a.debts[max(0, n-mostDebts+1):], d)
	}
	a.mu.Unlock()
	a.acknowledge()
}

// acknowledge tells the managers the newest revision that is in force. It is called whenever something has come into force.
func (a *Agent) acknowledge() {
	fabric, mesh := a.fabric.Status().Applied, a.mesh.Status().Applied
	a.mu.Lock()
	defer a.mu.Unlock()
	done := 0
	for i, d := range a.debts {
		if d.fabric <= fabric && d.mesh <= mesh {
			done = i + 1
		}
	}
	if done == 0 {
		return
	}
	for _, r := range a.runners {
		if !r.balances() {
			return
		}
	}
	a.session.Applied(a.debts[done-1].revision)
	a.inForce.Store(a.debts[done-1].revision)
	a.debts = append([]debt(nil), a.debts[done:]...)
}

// forgive drops what is owed for revisions of another cluster.
func (a *Agent) forgive(r session.Reading) {
	if a.set.Cluster.ID != r.Set.Cluster.ID || a.set.Cluster.Epoch != r.Set.Cluster.Epoch {
		a.debts = nil
		a.inForce.Store(0)
	}
}
