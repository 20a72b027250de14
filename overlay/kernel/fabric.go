package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// Names of what the fabric is made of.
const (
	FabricName = "fabric"    // the namespace, in Config.NetnsDir
	HostLink   = "swarmnet0" // the host's end of the way between host and fabric
	UplinkName = "uplink"    // the fabric's end
)

// Uplink is the link between the host and the fabric.
type Uplink struct {
	Host4, Fabric4 netip.Prefix
	Host6, Fabric6 netip.Prefix
}

// DefaultUplink is a link-local net that a host has no other use for.
func DefaultUplink() Uplink {
	return Uplink{
		Host4: netip.MustParsePrefix("169.254.77.1/30"), Fabric4: netip.MustParsePrefix("169.254.77.2/30"),
		Host6: netip.MustParsePrefix("fd00:5377:6d00::1/126"), Fabric6: netip.MustParsePrefix("fd00:5377:6d00::2/126"),
	}
}

// Config says where the fabric is.
type Config struct {
	// HostNS is the path of the namespace that counts as the host's; empty: the caller's own.
	HostNS string
	// NetnsDir holds the namespaces that we make.
	NetnsDir string
	Uplink   Uplink // zero: DefaultUplink
	Logger   *slog.Logger
}

// Fabric is a node's virtual router. Its methods may be called by one goroutine at a time.
type Fabric struct{ cfg Config }

// New returns the fabric that cfg describes; nothing is made yet.
func New(cfg Config) *Fabric {
	if !cfg.Uplink.Host4.IsValid() {
		cfg.Uplink = DefaultUplink()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Fabric{cfg}
}

// Path is where the fabric's namespace is.
func (f *Fabric) Path() string { return filepath.Join(f.cfg.NetnsDir, FabricName) }

// passes bounds how often Reconcile looks again: devices that had to be made anew take their entries with them.
const passes = 3

// Reconcile makes the fabric what d says and returns what it had to do; when all was well, nothing.
func (f *Fabric) Reconcile(_ context.Context, d overlay.Desired) ([]overlay.Op, error) {
	if err := f.ensure(d); err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	c, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	defer c.close()
	var done []overlay.Op
	for range passes {
		have, stray, err := c.observe()
		if err != nil {
			return done, fmt.Errorf("fabric: %w", err)
		}
		ops := overlay.Diff(have, d.Objects())
		if len(ops) == 0 && stray.none() {
			return done, nil
		}
		if err := c.apply(ops); err != nil {
			return done, fmt.Errorf("fabric: %w", err)
		}
		if err := c.removeStrays(stray); err != nil {
			return done, fmt.Errorf("fabric: %w", err)
		}
		done = append(done, ops...)
	}
	return done, nil
}

// Remove takes the fabric, everything in it and our marks on the host away. The devices go first: a namespace goes some time after it was removed, and
// its VXLAN devices would keep their VNIs from being used again until then.
func (f *Fabric) Remove(context.Context) error {
	host, err := nl.Open(f.cfg.HostNS)
	if err != nil {
		return err
	}
	defer host.Close()
	return errors.Join(f.clear(), host.DelLink(HostLink), netns.Delete(f.cfg.NetnsDir, FabricName), removeTable(host.NS()))
}

// clear deletes the networks' devices, all by their names; an absent fabric is clear.
func (f *Fabric) clear() error {
	c, err := nl.Open(f.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return err
	}
	for _, l := range links {
		if strings.HasPrefix(l.Name, "br-") || strings.HasPrefix(l.Name, "vx-") {
			if err := c.DelLink(l.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// conns are the two namespaces that the fabric lives in.
type conns struct {
	host, fabric *nl.Conn
	uplink       Uplink
}

func (f *Fabric) open() (*conns, error) {
	host, err := nl.Open(f.cfg.HostNS)
	if err != nil {
		return nil, err
	}
	fabric, err := nl.Open(f.Path())
	if err != nil {
		host.Close()
		return nil, err
	}
	return &conns{host, fabric, f.cfg.Uplink}, nil
}

func (c *conns) close() {
	c.host.Close()
	c.fabric.Close()
}

// ignoreAbsent drops the error of a sysctl that this kernel does not have.
func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
