package swarmnet

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// TaskState orders what can become of a task; observed states only ever rise.
type TaskState uint8

const (
	TaskNew       TaskState = iota // made by the orchestrator
	TaskPending                    // has its addresses, waits for a node
	TaskAssigned                   // has a node
	TaskPreparing                  // its sandbox is being made
	TaskStarting                   // its process is being started
	TaskRunning                    // runs and, with a health check, is healthy
	TaskComplete                   // ended by itself, exit status 0
	TaskShutdown                   // was stopped
	TaskFailed                     // ended by itself, exit status not 0, or could not be started
	TaskRejected                   // its node could not realise it
	TaskOrphaned                   // its node was declared down
)

// Terminal reports whether a task in the state will never run again.
func (s TaskState) Terminal() bool { return s >= TaskComplete }

// DesiredState is what the managers want of a task.
type DesiredState uint8

const (
	DesireReady    DesiredState = iota // prepare, do not start yet
	DesireRunning                      // run
	DesireDraining                     // run, but take no new connections
	DesireShutdown                     // stop
	DesireRemove                       // stop and forget
)

// RestartCondition says which ends of a task are followed by a new one.
type RestartCondition uint8

const (
	RestartAny RestartCondition = iota
	RestartOnFailure
	RestartNone
)

// RestartPolicy says when a task that ended is replaced.
type RestartPolicy struct {
	Condition   RestartCondition
	Delay       time.Duration
	MaxAttempts uint32        // 0: without bound
	Window      time.Duration // in which attempts count; 0: always
}

// HealthCheck says how a task is probed. Exactly one of Command and TCPPort is set.
type HealthCheck struct {
	Command     []string // exit status 0 is healthy
	TCPPort     uint16   // a connection to it is healthy
	Interval    time.Duration
	Timeout     time.Duration
	Retries     uint32
	StartPeriod time.Duration
}

// DNSConfig is what a task's resolver is told.
type DNSConfig struct {
	Servers []netip.Addr
	Search  []string
	Options []string
}

// HostEntry is one extra line of a task's hosts file.
type HostEntry struct {
	Name string
	Addr netip.Addr
}

// Placement bounds where tasks may go.
type Placement struct {
	Constraints []string // "node.labels.zone==a", "node.role!=manager", …
	MaxPerNode  uint32   // 0: without bound
}

// TaskSpec is what a task runs.
type TaskSpec struct {
	Command         []string
	Env             []string // KEY=VALUE
	Dir             string
	Hostname        string
	Labels          map[string]string
	DNS             DNSConfig
	Hosts           []HostEntry
	Restart         RestartPolicy
	Placement       Placement
	Health          *HealthCheck
	StopSignal      string
	StopGracePeriod time.Duration
	ForceUpdate     uint64 // rises to replace tasks without another change
	User            string // NAME|UID[:GROUP|GID]; empty: the daemon's
	Stdin           bool   // standard input stays open for those that attach
	TTY             bool   // its standard files are one terminal
}

// TaskStatus is what is observed of a task.
type TaskStatus struct {
	State    TaskState
	At       time.Time
	Message  string
	Err      string
	ExitCode int
	PID      int
}

// Task is one replica of a service, or stands for a sandbox that a person runs: see Standalone.
type Task struct {
	ID          TaskID
	Meta        Meta
	Service     ServiceID // empty for a sandbox outside services
	ServiceName string    // as it was when the task was made; the name of a sandbox outside services
	Slot        uint32    // from 1; 0 for a global service
	Node        NodeID    // empty until placed
	Spec        TaskSpec
	SpecVersion uint64 // of the service that the task was made from
	Networks    []NetworkAttachment
	// Connected are the networks that a person put this very task on beside those, in the order in which that was done.
	Connected []NetworkAttachment
	Ports     []PortSpec // the service's allocated ports
	Desired   DesiredState
	Status    TaskStatus
	// NotBefore is when a task that waits out a restart delay may start; zero: at once.
	NotBefore time.Time
	// Balanced is the revision in which what balancers make of the task last changed, and BalancedAt when: it has come to run, or is
	// to take no new connections any more. 0: neither yet. A node has it so in its balancers when its Node.Applied is no less.
	Balanced   uint64
	BalancedAt time.Time
	// Note is what the managers have to say of the way in which it was stopped; empty: nothing.
	Note string
	// Member is the external service that a sandbox outside services has joined, on those of its networks that the service is on.
	Member ServiceID
}

// Standalone reports whether the task is no replica of anything: it stands for a sandbox that a person runs on its node, with its
// endpoints on the cluster's networks. It has the sandbox's id, no slot, and never moves.
func (t Task) Standalone() bool { return t.Service == "" && t.Slot == 0 }

// Attachments are all that the task is on: Networks and Connected.
func (t Task) Attachments() []NetworkAttachment {
	return append(slices.Clip(t.Networks), t.Connected...)
}

// In returns the service whose connections the task takes: the one that it is a replica of, or that it has joined; empty: none.
func (t Task) In() ServiceID {
	if t.Member != "" {
		return t.Member
	}
	return t.Service
}

// Name is the task's name: SERVICE.SLOT.ID, or SERVICE.NODE.ID for a global service; a sandbox outside services has its own.
func (t Task) Name() string {
	if t.Standalone() {
		return t.ServiceName
	}
	if t.Slot == 0 {
		return t.ServiceName + "." + string(t.Node) + "." + string(t.ID)
	}
	return t.ServiceName + "." + strconv.FormatUint(uint64(t.Slot), 10) + "." + string(t.ID)
}

// Wanted reports whether the task should be up, now or as soon as it can be.
func (t Task) Wanted() bool { return t.Desired <= DesireRunning && !t.Status.State.Terminal() }

func (t Task) String() string {
	if t.Standalone() {
		return fmt.Sprintf("sandbox %s state=%s", t.ServiceName, t.Status.State)
	}
	return fmt.Sprintf("task %s.%d desired=%s state=%s", t.ServiceName, t.Slot, t.Desired, t.Status.State)
}
