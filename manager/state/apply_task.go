package state

import (
	"slices"

	"github.com/swarmnet/swarmnet"
)

func (x *tx) task(id swarmnet.TaskID) (swarmnet.Task, *Rejection) {
	if it, ok := x.s.tasks.get(string(id)); ok {
		return it.v, nil
	}
	return swarmnet.Task{}, reject(NotFound, "task %s does not exist", id)
}

func (c CreateTask) apply(x *tx) *Rejection {
	t := c.Task
	switch {
	case !swarmnet.ValidID(t.ID):
		return reject(InvalidArgument, "%q is not the id of a task", t.ID)
	case x.s.tasks.has(string(t.ID)):
		return reject(AlreadyExists, "task %s exists already", t.ID)
	case t.Desired > swarmnet.DesireRunning:
		return reject(InvalidArgument, "a task is not made to be stopped")
	}
	v, r := x.liveService(t.Service)
	switch {
	case r != nil:
		return r
	case t.SpecVersion != v.SpecVersion:
		return reject(FailedPrecondition, "service %s was changed meanwhile", v.Spec.Name)
	case v.Spec.Mode == swarmnet.External:
		return reject(InvalidArgument, "service %s is external: it has no tasks of its own", v.Spec.Name)
	case (v.Spec.Mode == swarmnet.Replicated) != (t.Slot != 0):
		return reject(InvalidArgument, "a task has a slot exactly when its service is replicated")
	case (v.Spec.Mode == swarmnet.Global) != (t.Node != ""):
		return reject(InvalidArgument, "a task is made for a node exactly when its service is global")
	}
	if t.Node != "" {
		if _, r := x.node(t.Node); r != nil {
			return r
		}
	}
	for o := range x.s.TasksBySlot(t.Service, t.Slot) {
		if o.Wanted() && o.SpecVersion == t.SpecVersion && (t.Slot != 0 || o.Node == t.Node) {
			return reject(AlreadyExists, "task %s is there already", o.Name())
		}
	}
	t.ServiceName = v.Spec.Name
	t.Status = swarmnet.TaskStatus{State: swarmnet.TaskNew, At: x.m.At}
	x.putTask(t)
	x.result.ID = string(t.ID)
	return nil
}

func (c AllocateTask) apply(x *tx) *Rejection {
	t, r := x.task(c.Task)
	switch {
	case r != nil:
		return r
	case t.Status.State != swarmnet.TaskNew:
		return reject(FailedPrecondition, "task %s is %s already", t.Name(), t.Status.State)
	}
	v, r := x.liveService(t.Service)
	switch {
	case r != nil:
		return r
	case v.Allocated != v.SpecVersion:
		return reject(FailedPrecondition, "service %s has no addresses and ports yet", v.Spec.Name)
	}
	if r := x.checkEndpoints(t, c.Endpoints); r != nil {
		return r
	}
	for _, e := range c.Endpoints {
		e.Service, e.Node = t.Service, ""
		x.putEndpoint(e)
	}
	t.Ports = v.Ports
	t.Status = swarmnet.TaskStatus{State: swarmnet.TaskPending, At: x.m.At}
	x.putTask(t)
	return nil
}

func (x *tx) checkEndpoints(t swarmnet.Task, endpoints []swarmnet.Endpoint) *Rejection {
	var routes int
	for i, e := range endpoints {
		n, r := x.network(e.Network)
		switch {
		case r != nil:
			return r
		case !swarmnet.ValidID(e.ID) || x.s.endpoints.has(string(e.ID)):
			return reject(InvalidArgument, "%q is not the id of a new endpoint", e.ID)
		case e.Task != t.ID:
			return reject(InvalidArgument, "endpoint %s is not of task %s", swarmnet.ShortID(e.ID), t.Name())
		case e.MAC.IsZero() || len(e.Addrs) == 0:
			return reject(InvalidArgument, "an endpoint on network %s needs a MAC and an address", n.Spec.Name)
		case slices.ContainsFunc(endpoints[:i], func(o swarmnet.Endpoint) bool { return o.Network == e.Network || o.ID == e.ID }):
			return reject(InvalidArgument, "task %s has one endpoint on network %s", t.Name(), n.Spec.Name)
		}
		if r := x.checkAddrs(n, e.Addrs, ""); r != nil {
			return r
		}
		if e.DefaultRoute {
			routes++
		}
	}
	if routes > 1 {
		return reject(InvalidArgument, "task %s has one default route", t.Name())
	}
	for _, a := range t.Networks {
		if !slices.ContainsFunc(endpoints, func(e swarmnet.Endpoint) bool { return e.Network == a.Network }) {
			return reject(InvalidArgument, "task %s needs an endpoint on network %s", t.Name(), swarmnet.ShortID(a.Network))
		}
	}
	return nil
}

func (c AssignTask) apply(x *tx) *Rejection {
	t, r := x.task(c.Task)
	if r != nil {
		return r
	}
	n, r := x.node(c.Node)
	switch {
	case r != nil:
		return r
	case t.Status.State != swarmnet.TaskPending:
		return reject(FailedPrecondition, "task %s is %s already", t.Name(), t.Status.State)
	case t.Desired > swarmnet.DesireRunning:
		return reject(FailedPrecondition, "task %s is to be stopped", t.Name())
	case t.Node != "" && t.Node != n.ID:
		return reject(InvalidArgument, "task %s is made for another node", t.Name())
	}
	if why := x.s.Unfit(t, n); why != "" {
		return reject(FailedPrecondition, "node %s cannot take task %s: %s", n.Name(), t.Name(), why)
	}
	t.Node = n.ID
	t.Status = swarmnet.TaskStatus{State: swarmnet.TaskAssigned, At: x.m.At}
	x.putTask(t)
	for _, e := range x.s.endpointsOf(t.ID) {
		e.Node = n.ID
		x.putEndpoint(e)
	}
	return nil
}

// Unfit says why a node cannot take a task now, constraints apart; nothing when it can.
func (s *State) Unfit(t swarmnet.Task, n swarmnet.Node) string {
	switch {
	case n.Status.State != swarmnet.NodeReady:
		return "it is " + n.Status.State.String()
	case n.Spec.Availability != swarmnet.AvailabilityActive:
		return "its availability is " + n.Spec.Availability.String()
	}
	if limit := t.Spec.Placement.MaxPerNode; limit > 0 {
		var here uint32
		for k := range s.index[byTaskNode].prefix(join(n.ID, t.Service) + sep) {
			if o, ok := s.Task(swarmnet.TaskID(lastPart(k))); ok && o.ID != t.ID && o.Wanted() {
				here++
			}
		}
		if here >= limit {
			return "it has as many tasks of the service as one node may have"
		}
	}
	for _, p := range t.Ports {
		if p.Mode == swarmnet.PublishHost && s.hostPortTaken(n.ID, p, t.ID) {
			return "host port " + p.String() + " is taken"
		}
	}
	return ""
}

func (s *State) hostPortTaken(n swarmnet.NodeID, p swarmnet.PortSpec, except swarmnet.TaskID) bool {
	prefix := string(n) + sep + portKey(p.Protocol, p.Published)
	wild := hostKey(p.HostIP) == wildHost
	for k := range s.index[byHostPort].prefix(prefix) {
		host := k[len(prefix) : len(prefix)+16]
		if lastPart(k) != string(except) && (wild || host == wildHost || host == hostKey(p.HostIP)) {
			return true
		}
	}
	return false
}

func (c SetDesired) apply(x *tx) *Rejection {
	t, r := x.task(c.Task)
	switch {
	case r != nil:
		return r
	case t.Standalone():
		return reject(FailedPrecondition, "%s is stopped and removed there", x.s.owner(t))
	case c.Desired > swarmnet.DesireRemove:
		return reject(InvalidArgument, "desired state %s does not exist", c.Desired)
	case c.Desired < t.Desired:
		return reject(FailedPrecondition, "task %s is to be %s already", t.Name(), t.Desired)
	case c.Desired == t.Desired:
		return nil
	}
	if t.Desired <= swarmnet.DesireRunning && c.Desired > swarmnet.DesireRunning {
		t = x.balanced(t)
	}
	t.Desired = c.Desired
	if c.Note != "" {
		t.Note = c.Note
	}
	if t.Desired >= swarmnet.DesireShutdown && t.Status.State < swarmnet.TaskAssigned {
		// No node knows of it: nobody else will say that it has ended.
		t.Status = swarmnet.TaskStatus{State: swarmnet.TaskShutdown, At: x.m.At, Message: "stopped before it had a node"}
		x.endTask(t)
		return nil
	}
	x.putTask(t)
	return nil
}

func (c UpdateTaskStatus) apply(x *tx) *Rejection {
	if c.Status.State <= swarmnet.TaskAssigned || c.Status.State >= swarmnet.TaskOrphaned {
		return reject(InvalidArgument, "%s is not a state that a node reports", c.Status.State)
	}
	t, r := x.task(c.Task)
	if r != nil || t.Node != c.Node || t.Status.State < swarmnet.TaskAssigned {
		return nil
	}
	if n, ok := x.s.Node(t.Node); !ok || c.Epoch != 0 && c.Epoch != n.Epoch {
		return nil
	}
	if t.Standalone() {
		x.report(t, c.Status)
		return nil
	}
	if old := t.Status.State; old.Terminal() || c.Status.State < old || c.Status == t.Status {
		return nil
	}
	if t.Status.State < swarmnet.TaskRunning && c.Status.State == swarmnet.TaskRunning && t.Desired <= swarmnet.DesireRunning {
		t = x.balanced(t)
	}
	t.Status = c.Status
	if t.Status.State.Terminal() {
		x.endTask(t)
		return nil
	}
	x.putTask(t)
	return nil
}

// balanced notes that from this revision on balancers make something else of a task.
func (x *tx) balanced(t swarmnet.Task) swarmnet.Task {
	x.write()
	t.Balanced, t.BalancedAt = x.s.revision, x.m.At
	return t
}

// endTask stores a task that has ended and frees what it held.
func (x *tx) endTask(t swarmnet.Task) {
	x.putTask(t)
	for _, e := range x.s.endpointsOf(t.ID) {
		x.deleteEndpoint(e.ID)
	}
}

func (c SetTaskMessage) apply(x *tx) *Rejection {
	t, r := x.task(c.Task)
	if r != nil {
		return r
	}
	if t.Status.State < swarmnet.TaskAssigned && t.Status.Message != c.Message {
		t.Status.Message = c.Message
		x.putTask(t)
	}
	return nil
}

func (c RemoveTask) apply(x *tx) *Rejection {
	t, r := x.task(c.ID)
	switch {
	case r != nil:
		return r
	case t.Standalone():
		return reject(FailedPrecondition, "%s is stopped and removed there", x.s.owner(t))
	case !t.Status.State.Terminal() && t.Status.State >= swarmnet.TaskAssigned:
		return reject(FailedPrecondition, "task %s is %s: stop it first", t.Name(), t.Status.State)
	}
	for _, e := range x.s.endpointsOf(t.ID) {
		x.deleteEndpoint(e.ID)
	}
	x.deleteTask(t.ID)
	return nil
}
