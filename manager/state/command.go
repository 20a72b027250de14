package state

import (
	"net/netip"
	"time"

	"github.com/swarmnet/swarmnet"
)

// Command is one wish to change the state. Each checks everything before it changes anything.
type Command interface {
	apply(x *tx) *Rejection
}

// The cluster.
type (
	// CreateCluster is the first command of all.
	CreateCluster struct{ Cluster swarmnet.Cluster }
	UpdateCluster struct{ Spec swarmnet.ClusterSpec }
	// SetTokens replaces all join tokens.
	SetTokens struct{ Tokens []swarmnet.JoinToken }
	// SetGossipKeys replaces the key ring of the gossip.
	SetGossipKeys struct{ Keys []swarmnet.GossipKey }
)

// Nodes.
type (
	// CreateNode makes a node that has enrolled. Its Index is chosen here: the smallest that is free.
	CreateNode struct{ Node swarmnet.Node }
	// UpdateNode changes what is wanted of a node. Version is the Meta.Updated that the change was made from; 0: any.
	UpdateNode struct {
		ID      swarmnet.NodeID
		Spec    swarmnet.NodeSpec
		Version uint64
	}
	// SetNodeRole puts a role in force.
	SetNodeRole struct {
		ID   swarmnet.NodeID
		Role swarmnet.Role
	}
	// SetNodeCert puts a certificate and the role that it says in force.
	SetNodeCert struct {
		ID     swarmnet.NodeID
		Role   swarmnet.Role
		Serial string
	}
	// AssignRaftID gives a node the cluster's next raft id, unless it has one; the result carries it.
	AssignRaftID struct{ Node swarmnet.NodeID }
	// SetRaftID records the raft id that a node has got otherwise. It counts as used from then on.
	SetRaftID struct {
		Node   swarmnet.NodeID
		RaftID uint64
	}
	ClearRaftID struct{ Node swarmnet.NodeID }
	// RemoveNode forgets a node. A manager must be demoted first; a node that is up needs Force.
	RemoveNode struct {
		ID    swarmnet.NodeID
		Force bool
	}
	// OpenSession says that a node's agent speaks with a manager: the node is ready. The result carries its epoch.
	OpenSession struct {
		Node        swarmnet.NodeID
		Description swarmnet.NodeDescription
		Manager     swarmnet.NodeID
		NewEpoch    bool // the agent was started anew
	}
	// ReportPorts says which published ports a node cannot publish; it replaces what was said before.
	ReportPorts struct {
		Node  swarmnet.NodeID
		Epoch uint64
		Ports []swarmnet.DegradedPort
	}
	// CloseSession says that a manager has lost a node's session. It is nothing when the node has another one by now.
	CloseSession struct {
		Node    swarmnet.NodeID
		Epoch   uint64
		Manager swarmnet.NodeID
	}
	// MarkNodeDown gives a node up that has been disconnected ever since: its tasks are orphaned, their addresses freed.
	MarkNodeDown struct {
		Node  swarmnet.NodeID
		Since time.Time
	}
	// AllocateNodeIngress gives a node its addresses on the ingress network.
	AllocateNodeIngress struct {
		Node  swarmnet.NodeID
		Addrs []netip.Prefix
	}
	// Acknowledge says that a node has in force what concerns it, up to a revision. It is nothing when the node has said so already, when
	// it comes from an earlier start of its agent, and when the node has no session any more.
	Acknowledge struct {
		Node     swarmnet.NodeID
		Epoch    uint64
		Revision uint64
	}
)

// Networks.
type (
	CreateNetwork   struct{ Network swarmnet.Network }
	AllocateNetwork struct {
		ID      swarmnet.NetworkID
		VNI     swarmnet.VNI
		Subnets []swarmnet.Subnet
	}
	RemoveNetwork struct{ ID swarmnet.NetworkID }
)

// Services.
type (
	CreateService struct{ Service swarmnet.Service }
	// UpdateService changes what is wanted of a service. Version is the Meta.Updated that the change was made from; 0: any.
	UpdateService struct {
		ID      swarmnet.ServiceID
		Spec    swarmnet.ServiceSpec
		Version uint64
	}
	// RollbackService puts the spec before the last change in force. Message says why where no user asked for it.
	RollbackService struct {
		ID      swarmnet.ServiceID
		Message string
	}
	// RemoveService frees a service's name and ports at once and has its tasks stopped; then it is forgotten.
	RemoveService struct{ ID swarmnet.ServiceID }
	// AllocateService gives a service its addresses and ports for one version of its spec.
	AllocateService struct {
		ID      swarmnet.ServiceID
		Version uint64 // the SpecVersion
		VIPs    []swarmnet.VIP
		Ports   []swarmnet.PortSpec
	}
	// ForgetService ends a removal: no task of the service is left.
	ForgetService struct{ ID swarmnet.ServiceID }
	// SetUpdateStatus says where the roll-out of one version of the spec stands.
	SetUpdateStatus struct {
		ID      swarmnet.ServiceID
		Version uint64 // the SpecVersion
		Status  swarmnet.UpdateStatus
	}
)

// Tasks.
type (
	CreateTask struct{ Task swarmnet.Task }
	// AllocateTask gives a new task its endpoints: it becomes pending. Its ports become the service's.
	AllocateTask struct {
		Task      swarmnet.TaskID
		Endpoints []swarmnet.Endpoint
	}
	// AssignTask places a pending task on a node.
	AssignTask struct {
		Task swarmnet.TaskID
		Node swarmnet.NodeID
	}
	SetDesired struct {
		Task    swarmnet.TaskID
		Desired swarmnet.DesiredState
		Note    string // replaces the task's; empty: it keeps it
	}
	// UpdateTaskStatus is what a node reports. States only rise; a report of a task that is gone, of another node than the
	// task's, or of an older start of the agent is nothing.
	UpdateTaskStatus struct {
		Task   swarmnet.TaskID
		Status swarmnet.TaskStatus
		Node   swarmnet.NodeID
		Epoch  uint64 // 0: any
	}
	// SetTaskMessage says why a task waits.
	SetTaskMessage struct {
		Task    swarmnet.TaskID
		Message string
	}
	// RemoveTask forgets a task that has ended or was never placed.
	RemoveTask struct{ ID swarmnet.TaskID }
)

// Attachments: endpoints of sandboxes that a person runs on a node. They stand in the state as tasks without a service.
type (
	// CreateAttachment gives a sandbox an endpoint on an attachable network, with its addresses at once. The result carries the
	// endpoint's id. What is there already is left as it is. Service, by name or id, is the external service that the sandbox joins if that is
	// on the network; empty: none.
	CreateAttachment struct {
		Sandbox    swarmnet.TaskID
		Name       string
		Node       swarmnet.NodeID
		Attachment swarmnet.NetworkAttachment
		Service    string
	}
	// DrainAttachment takes a sandbox that has joined a service out of all balancers until it runs anew. For one that has not it is nothing.
	DrainAttachment struct {
		Sandbox swarmnet.TaskID
		Node    swarmnet.NodeID
	}
	// RemoveAttachment takes a sandbox off a network. No Network: off all of them. No Sandbox: all of the node's.
	RemoveAttachment struct {
		Sandbox swarmnet.TaskID
		Node    swarmnet.NodeID
		Network swarmnet.NetworkID
	}
)
