package agent

import (
	"context"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/gossip/member"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/changes"
	"github.com/swarmnet/swarmnet/overlay"
)

// parts are what the agent drives. kernel.go makes the real ones; tests have others.
type parts struct {
	fabric    fabric
	balancer  balancer
	sandboxes sandboxes
	gossip    gossiper
	resolver  resolver
	executor  executor.Executor
	watcher   watcher
	doubts    *doubts // whether fabric and balancer must look before they change anything
	paths     paths
}

// fabric realises overlay networks.
type fabric interface {
	UnderlayMTU() (int, error)
	// Reconcile returns whether devices that sandboxes hang on were made, anew perhaps.
	Reconcile(ctx context.Context, d overlay.Desired) (remade bool, err error)
	// Looked is when the last look began, of one that found all as it must be.
	Looked() time.Time
	// Remove takes the fabric and everything in it off the host.
	Remove(ctx context.Context) error
}

// balancer realises published ports on the node and virtual addresses in sandboxes.
type balancer interface {
	Mesh(ctx context.Context, m ingress.Mesh) error
	VIPs(ctx context.Context, netnsPath string, v ingress.VIPs) error
	// Told reports whether the watcher hears of what changes in what VIPs made.
	Told() bool
	// Held are the published ports that this node holds on the host, in no order.
	Held() []swarmnet.PortSpec
	// Degraded are those that it cannot hold, ordered, and why.
	Degraded() []swarmnet.DegradedPort
	// Remove takes the mesh off the host.
	Remove(ctx context.Context) error
	// Close gives back what only a running daemon can hold; what is in the kernel stays.
	Close() error
}

// sandboxes makes and deletes network namespaces.
type sandboxes interface {
	// Ensure returns what drivers that give addresses themselves gave, by network. A *driver.Refusal is not worth another attempt.
	Ensure(ctx context.Context, s desired.Sandbox) (map[swarmnet.NetworkID]driver.Given, error)
	Delete(ctx context.Context, name string) error
	List() ([]string, error)
	Path(name string) string
	// There reports whether a sandbox's namespace has its name, and intact whether what of it changes unheard is as Ensure made it.
	There(name string) (there, intact bool)
	// Restore gives a namespace that lives on its name again, by the resolver's sockets in it.
	Restore(ctx context.Context, name string, s *executor.Sockets) error
	// Resolver opens the resolver's sockets in a sandbox.
	Resolver(name string) (*executor.Sockets, error)
	// PruneParents takes away the VLAN devices that were made for macvlan networks, but those that are parents still.
	PruneParents(ctx context.Context, parents []string) error
	// PruneAttachments takes away what plugins made for sandboxes that are not kept.
	PruneAttachments(ctx context.Context, keep func(name string) bool)
}

// gossiper is this node's part in the gossip.
type gossiper interface {
	Run(ctx context.Context) error
	Configure(s member.Settings) error
	SetEndpoint(n swarmnet.NetworkID, ep swarmnet.EndpointID, state gossip.EndpointState)
	DeleteEndpoint(n swarmnet.NetworkID, ep swarmnet.EndpointID)
	View() gossip.View
	Changed() <-chan struct{}
}

// resolver answers the queries of sandboxes.
type resolver interface {
	Run(ctx context.Context) error
	Update(to *changes.Step)
	// Attach takes the sockets over.
	Attach(t desired.Task, sockets *executor.Sockets) error
	// Reconfigure says that an attached task's networks are others now.
	Reconfigure(t desired.Task)
	Detach(id swarmnet.TaskID)
	// Refused says of which attached tasks how many queries were refused, since too many were under way.
	Refused() map[swarmnet.TaskID]uint64
	// Files returns the contents of a task's /etc/resolv.conf and /etc/hosts.
	Files(t desired.Task) (resolvConf, hosts string)
}
