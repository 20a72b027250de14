package simulation

import (
	"slices"
	"strconv"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// user has a command proposed where that is possible.
func (s *schedule) user(cmds ...state.Command) {
	cmds = slices.DeleteFunc(cmds, func(c state.Command) bool { return c == nil })
	if s.group.leader == nil || len(cmds) == 0 {
		return
	}
	for _, c := range cmds {
		s.note("%T", c)
	}
	s.group.propose(s.group.leader, cmds, func([]state.Result, bool) {})
}

func (s *schedule) id(kind string) string {
	s.changes++
	return swarmnet.DeriveID(kind, strconv.Itoa(s.changes))
}

func (s *schedule) network(name string) state.Command {
	return state.CreateNetwork{Network: swarmnet.Network{ID: swarmnet.NetworkID(s.id("network")), Spec: swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverOverlay}}}
}

func (s *schedule) create(name string) state.Command {
	spec := swarmnet.ServiceSpec{Name: name, Replicas: uint32(1 + s.rnd.IntN(4)), Task: swarmnet.TaskSpec{Command: []string{"x"}}}
	if s.rnd.IntN(5) == 0 {
		spec.Mode, spec.Replicas = swarmnet.Global, 0
	}
	for n := range s.group.truth().Networks() {
		if !n.Spec.Ingress && (len(spec.Networks) == 0 || s.rnd.IntN(3) == 0) {
			spec.Networks = append(spec.Networks, swarmnet.NetworkAttachment{Network: n.ID, Aliases: []string{"any"}})
		}
	}
	if s.rnd.IntN(3) == 0 {
		spec.EndpointMode = swarmnet.EndpointDNSRR
	} else {
		spec.Ports = []swarmnet.PortSpec{{Target: 80}}
	}
	spec.Update = swarmnet.UpdateConfig{Parallelism: uint32(s.rnd.IntN(3)), Order: swarmnet.UpdateOrder(s.rnd.IntN(2)), Monitor: time.Second, FailureAction: swarmnet.FailureContinue}
	return state.CreateService{Service: swarmnet.Service{ID: swarmnet.ServiceID(s.id("service")), Spec: spec}}
}

// change makes, changes or removes a service.
func (s *schedule) change() state.Command {
	var all []swarmnet.Service
	for v := range s.group.truth().Services() {
		if !v.Removing {
			all = append(all, v)
		}
	}
	if len(all) == 0 || s.rnd.IntN(6) == 0 {
		return s.create("t" + strconv.Itoa(s.changes))
	}
	v := all[s.rnd.IntN(len(all))]
	spec := v.Spec
	switch p := s.rnd.IntN(8); {
	case p == 0 && len(all) > 1:
		return state.RemoveService{ID: v.ID}
	case p < 4:
		spec.Task.ForceUpdate++
	case spec.Mode == swarmnet.Replicated:
		spec.Replicas = uint32(s.rnd.IntN(6))
	}
	return state.UpdateService{ID: v.ID, Spec: spec}
}

// availability drains a node, or has it take tasks again.
func (s *schedule) availability(n *node) state.Command {
	is, ok := s.group.truth().Node(n.id)
	if !ok {
		return nil
	}
	spec := is.Spec
	spec.Availability = swarmnet.AvailabilityDrain
	if is.Spec.Availability != swarmnet.AvailabilityActive || s.rnd.IntN(2) == 0 {
		spec.Availability = swarmnet.AvailabilityActive
	}
	return state.UpdateNode{ID: n.id, Spec: spec}
}
