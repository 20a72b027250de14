package orchestrator

import (
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// Run plans on a draft and returns when it wants to plan again though nothing changes; zero: not by itself. No absence of a node counts from
// before led, when there may have been no leader.
func Run(d *state.Draft, led time.Time) time.Time {
	cluster, ok := d.View().Cluster()
	if !ok {
		return time.Time{}
	}
	p := &planner{d: d, now: d.Now(), led: led, spec: cluster.Spec}
	p.nodes()
	var ids []swarmnet.ServiceID
	for v := range d.View().Services() {
		ids = append(ids, v.ID)
	}
	for _, id := range ids {
		p.service(id)
	}
	return p.due
}

type planner struct {
	d    *state.Draft
	now  time.Time
	led  time.Time
	spec swarmnet.ClusterSpec
	due  time.Time
	// applied is acknowledged's answer.
	applied *uint64
}

// reached reports whether a time has come, and otherwise asks to be called then.
func (p *planner) reached(t time.Time) bool {
	if !t.After(p.now) {
		return true
	}
	if p.due.IsZero() || t.Before(p.due) {
		p.due = t
	}
	return false
}

// away is since when a node without a session could have had one.
func (p *planner) away(n swarmnet.Node) time.Time {
	if p.led.After(n.Status.Since) {
		return p.led
	}
	return n.Status.Since
}

// nodes gives up those that were away for too long, and the sessions that died with their manager.
func (p *planner) nodes() {
	var away, lost []swarmnet.Node
	for n := range p.d.View().Nodes() {
		switch n.Status.State {
		case swarmnet.NodeDisconnected:
			if p.reached(p.away(n).Add(p.spec.DownAfter)) {
				away = append(away, n)
			}
		case swarmnet.NodeReady:
			m, ok := p.d.View().Node(n.Status.Manager)
			if n.Status.Manager != "" && n.Status.Manager != n.ID && (!ok || m.Status.State == swarmnet.NodeDown) {
				lost = append(lost, n)
			}
		}
	}
	for _, n := range away {
		p.d.Do(state.MarkNodeDown{Node: n.ID, Since: n.Status.Since})
	}
	for _, n := range lost {
		p.d.Do(state.CloseSession{Node: n.ID, Epoch: n.Epoch, Manager: n.Status.Manager})
	}
}
