package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/plan"
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

func (u Uplink) host() []netip.Prefix   { return []netip.Prefix{u.Host4, u.Host6} }
func (u Uplink) fabric() []netip.Prefix { return []netip.Prefix{u.Fabric4, u.Fabric6} }

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
	// Doubt reports whether anything may have changed in the kernel since it was last asked; nil: always. While it does not, what is known of
	// the networks is changed without being looked at.
	Doubt func() bool
	// Clocks are shared with those who have tables of ours in the same namespaces; nil: with nobody.
	Clocks *nft.Clocks
	Logger *slog.Logger
}

// Fabric is a node's virtual router. Its methods may be called by one goroutine at a time.
type Fabric struct {
	cfg Config
	// held keeps the namespace alive should somebody unmount its file: then it gets its name back, and no packet is lost. nil: none yet.
	held   *netns.Handle
	looked time.Time
	made   *overlay.Desired // what the networks are as, unless somebody else changes them; nil: they must be looked at

	hostMemo, fabricMemo nft.Memo // of the tables
}

// Looked is when the last look of a pass began; after a pass without an error it found all as it must be.
func (f *Fabric) Looked() time.Time { return f.looked }

// New returns the fabric that cfg describes; nothing is made yet.
func New(cfg Config) *Fabric {
	if !cfg.Uplink.Host4.IsValid() {
		cfg.Uplink = DefaultUplink()
	}
	if cfg.Doubt == nil {
		cfg.Doubt = func() bool { return true }
	}
	if cfg.Clocks == nil {
		cfg.Clocks = &nft.Clocks{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Fabric{cfg: cfg}
}

// Path is where the fabric's namespace is.
func (f *Fabric) Path() string { return filepath.Join(f.cfg.NetnsDir, FabricName) }

// passes bounds how often Reconcile looks again: devices that had to be made anew take their entries with them.
const passes = 3

// Reconcile makes the fabric what d says and returns what it had to do to the networks; when all was well, nothing. All that it changes, or would
// change, the context's plan is told.
func (f *Fabric) Reconcile(ctx context.Context, d overlay.Desired) ([]overlay.Op, error) {
	if plan.From(ctx).IsDry() {
		return f.look(ctx, d)
	}
	made := f.made
	f.made = nil
	known := !f.cfg.Doubt() && made != nil && time.Since(f.looked) < fullLook
	if known {
		was, is, ok := overlay.Step(*made, d)
		if ok && overlay.HasEndpoints(was, is) {
			ops, err := f.change(ctx, was.Objects(), is.Objects())
			if err != nil {
				return nil, wrap(err)
			}
			f.made = &d
			return ops, nil
		}
		known = ok
	}
	if known {
		there, err := f.ensure(ctx, d)
		if err == nil && there {
			f.made = &d
		}
		return nil, wrap(err)
	}
	ops, err := f.look(ctx, d)
	if err == nil {
		f.made = &d
	}
	return ops, err
}

// fullLook is how often the networks are looked at although there is no cause to doubt them.
const fullLook = 30 * time.Second

// change goes from what is known to be there to what is wanted in its place.
func (f *Fabric) change(ctx context.Context, have, want []overlay.Object) ([]overlay.Op, error) {
	c, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	ops := overlay.Diff(c.possible(have), c.possible(want))
	note(c.plan, ops)
	return ops, c.perform(have, ops)
}

// perform does what a pass has to do to what it has found.
func (c *conns) perform(have []overlay.Object, ops []overlay.Op) error {
	if err := c.fabric.Quietly(func() error { return c.host.Quietly(func() error { return c.apply(ops) }) }); err != nil {
		return err
	}
	return c.announce(overlay.Moved(have, ops))
}

// look compares what there is with d, and makes the difference.
func (f *Fabric) look(ctx context.Context, d overlay.Desired) ([]overlay.Op, error) {
	began := time.Now()
	if there, err := f.ensure(ctx, d); err != nil || !there {
		return nil, wrap(err)
	}
	c, err := f.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	defer c.close()
	want := c.possible(d.Objects())
	var done []overlay.Op
	for pass := range passes {
		if pass > 0 || len(c.plan.Lines()) > 0 { // what was told before is of what was done
			began = time.Now()
		}
		if !c.plan.IsDry() {
			f.looked = began
		}
		have, stray, err := c.observe()
		if err != nil {
			return done, fmt.Errorf("fabric: %w", err)
		}
		ops := overlay.Diff(have, want)
		if len(ops) == 0 && stray.none() {
			return done, nil
		}
		note(c.plan, ops)
		if c.plan.IsDry() {
			return nil, c.removeStrays(stray)
		}
		if err := c.perform(have, ops); err != nil {
			return done, fmt.Errorf("fabric: %w", err)
		}
		if err := c.removeStrays(stray); err != nil {
			return done, fmt.Errorf("fabric: %w", err)
		}
		done = append(done, ops...)
	}
	return done, nil
}

// possible are the objects that this kernel can have: on one without IPv6, what is wanted of that does not keep the rest from being made.
func (c *conns) possible(all []overlay.Object) []overlay.Object {
	if c.fabric.HasIPv6() {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(o overlay.Object) bool { return o.Prefix.Addr().Is6() || o.Addr.Is6() })
}

// Remove takes the fabric, everything in it and our marks on the host away. The devices go first: a namespace goes some time after it was removed, and
// its VXLAN devices would keep their VNIs from being used again until then.
func (f *Fabric) Remove(context.Context) error {
	host, err := nl.Open(f.cfg.HostNS)
	if err != nil {
		return err
	}
	defer host.Close()
	defer f.letGo()
	return errors.Join(f.clear(), host.DelLink(HostLink), netns.Delete(f.cfg.NetnsDir, FabricName), removeTable(host.NS()))
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("fabric: %w", err)
}

// note tells a plan what is done to the networks.
func note(p *plan.Plan, ops []overlay.Op) {
	for _, op := range ops {
		if op.Remove {
			p.Remove("%s", op.Object)
		} else {
			p.Add("%s", op.Object)
		}
	}
}

// Close lets go of the namespace; it stays, with everything in it.
func (f *Fabric) Close() { f.letGo() }

func (f *Fabric) letGo() {
	if f.held != nil {
		f.held.Close()
		f.held = nil
	}
}

// ensureNamespace makes the namespace, or gives it back its name. there is false when a dry pass finds none.
func (f *Fabric) ensureNamespace(p *plan.Plan) (there bool, err error) {
	h, err := netns.Open(f.Path())
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	case p.IsDry():
		p.Add("netns %s", f.Path())
		return false, nil
	case f.held != nil:
		p.Add("netns %s", f.Path())
		return true, netns.Restore(f.cfg.NetnsDir, FabricName, f.held)
	default:
		p.Add("netns %s", f.Path())
		if _, err := netns.Create(f.cfg.NetnsDir, FabricName); err != nil {
			return false, err
		}
		if h, err = netns.Open(f.Path()); err != nil {
			return false, err
		}
	}
	f.letGo()
	f.held = h
	return true, nil
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
	uplinkIndex  int // of the fabric's end, once ensureUplink has seen to it; 0: not yet
	plan         *plan.Plan
}

func (f *Fabric) open(ctx context.Context) (*conns, error) {
	host, err := nl.OpenIn(ctx, f.cfg.HostNS)
	if err != nil {
		return nil, err
	}
	fabric, err := nl.OpenIn(ctx, f.Path())
	if err != nil {
		host.Close()
		return nil, err
	}
	return &conns{host: host, fabric: fabric, uplink: f.cfg.Uplink, plan: plan.From(ctx)}, nil
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
