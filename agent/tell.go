package agent

import (
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/gossip"
)

type row struct {
	network swarmnet.NetworkID
	state   gossip.EndpointState
}

// report tells the managers what they do not know yet.
func (r *runner) report(want desired.Task, st swarmnet.TaskStatus) error {
	was := r.reported
	same := st.State == was.State && st.Err == was.Err && st.Message == was.Message
	if same || st.State < want.Status.State || st.State == want.Status.State && was == (swarmnet.TaskStatus{}) {
		return nil
	}
	if st.At.IsZero() {
		st.At = time.Now()
	}
	if want.Standalone() {
		if err := r.a.reportOwn(r.id, want.SpecVersion, st); err != nil {
			return err
		}
	}
	if !r.a.standalone() { // of the node's own sandboxes those want to know that see their names
		r.a.session.Report(r.id, st)
	}
	r.reported = st
	return nil
}

// publish has gossip say of every endpoint what it should; EndpointUnknown withdraws.
func (r *runner) publish(want desired.Task, state gossip.EndpointState) {
	if state == gossip.EndpointUnknown {
		for ep, was := range r.rows {
			r.a.parts.gossip.DeleteEndpoint(was.network, ep)
			delete(r.rows, ep)
		}
		return
	}
	for i, ep := range want.Endpoints {
		if want.Ready && i < len(want.Sandbox.Interfaces) && want.Sandbox.Interfaces[i].VNI.Local() {
			continue // nobody else knows its network
		}
		if is := (row{ep.Network, state}); r.rows[ep.ID] != is {
			r.rows[ep.ID] = is
			r.a.parts.gossip.SetEndpoint(ep.Network, ep.ID, state)
		}
	}
}
