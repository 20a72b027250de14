package swarmnet

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// ServiceMode says how many tasks a service has.
type ServiceMode uint8

const (
	Replicated ServiceMode = iota // as many as asked for
	Global                        // one on every node that is allowed
	External                      // none of its own: sandboxes that people run on the nodes join it
)

// EndpointMode says what the name of a service resolves to.
type EndpointMode uint8

const (
	EndpointVIP   EndpointMode = iota // one virtual address, balanced in the client's sandbox
	EndpointDNSRR                     // the addresses of the tasks
)

// Protocol is the transport protocol of a published port.
type Protocol uint8

const (
	TCP Protocol = iota
	UDP
	SCTP
)

// PublishMode says where a published port answers.
type PublishMode uint8

const (
	PublishIngress PublishMode = iota // on every node
	PublishHost                       // on the nodes that run a task
)

// The range from which published ports are chosen when the user names none.
const (
	FirstDynamicPort = 30000
	LastDynamicPort  = 32767
)

// PortSpec is one published port.
type PortSpec struct {
	Name      string
	Protocol  Protocol
	Target    uint16
	Published uint16 // 0: chosen from the dynamic range
	// PublishedTo, unless it is 0, is the last of the ports of which the first free one is chosen, Published being the first; for sandboxes only.
	PublishedTo uint16
	Mode        PublishMode
	HostIP      netip.Addr // host mode only; zero: every address
}

func (p PortSpec) String() string {
	s := strconv.Itoa(int(p.Target)) + "/" + p.Protocol.String()
	switch {
	case p.PublishedTo != 0:
		s = fmt.Sprintf("%d-%d:%s", p.Published, p.PublishedTo, s)
	case p.Published != 0:
		s = strconv.Itoa(int(p.Published)) + ":" + s
	}
	if p.Mode == PublishHost {
		s += " (host)"
	}
	return s
}

// NetworkAttachment asks for an endpoint on a network.
type NetworkAttachment struct {
	Network NetworkID
	Aliases []string
	// EndpointSettings are for sandboxes that a person runs; tasks of services have none.
	EndpointSettings
}

// UpdateOrder says which of the old and the new task goes first.
type UpdateOrder uint8

const (
	StopFirst UpdateOrder = iota
	StartFirst
)

// FailureAction says what an update does when its tasks fail.
type FailureAction uint8

const (
	FailurePause FailureAction = iota
	FailureContinue
	FailureRollback
)

// UpdateConfig says how a change of the spec is rolled out.
type UpdateConfig struct {
	Parallelism     uint32 // 0: all at once
	Delay           time.Duration
	Order           UpdateOrder
	FailureAction   FailureAction
	Monitor         time.Duration // how long a new task is watched for failure
	MaxFailureRatio float64
}

// ServiceSpec is what a user asks of a service.
type ServiceSpec struct {
	Name         string
	Labels       map[string]string
	Mode         ServiceMode
	Replicas     uint32 // Replicated only
	Task         TaskSpec
	Networks     []NetworkAttachment
	EndpointMode EndpointMode
	Ports        []PortSpec
	Update       UpdateConfig
	Rollback     UpdateConfig
}

// VIP is the virtual address of a service on one network.
type VIP struct {
	Network NetworkID
	Addr    netip.Addr
}

// UpdateState is the phase of a roll-out.
type UpdateState uint8

const (
	UpdateNone UpdateState = iota
	UpdateRunning
	UpdatePaused
	UpdateCompleted
	UpdateRollingBack
	UpdateRollbackPaused
	UpdateRolledBack
)

// UpdateStatus is where a roll-out stands.
type UpdateStatus struct {
	State     UpdateState
	Started   time.Time
	Completed time.Time
	Message   string
}

// Service is a named set of tasks.
type Service struct {
	ID       ServiceID
	Meta     Meta
	Spec     ServiceSpec
	Previous *ServiceSpec // the spec before, for rollback
	// SpecVersion counts the changes of Spec; a task carries the version it was made from.
	SpecVersion uint64
	VIPs        []VIP      // allocated
	Ports       []PortSpec // allocated: Published is never 0
	// Allocated is the SpecVersion for which VIPs and Ports are complete.
	Allocated uint64
	Update    UpdateStatus
	// Removing is set by a removal: its tasks are shut down, then it is forgotten.
	Removing bool
}

// On reports whether the service is on a network.
func (s Service) On(n NetworkID) bool {
	for _, a := range s.Spec.Networks {
		if a.Network == n {
			return true
		}
	}
	return false
}

// VIPOn returns the service's virtual addresses on a network.
func (s Service) VIPOn(n NetworkID) []netip.Addr {
	var out []netip.Addr
	for _, v := range s.VIPs {
		if v.Network == n {
			out = append(out, v.Addr)
		}
	}
	return out
}

// IngressPorts returns the allocated ports that the mesh publishes.
func (s Service) IngressPorts() []PortSpec {
	var out []PortSpec
	for _, p := range s.Ports {
		if p.Mode == PublishIngress {
			out = append(out, p)
		}
	}
	return out
}

func (s Service) String() string {
	ports := make([]string, len(s.Ports))
	for i, p := range s.Ports {
		ports[i] = p.String()
	}
	out := fmt.Sprintf("service %s mode=%s", s.Spec.Name, s.Spec.Mode)
	if s.Spec.Mode == Replicated {
		out += fmt.Sprintf(" replicas=%d", s.Spec.Replicas)
	}
	for _, v := range s.VIPs {
		out += " vip=" + v.Addr.String()
	}
	if len(ports) > 0 {
		out += " ports=" + strings.Join(ports, ",")
	}
	return out
}
