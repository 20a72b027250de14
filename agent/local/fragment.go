package local

import (
	"maps"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
)

// StandaloneNode is the id of a node that is in no cluster.
const StandaloneNode swarmnet.NodeID = "local"

// Standalone is the assignment set of a node that is in no cluster: itself, and nothing else.
func Standalone(hostname string) swarmnet.AssignmentSet {
	set := swarmnet.EmptyAssignmentSet()
	set.Self = StandaloneNode
	set.Nodes[StandaloneNode] = swarmnet.Node{
		ID: StandaloneNode, Index: 1, Description: swarmnet.NodeDescription{Hostname: hostname},
		Status: swarmnet.NodeStatus{State: swarmnet.NodeReady},
	}
	return set
}

// Fragment is what a node must run of its own, in the form of an assignment set.
type Fragment struct {
	Networks  map[swarmnet.NetworkID]swarmnet.Network
	Tasks     map[swarmnet.TaskID]swarmnet.Task
	Endpoints map[swarmnet.EndpointID]swarmnet.PeerEndpoint
	// Stacks say where tasks have their network stack from, for those that are in Tasks.
	Stacks map[swarmnet.TaskID]desired.Stack
}

// Fragment shows the state as it is at a time: each sandbox that was ever started is a task, by the sandbox's id.
func (s State) Fragment(now time.Time) Fragment {
	f := Fragment{
		Networks: map[swarmnet.NetworkID]swarmnet.Network{}, Tasks: map[swarmnet.TaskID]swarmnet.Task{},
		Endpoints: map[swarmnet.EndpointID]swarmnet.PeerEndpoint{}, Stacks: map[swarmnet.TaskID]desired.Stack{},
	}
	for id, n := range s.Networks {
		if n.Allocated() {
			f.Networks[id] = n.Network
		}
	}
	lent := map[swarmnet.TaskID]bool{}
	for _, sb := range s.Sandboxes {
		if sb.Spec.Mode == swarmnet.ModeShared && sb.Active() && !sb.Removing {
			lent[sb.Spec.SharedWith] = true
		}
	}
	for id, sb := range s.Sandboxes {
		if sb.Run == 0 && !sb.Removing {
			continue
		}
		t := task(sb, now)
		stack := desired.Stack{Mode: sb.Spec.Mode, Owner: sb.Spec.SharedWith, Interfaces: sb.Interfaces}
		stack.Wishes, stack.Awaits = s.wishes(sb)
		if s.mapper(sb) != "" {
			t.Ports = nil // they are the plugins' to publish, not the fabric's
		}
		if sb.Spec.Mode == swarmnet.ModeShared {
			owner := s.Sandboxes[sb.Spec.SharedWith]
			stack.OwnerUp = owner.State == swarmnet.SandboxRunning || sb.Status.State == swarmnet.TaskRunning
			stack.OwnerDown = !stack.OwnerUp && (!owner.Active() || owner.Removing)
		}
		state := t.Status.State
		if state.Terminal() && lent[id] && !sb.Removing {
			// Its process has ended, its stack is still in use: the network stays, its names and ports do not.
			stack.Lent = true
			t.Status.State = swarmnet.TaskRunning
		}
		f.Tasks[id], f.Stacks[id] = t, stack
		for _, ep := range sb.Endpoints {
			if state.Terminal() && !stack.Lent {
				continue
			}
			f.Endpoints[ep.ID] = swarmnet.PeerEndpoint{Endpoint: ep, TaskName: sb.Spec.Name, Desired: t.Desired, State: state}
		}
	}
	return f
}

func task(sb Sandbox, now time.Time) swarmnet.Task {
	t := swarmnet.Task{
		ID: sb.ID, Meta: sb.Meta, ServiceName: sb.Spec.Name, Spec: sb.Spec.Task, SpecVersion: sb.Run,
		Networks: sb.Spec.Networks, Ports: sb.Ports, Status: sb.Status, Desired: swarmnet.DesireShutdown,
	}
	switch {
	case sb.Removing:
		t.Desired = swarmnet.DesireRemove
	case sb.Wanted && sb.State == swarmnet.SandboxRestarting && sb.NotBefore.After(now):
		t.Desired = swarmnet.DesireReady
	case sb.Wanted && sb.Draining:
		t.Desired = swarmnet.DesireDraining
	case sb.Wanted && sb.State != swarmnet.SandboxExited:
		t.Desired = swarmnet.DesireRunning
	}
	if sb.StopSignal != "" {
		t.Spec.StopSignal = sb.StopSignal
	}
	if sb.StopGrace >= 0 {
		t.Spec.StopGracePeriod = max(sb.StopGrace, time.Millisecond) // zero would mean the default
	}
	return t
}

// Merge adds the node's own to what the managers assigned. A task of the managers that stands for one of the node's sandboxes gives it
// its endpoints on the cluster's networks, and is nothing besides. What it is given is not changed: others read it, and compare it with what comes next.
func Merge(cluster swarmnet.AssignmentSet, f Fragment) swarmnet.AssignmentSet {
	out := cluster
	out.Tasks = maps.Clone(cluster.Tasks)
	maps.DeleteFunc(out.Tasks, func(_ swarmnet.TaskID, t swarmnet.Task) bool { return t.Standalone() })
	if len(f.Networks) > 0 {
		out.Networks = maps.Clone(cluster.Networks)
		maps.Copy(out.Networks, f.Networks)
	}
	if len(f.Tasks) == 0 && len(f.Endpoints) == 0 {
		return out
	}
	for id, t := range f.Tasks {
		t.Node, t.Member = out.Self, cluster.Tasks[id].Member
		out.Tasks[id] = t
	}
	out.Endpoints = make(map[swarmnet.EndpointID]swarmnet.PeerEndpoint, len(cluster.Endpoints)+len(f.Endpoints))
	maps.Copy(out.Endpoints, cluster.Endpoints)
	for id, ep := range f.Endpoints {
		ep.Node = out.Self
		out.Endpoints[id] = ep
	}
	for id, ep := range out.Endpoints { // of sandboxes on the cluster's networks
		t, mine := f.Tasks[ep.Task]
		if !mine || ep.Node != out.Self {
			continue
		}
		if _, own := f.Endpoints[id]; own {
			continue
		}
		ep.Desired, ep.State, ep.TaskName = t.Desired, t.Status.State, t.ServiceName
		out.Endpoints[id] = ep
	}
	routeTasks(out, f)
	return out
}

// routeTasks chooses the default route of the sandboxes that are on networks of the cluster; of the others it was when they were made.
func routeTasks(set swarmnet.AssignmentSet, f Fragment) {
	foreign, own := map[swarmnet.TaskID][]swarmnet.Endpoint{}, map[swarmnet.TaskID][]swarmnet.Endpoint{}
	for id, ep := range set.Endpoints {
		if _, mine := f.Tasks[ep.Task]; mine && ep.Node == set.Self {
			if _, local := f.Endpoints[id]; local {
				own[ep.Task] = append(own[ep.Task], ep.Endpoint)
			} else {
				foreign[ep.Task] = append(foreign[ep.Task], ep.Endpoint)
			}
		}
	}
	for id, eps := range foreign {
		network := func(id swarmnet.NetworkID) swarmnet.Network { return set.Networks[id] }
		for _, ep := range Routed(append(eps, own[id]...), f.Tasks[id].Networks, network) {
			peer := set.Endpoints[ep.ID]
			peer.DefaultRoute = ep.DefaultRoute
			set.Endpoints[ep.ID] = peer
		}
	}
}
