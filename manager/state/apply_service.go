package state

import (
	"reflect"
	"slices"

	"github.com/swarmnet/swarmnet"
)

func (x *tx) service(id swarmnet.ServiceID) (swarmnet.Service, *Rejection) {
	if it, ok := x.s.services.get(string(id)); ok {
		return it.v, nil
	}
	return swarmnet.Service{}, reject(NotFound, "service %s does not exist", id)
}

// liveService refuses services that are being removed.
func (x *tx) liveService(id swarmnet.ServiceID) (swarmnet.Service, *Rejection) {
	v, r := x.service(id)
	if r == nil && v.Removing {
		r = reject(FailedPrecondition, "service %s is being removed", v.Spec.Name)
	}
	return v, r
}

func (c CreateService) apply(x *tx) *Rejection {
	v := swarmnet.Service{ID: c.Service.ID, Spec: c.Service.Spec, SpecVersion: 1}
	switch {
	case !swarmnet.ValidID(v.ID):
		return reject(InvalidArgument, "%q is not the id of a service", v.ID)
	case x.s.services.has(string(v.ID)):
		return reject(AlreadyExists, "service %s exists already", v.ID)
	}
	if r := x.checkServiceSpec(v.ID, v.Spec); r != nil {
		return r
	}
	if other, ok := x.s.index[byServiceName].get(v.Spec.Name); ok {
		return reject(AlreadyExists, "service %s exists already, with id %s: choose another name", v.Spec.Name, swarmnet.ShortID(other))
	}
	x.putService(v)
	x.result.ID = string(v.ID)
	return nil
}

func (x *tx) checkServiceSpec(id swarmnet.ServiceID, s swarmnet.ServiceSpec) *Rejection {
	if err := s.Validate(); err != nil {
		return invalid(err)
	}
	for _, a := range s.Networks {
		n, r := x.network(a.Network)
		if r != nil {
			return r
		}
		if n.Spec.Ingress {
			return reject(InvalidArgument, "network %s is the ingress network: a service joins it by publishing ports", n.Spec.Name)
		}
	}
	if _, ok := x.s.IngressNetwork(); !ok && PublishesIngress(s) {
		return reject(FailedPrecondition, "there is no ingress network to publish on: make one with network create --ingress, or publish with mode=host")
	}
	if r := x.checkExternal(s); r != nil {
		return r
	}
	return x.checkPorts(id, s.Ports)
}

// checkPorts refuses ports that another service has. Ports of the hosts may be shared: the scheduler keeps them apart.
func (x *tx) checkPorts(id swarmnet.ServiceID, ports []swarmnet.PortSpec) *Rejection {
	for _, p := range ports {
		if p.Published == 0 {
			continue
		}
		key := portKey(p.Protocol, p.Published)
		for k, mode := range x.s.index[byPort].prefix(key) {
			other := k[len(key):]
			if other == string(id) || p.Mode == swarmnet.PublishHost && mode == portMode(swarmnet.PublishHost) {
				continue
			}
			v, _ := x.s.Service(swarmnet.ServiceID(other))
			return reject(FailedPrecondition, "port %d/%s is in use by service %s: choose another", p.Published, p.Protocol, v.Spec.Name)
		}
	}
	return nil
}

func (c UpdateService) apply(x *tx) *Rejection {
	v, r := x.liveService(c.ID)
	if r != nil {
		return r
	}
	if c.Version != 0 && c.Version != v.Meta.Updated {
		return reject(FailedPrecondition, "service %s was changed meanwhile: read it again and repeat the change", v.Spec.Name)
	}
	if r := x.checkServiceSpec(v.ID, c.Spec); r != nil {
		return r
	}
	switch {
	case c.Spec.Name != v.Spec.Name:
		return reject(InvalidArgument, "service %s keeps its name: make another service for %s", v.Spec.Name, c.Spec.Name)
	case c.Spec.Mode != v.Spec.Mode:
		return reject(InvalidArgument, "service %s stays %s: make another service for the other mode", v.Spec.Name, v.Spec.Mode)
	}
	old := v.Spec
	v.Previous = &old
	x.changeSpec(v, c.Spec, swarmnet.UpdateRunning, "update in progress")
	return nil
}

func (c RollbackService) apply(x *tx) *Rejection {
	v, r := x.liveService(c.ID)
	if r != nil {
		return r
	}
	if v.Previous == nil {
		return reject(FailedPrecondition, "service %s has no spec before this one to go back to", v.Spec.Name)
	}
	spec := *v.Previous
	if r := x.checkServiceSpec(v.ID, spec); r != nil {
		return r
	}
	v.Previous = nil
	message := c.Message
	if message == "" {
		message = "manually requested rollback"
	}
	x.changeSpec(v, spec, swarmnet.UpdateRollingBack, message)
	return nil
}

// changeSpec puts a spec in force. Ports that it does not have any more are free at once; the rest is the allocator's.
func (x *tx) changeSpec(v swarmnet.Service, spec swarmnet.ServiceSpec, phase swarmnet.UpdateState, message string) {
	if v.Spec.Mode != swarmnet.External && tasksDiffer(v.Spec, spec) {
		v.Update = swarmnet.UpdateStatus{State: phase, Started: x.m.At, Message: message}
	}
	v.Spec = spec
	v.SpecVersion++
	v.Ports = slices.DeleteFunc(slices.Clone(v.Ports), func(p swarmnet.PortSpec) bool { return !wants(spec, p) })
	x.putService(v)
	for _, t := range x.s.members(v.ID) {
		x.enrol(t)
	}
}

// wants reports whether a spec asks for an allocated port: by its number, or as one that was chosen for it.
func wants(spec swarmnet.ServiceSpec, p swarmnet.PortSpec) bool {
	chosen := false
	for _, q := range spec.Ports {
		if q.Published == p.Published && q.Protocol == p.Protocol {
			return q == p
		}
		if q.Published == 0 && p.Published >= swarmnet.FirstDynamicPort && p.Published <= swarmnet.LastDynamicPort {
			q.Published = p.Published
			chosen = chosen || q == p
		}
	}
	return chosen
}

// tasksDiffer reports whether the tasks of one spec are others than those of another, so that a change rolls them over.
func tasksDiffer(a, b swarmnet.ServiceSpec) bool {
	return !reflect.DeepEqual(a.Task, b.Task) || !reflect.DeepEqual(a.Networks, b.Networks) ||
		PublishesIngress(a) != PublishesIngress(b) || !slices.Equal(HostPorts(a.Ports), HostPorts(b.Ports))
}

// HostPorts are the ports among ports that are published on the hosts that run a task.
func HostPorts(ports []swarmnet.PortSpec) []swarmnet.PortSpec {
	var out []swarmnet.PortSpec
	for _, p := range ports {
		if p.Mode == swarmnet.PublishHost {
			out = append(out, p)
		}
	}
	return out
}

func (c RemoveService) apply(x *tx) *Rejection {
	v, r := x.service(c.ID)
	if r != nil {
		return r
	}
	if !v.Removing {
		v.Removing = true
		x.putService(v)
	}
	return nil
}

func (c AllocateService) apply(x *tx) *Rejection {
	v, r := x.liveService(c.ID)
	switch {
	case r != nil:
		return r
	case c.Version != v.SpecVersion:
		return reject(FailedPrecondition, "service %s was changed meanwhile", v.Spec.Name)
	}
	for i, vip := range c.VIPs {
		n, r := x.network(vip.Network)
		if r != nil {
			return r
		}
		if !slices.ContainsFunc(v.Spec.Networks, func(a swarmnet.NetworkAttachment) bool { return a.Network == vip.Network }) {
			return reject(InvalidArgument, "service %s is not on network %s", v.Spec.Name, n.Spec.Name)
		}
		if r := x.checkAddr(n, vip.Addr, holdVIP+string(v.ID)); r != nil {
			return r
		}
		if slices.Contains(c.VIPs[:i], vip) {
			return reject(InvalidArgument, "address %s is given to service %s twice", vip.Addr, v.Spec.Name)
		}
	}
	for i, p := range c.Ports {
		if p.Published == 0 || !wants(v.Spec, p) || slices.ContainsFunc(c.Ports[:i], func(q swarmnet.PortSpec) bool { return q.Clashes(p) }) {
			return reject(InvalidArgument, "service %s does not ask for port %s", v.Spec.Name, p)
		}
	}
	if r := x.checkPorts(v.ID, c.Ports); r != nil {
		return r
	}
	v.VIPs, v.Ports, v.Allocated = c.VIPs, c.Ports, c.Version
	x.putService(v)
	return nil
}

func (c ForgetService) apply(x *tx) *Rejection {
	v, r := x.service(c.ID)
	switch {
	case r != nil:
		return r
	case !v.Removing:
		return reject(FailedPrecondition, "service %s is not being removed", v.Spec.Name)
	}
	members := x.s.members(c.ID)
	for t := range x.s.TasksByService(c.ID) {
		if t.Standalone() {
			continue
		}
		return reject(FailedPrecondition, "service %s still has task %s", v.Spec.Name, t.Name())
	}
	x.deleteService(c.ID)
	for _, t := range members { // they go on, as sandboxes of no service
		x.enrol(t)
	}
	return nil
}

func (c SetUpdateStatus) apply(x *tx) *Rejection {
	v, r := x.service(c.ID)
	switch {
	case r != nil:
		return r
	case c.Version != v.SpecVersion:
		return reject(FailedPrecondition, "service %s was changed meanwhile", v.Spec.Name)
	case c.Status.State > swarmnet.UpdateRolledBack:
		return reject(InvalidArgument, "update state %s does not exist", c.Status.State)
	}
	if v.Update != c.Status {
		v.Update = c.Status
		x.putService(v)
	}
	return nil
}
