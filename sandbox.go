package swarmnet

import (
	"fmt"
	"net/netip"
	"time"
)

// NetworkMode says where a sandbox that a person runs gets its network stack from.
type NetworkMode uint8

const (
	ModeNetworks NetworkMode = iota // a stack of its own, with an endpoint on each of its networks
	ModeNone                        // a stack of its own with nothing but loopback, until it is connected somewhere
	ModeHost                        // the host's stack
	ModeShared                      // another sandbox's stack: `--network container:NAME`
)

// SandboxState is what became of a sandbox that a person runs.
type SandboxState uint8

const (
	SandboxCreated    SandboxState = iota // never started
	SandboxRunning                        // its process runs
	SandboxRestarting                     // its process ended and will be started again
	SandboxExited                         // its process ended, or it was stopped
)

// SandboxSpec is what a person asks of a sandbox on one node: `swarmnet run`.
type SandboxSpec struct {
	Name string // empty: chosen
	Task TaskSpec
	Mode NetworkMode
	// SharedWith names the sandbox whose stack is shared, with ModeShared.
	SharedWith TaskID
	// Networks are its endpoints, with ModeNetworks; may also change while it runs.
	Networks []NetworkAttachment
	// Ports are published in host mode, ranges already spelt out. Published 0: chosen when it starts.
	Ports []PortSpec
	// AutoRemove says that it is removed when its process has ended and is not started again.
	AutoRemove bool
	// StartWithDaemon says that it is started with the daemon although it was stopped: the restart policy `always`.
	StartWithDaemon bool
}

// Sandbox is a sandbox that a person runs on one node, with one process in it. Its id has the form of a task's, and everything that
// knows tasks (the executor, the resolver, the sandboxes of the kernel) knows it by that.
type Sandbox struct {
	ID   TaskID
	Meta Meta
	Spec SandboxSpec
	// Wanted is what was asked last: true after run and start, false after stop.
	Wanted bool
	// Endpoints are its attachments with the addresses that they hold while the sandbox exists, in the order of Spec.Networks.
	Endpoints []Endpoint
	// Ports are the published ports in force, Published never 0.
	Ports    []PortSpec
	State    SandboxState
	Restarts uint32
	Status   TaskStatus
	Started  time.Time
	Finished time.Time
}

func (s Sandbox) String() string {
	return fmt.Sprintf("sandbox %s mode=%s state=%s", s.Spec.Name, s.Spec.Mode, s.State)
}

// FirstLocalSwitch numbers the bridges of node-local networks in the fabric, beyond every VNI: they have no VXLAN device.
const FirstLocalSwitch VNI = MaxVNI + 1

// Local reports whether v names the bridge of a node-local network.
func (v VNI) Local() bool { return v > MaxVNI }

// EndpointSettings is what a person may ask of one attachment beyond the network itself.
type EndpointSettings struct {
	Addrs []netip.Addr // fixed ones, at most one of each family
	MAC   MAC          // zero: derived
	// GatewayPriority decides whose network carries the default route: the highest; among equals the first by name.
	GatewayPriority int
}
