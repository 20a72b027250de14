// Package agent is what every node runs: it holds the session with the managers, takes part in the gossip, and keeps this node's
// sandboxes, workloads, overlay networks, balancers and resolver as they must be. When it ends, all of these go on without it.
package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local/store"
	"github.com/swarmnet/swarmnet/overlay/kernel"
)

// Config of an Agent.
type Config struct {
	NodeID    swarmnet.NodeID
	ClusterID swarmnet.ClusterID
	// Dial connects to a manager's API as this node; nil: the node is in no cluster.
	Dial func(ctx context.Context, addr string) (*grpc.ClientConn, error)
	// Managers are the addresses to begin with, HOST:PORT.
	Managers []string
	// DataDir holds what must outlive a reboot: the last assignments and the gossip's signing key.
	DataDir string
	// CNIDir holds what must outlive a reboot of what CNI plugins made for the node's own sandboxes. It outlives the node's membership, too.
	CNIDir string
	// RunDir holds what a reboot ends: tasks and network namespaces.
	RunDir string
	// VTEP is this node's underlay address for VXLAN.
	VTEP netip.Addr
	// GossipAddr is where the gossip listens and what the others are told.
	GossipAddr netip.AddrPort
	// APIAddr is what the managers are told of the node's own API listener, HOST:PORT.
	APIAddr  string
	Hostname string
	Version  string
	// ResolvConf is the host's resolver configuration (default /etc/resolv.conf), DNS the servers to ask instead of its own.
	ResolvConf string
	DNS        []netip.Addr
	Balancing  Balancing
	Features   []string // of the kernel, by the probe's names: what the managers are told
	Logger     *slog.Logger
	// OnSet is told of every new assignment set. It must not block.
	OnSet func(swarmnet.AssignmentSet)

	resync time.Duration // default resyncEvery
	// Local are the node's own networks and sandboxes; nil: it has none. They outlive the agent and the node's membership.
	Local *store.Store
}

func (c Config) withDefaults() Config {
	if c.ResolvConf == "" {
		c.ResolvConf = "/etc/resolv.conf"
	}
	if c.resync == 0 {
		c.resync = resyncEvery
	}
	if c.OnSet == nil {
		c.OnSet = func(swarmnet.AssignmentSet) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) assignmentsFile() string { return filepath.Join(c.DataDir, "assignments") }
func (c Config) gossipKeyFile() string   { return filepath.Join(c.DataDir, "gossip.key") }
func (c Config) tasksDir() string        { return filepath.Join(c.RunDir, "tasks") }
func (c Config) netnsDir() string        { return filepath.Join(c.RunDir, "netns") }
func (c Config) fabricFile() string      { return filepath.Join(c.netnsDir(), kernel.FabricName) }
