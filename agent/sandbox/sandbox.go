package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// Spec is a sandbox as it should be.
type Spec struct {
	// Name is unique on the node and names its namespace; a task's is the task's id.
	Name       string
	Interfaces []Interface
}

// Interface is one endpoint of a sandbox: its interface inside.
type Interface struct {
	Name  string // inside: eth0, eth1, …
	MAC   swarmnet.MAC
	Addrs []netip.Prefix
	MTU   int // octets
	// Bridge in the fabric that the interface is a port of.
	Bridge string
	// DefaultVia are the gateways of the default routes, at most one of each family; set on one interface.
	DefaultVia []netip.Addr
}

// Config says where sandboxes are.
type Config struct {
	NetnsDir string // holds the namespaces
	FabricNS string // path of the fabric's namespace
	Logger   *slog.Logger
}

// Store makes and deletes sandboxes. Its methods may be called from any goroutine, for one sandbox by one at a time.
type Store struct{ cfg Config }

// New returns a store; it makes nothing yet.
func New(cfg Config) *Store {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{cfg}
}

// Path is where a sandbox's namespace is.
func (s *Store) Path(name string) string { return filepath.Join(s.cfg.NetnsDir, prefix+name) }

// prefix keeps sandboxes apart from the fabric and from whatever else is in the directory.
const prefix = "sb-"

// List names the sandboxes of this node.
func (s *Store) List() ([]string, error) {
	all, err := netns.List(s.cfg.NetnsDir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range all {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out = append(out, rest)
		}
	}
	return out, nil
}

// Delete removes a sandbox; its interfaces go with it, both ends. An absent one is gone already.
func (s *Store) Delete(_ context.Context, name string) error {
	path := s.Path(name)
	if c, err := nl.Open(path); err == nil {
		// The namespace lives on while a process is in it; its interfaces must not.
		links, lerr := c.Links()
		for _, l := range links {
			if lerr == nil && l.Kind == "veth" {
				lerr = c.DelLink(l.Name)
			}
		}
		c.Close()
		if lerr != nil {
			return fmt.Errorf("sandbox %s: %w", name, lerr)
		}
	}
	return netns.Delete(s.cfg.NetnsDir, prefix+name)
}

// fabricEnd names an interface's other end, at most 15 characters: it must be told from every other sandbox's. A MAC is unique
// on the networks of a cluster that it can meet.
func fabricEnd(sandbox string, i Interface) string {
	return "ve" + swarmnet.DeriveID(sandbox, i.Name)[:12]
}
