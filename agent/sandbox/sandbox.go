package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/plan"
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
	MTU   int // octets; 0, with Macvlan only: the parent's
	// VNI of the network: the interface is a port of its bridge in the fabric.
	VNI swarmnet.VNI
	// Isolated keeps the port from other isolated ports of the bridge: the members of the network do not reach each other.
	Isolated bool
	// Macvlan, unless its Parent is empty, makes the interface one on a network of the host's instead; VNI and Isolated do not count then.
	Macvlan Macvlan
	// Via are the gateways of the network, at most one of each family: where interfaces with gateways are several, what has an address of this one
	// leaves by these, wherever the default routes go. So a connection stays whole when another network comes or goes and takes the default
	// routes along.
	Via []netip.Addr
	// Foreign says that somebody else makes the interface and all of it but the default routes.
	Foreign bool
	// DefaultVia are the gateways of the default routes, at most one of each family; set on one interface.
	DefaultVia []netip.Addr
}

// Macvlan is a device of the host on whose network a sandbox has an interface of its own.
type Macvlan struct {
	// Parent is the host's device. One called PARENT.ID that is not there is made: the VLAN ID of PARENT.
	Parent string
	// Mode is bridge (the default), vepa, private or passthru, as of ip-link(8). In passthru the interface has the parent's MAC.
	Mode string
}

// Config says where sandboxes are.
type Config struct {
	HostNS   string // path of the namespace that counts as the host's; empty: the caller's own
	NetnsDir string // holds the namespaces
	FabricNS string // path of the fabric's namespace
	Logger   *slog.Logger
}

// Sandboxes makes and deletes sandboxes. Its methods may be called from any goroutine, for one sandbox by one at a time.
type Sandboxes struct{ cfg Config }

// New returns a maker of sandboxes; nothing is made yet.
func New(cfg Config) *Sandboxes {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sandboxes{cfg}
}

// prefix keeps sandboxes apart from the fabric and from whatever else is in the directory.
const prefix = "sb-"

// Path is where a sandbox's namespace is.
func (s *Sandboxes) Path(name string) string { return filepath.Join(s.cfg.NetnsDir, prefix+name) }

// There reports whether a sandbox's namespace has its name, and intact whether what it takes to be looked at is as Ensure made it: of what else
// changes in a sandbox the kernel tells.
func (s *Sandboxes) There(name string) (there, intact bool) {
	h, err := netns.Open(s.Path(name))
	if err != nil {
		return false, false
	}
	defer h.Close()
	ok, err := nl.SysctlsAre(h, silent)
	return true, ok && err == nil
}

// Restore gives the namespace of a sandbox that lives on its name again, by a socket in it.
func (s *Sandboxes) Restore(ctx context.Context, name string, sock syscall.Conn) error {
	if err := checkName(name); err != nil {
		return err
	}
	plan.From(ctx).Add("netns %s", s.Path(name))
	h, err := netns.OfSocket(sock)
	if err != nil {
		return fmt.Errorf("sandbox %s: %w", name, err)
	}
	defer h.Close()
	return netns.Restore(s.cfg.NetnsDir, prefix+name, h)
}

// List names the sandboxes of this node.
func (s *Sandboxes) List() ([]string, error) {
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

// Ensure makes a sandbox what spec says, a new one or one that is there; what is right already is not touched, so that
// connections go on.
func (s *Sandboxes) Ensure(ctx context.Context, spec Spec) error {
	if err := checkName(spec.Name); err != nil {
		return err
	}
	if there, err := s.ensureNamespace(ctx, spec.Name); err != nil || !there {
		return err
	}
	w, err := s.open(ctx, spec.Name)
	if err != nil {
		return fmt.Errorf("sandbox %s: %w", spec.Name, err)
	}
	defer w.close()
	if err := w.ensure(spec); err != nil {
		return fmt.Errorf("sandbox %s: %w", spec.Name, err)
	}
	return nil
}

// ensureNamespace makes a sandbox's namespace; there is false when a dry pass finds none.
func (s *Sandboxes) ensureNamespace(ctx context.Context, name string) (there bool, err error) {
	if h, err := netns.Open(s.Path(name)); err == nil {
		return true, h.Close()
	}
	p := plan.From(ctx)
	p.Add("netns %s", s.Path(name))
	if p.IsDry() {
		return false, nil
	}
	if _, err := netns.Create(s.cfg.NetnsDir, prefix+name); err != nil {
		return false, fmt.Errorf("sandbox %s: %w", name, err)
	}
	return true, nil
}

// Delete removes a sandbox and its interfaces, both ends, even while a process keeps the namespace itself alive. An absent one is gone
// already.
func (s *Sandboxes) Delete(_ context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	there, err := s.deleteInterfaces(name)
	if err == nil && !there {
		err = s.deletePorts(name)
	}
	if err != nil {
		return fmt.Errorf("sandbox %s: %w", name, err)
	}
	return netns.Delete(s.cfg.NetnsDir, prefix+name)
}

// deleteInterfaces takes away the interfaces inside a sandbox, and with one end of a pair goes the other. It reports whether the sandbox is
// there.
func (s *Sandboxes) deleteInterfaces(name string) (there bool, err error) {
	in, err := nl.Open(s.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer in.Close()
	links, err := in.Links()
	if err != nil {
		return true, err
	}
	for _, l := range links {
		if isOurs(l) {
			if err := in.DelLink(l.Name); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}

// deletePorts looks through the whole fabric for the ends of a sandbox whose namespace lost its name, and that a process keeps alive.
func (s *Sandboxes) deletePorts(name string) error {
	fabric, err := nl.Open(s.cfg.FabricNS)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the ports went with the fabric
	}
	if err != nil {
		return err
	}
	defer fabric.Close()
	links, err := fabric.Links()
	if err != nil {
		return err
	}
	for _, l := range links {
		if ownerOf(l) == name {
			if err := fabric.DelLink(l.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkName keeps names from leading out of the directory.
func checkName(name string) error {
	if name == "" || strings.ContainsRune(name, filepath.Separator) {
		return fmt.Errorf("%q is not a name for a sandbox: it must be one file name", name)
	}
	return nil
}
