package state

import (
	"math"

	"github.com/swarmnet/swarmnet"
)

func (x *tx) node(id swarmnet.NodeID) (swarmnet.Node, *Rejection) {
	if it, ok := x.s.nodes.get(string(id)); ok {
		return it.v, nil
	}
	return swarmnet.Node{}, reject(NotFound, "node %s does not exist", id)
}

func (c CreateNode) apply(x *tx) *Rejection {
	n := c.Node
	switch {
	case !swarmnet.ValidID(n.ID):
		return reject(InvalidArgument, "%q is not the id of a node", n.ID)
	case x.s.nodes.has(string(n.ID)):
		return reject(AlreadyExists, "node %s exists already", n.ID)
	}
	if err := n.Spec.Validate(); err != nil {
		return invalid(err)
	}
	if r := x.freeNodeName(n.ID, n.Spec.Name); r != nil {
		return r
	}
	var ok bool
	if n.Index, ok = x.s.freeNodeIndex(); !ok {
		return reject(FailedPrecondition, "the cluster has %d nodes, which is all that it can have: remove one first", math.MaxUint16)
	}
	n.Epoch, n.RaftID, n.Ingress = 0, 0, nil
	n.Status = swarmnet.NodeStatus{Since: x.m.At}
	x.putNode(n)
	x.result.ID = string(n.ID)
	return nil
}

// freeNodeName checks a name that a user gives. Hostnames may be shared; a reference to one of them then names them all.
func (x *tx) freeNodeName(id swarmnet.NodeID, name string) *Rejection {
	if name == "" {
		return nil
	}
	for k := range x.s.index[byNodeName].prefix(name + sep) {
		if other := lastPart(k); other != string(id) {
			return reject(AlreadyExists, "node %s has the name %s already: choose another", swarmnet.ShortID(other), name)
		}
	}
	return nil
}

func (s *State) freeNodeIndex() (uint16, bool) {
	want := uint16(1)
	for k := range s.index[byNodeIndex].all() {
		if fromBE16(k) != want {
			break
		}
		if want == math.MaxUint16 {
			return 0, false
		}
		want++
	}
	return want, true
}

func (c UpdateNode) apply(x *tx) *Rejection {
	n, r := x.node(c.ID)
	if r != nil {
		return r
	}
	if err := c.Spec.Validate(); err != nil {
		return invalid(err)
	}
	if c.Version != 0 && c.Version != n.Meta.Updated {
		return reject(FailedPrecondition, "node %s was changed meanwhile: read it again and repeat the change", n.Name())
	}
	if r := x.freeNodeName(n.ID, c.Spec.Name); r != nil {
		return r
	}
	if n.Spec.Role == swarmnet.RoleManager && c.Spec.Role == swarmnet.RoleWorker {
		if r := x.mayDemote(n); r != nil {
			return r
		}
	}
	n.Spec = c.Spec
	x.putNode(n)
	return nil
}

// mayDemote refuses what would leave the managers without a majority.
func (x *tx) mayDemote(n swarmnet.Node) *Rejection {
	var left, ready int
	for o := range x.s.Nodes() {
		if o.ID != n.ID && o.Spec.Role == swarmnet.RoleManager {
			left++
			if o.Status.State == swarmnet.NodeReady {
				ready++
			}
		}
	}
	switch {
	case left == 0:
		return reject(FailedPrecondition, "node %s is the last manager: promote another node first", n.Name())
	case ready < left/2+1 && n.Status.State == swarmnet.NodeReady:
		return reject(FailedPrecondition, "without node %s only %d of %d managers would be up, which is no majority: bring the others back first", n.Name(), ready, left)
	}
	return nil
}

func (c SetNodeRole) apply(x *tx) *Rejection {
	n, r := x.node(c.ID)
	if r != nil {
		return r
	}
	if c.Role > swarmnet.RoleManager {
		return reject(InvalidArgument, "role %s does not exist: worker and manager do", c.Role)
	}
	if n.Role != c.Role {
		n.Role = c.Role
		x.putNode(n)
	}
	return nil
}

func (c SetNodeCert) apply(x *tx) *Rejection {
	n, r := x.node(c.ID)
	if r != nil {
		return r
	}
	if c.Role > swarmnet.RoleManager {
		return reject(InvalidArgument, "role %s does not exist: worker and manager do", c.Role)
	}
	if n.Role != c.Role || n.CertSerial != c.Serial {
		n.Role, n.CertSerial = c.Role, c.Serial
		x.putNode(n)
	}
	return nil
}

func (c AssignRaftID) apply(x *tx) *Rejection {
	n, r := x.node(c.Node)
	if r != nil {
		return r
	}
	if n.RaftID == 0 {
		x.write()
		n.RaftID = x.s.nextRaftID
		x.s.nextRaftID++
		x.putNode(n)
	}
	x.result.RaftID = n.RaftID
	return nil
}

func (c SetRaftID) apply(x *tx) *Rejection {
	n, r := x.node(c.Node)
	if r != nil {
		return r
	}
	if c.RaftID == 0 || c.RaftID == math.MaxUint64 {
		return reject(InvalidArgument, "%d is not a raft id", c.RaftID)
	}
	for o := range x.s.Nodes() {
		if o.ID != n.ID && o.RaftID == c.RaftID {
			return reject(AlreadyExists, "node %s has the raft id %d", o.Name(), c.RaftID)
		}
	}
	if n.RaftID == c.RaftID {
		return nil
	}
	n.RaftID = c.RaftID
	x.putNode(n)
	x.s.nextRaftID = max(x.s.nextRaftID, c.RaftID+1)
	return nil
}

func (c ClearRaftID) apply(x *tx) *Rejection {
	n, r := x.node(c.Node)
	if r != nil {
		return r
	}
	if n.RaftID != 0 {
		n.RaftID = 0
		x.putNode(n)
	}
	return nil
}

func (c RemoveNode) apply(x *tx) *Rejection {
	n, r := x.node(c.ID)
	switch {
	case r != nil:
		return r
	case n.Spec.Role == swarmnet.RoleManager || n.Role == swarmnet.RoleManager || n.RaftID != 0:
		return reject(FailedPrecondition, "node %s is a manager: demote it first", n.Name())
	case n.Status.State == swarmnet.NodeReady && !c.Force:
		return reject(FailedPrecondition, "node %s is up: let it leave first, or remove it with --force", n.Name())
	}
	x.orphan(n, "its node was removed")
	for _, t := range x.standalone(n.ID) {
		x.detach(t, "")
	}
	x.deleteNode(n.ID)
	return nil
}
