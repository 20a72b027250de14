package cni

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// callTimeout bounds one ADD, DEL or CHECK of a whole list.
const callTimeout = 15 * time.Second

// Config of a Driver.
type Config struct {
	// Dir holds what must outlive a reboot: which attachments there are, and libcni's cache of results.
	Dir    string
	Logger *slog.Logger
}

// Driver calls plugins, in the namespace of its process. Its methods may be called from any goroutine, for one sandbox by one at a time.
type Driver struct {
	cfg Config

	mu      sync.Mutex
	checked map[string]bool // attachments that this process has made or checked, by file
}

// New returns a driver; nothing is called yet.
func New(cfg Config) *Driver {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Driver{cfg: cfg, checked: map[string]bool{}}
}

// exec runs plugins as libcni does, but what they write on stderr comes back in the error.
func exec() invoke.Exec {
	return &invoke.DefaultExec{RawExec: &invoke.RawExec{}, PluginDecoder: version.PluginDecoder{}}
}

func (d *Driver) lib(w driver.Wish) (*libcni.CNIConfig, *libcni.NetworkConfigList, error) {
	l, err := parse([]byte(w.Conf), "")
	return libcni.NewCNIConfigWithCacheDir(BinDirs(w.BinDir), d.cfg.Dir, exec()), l, err
}

// Attach has the plugins make an interface in a sandbox's namespace at netns, and returns what they gave it. One that is there already is
// left as it is, whatever its wish; made says whether it was made now. When the plugins fail, what they did is undone. The context's plan is told;
// when it is dry nothing is made.
func (d *Driver) Attach(ctx context.Context, sandbox, ifname, netns string, w driver.Wish) (g driver.Given, made bool, err error) {
	old, noted, err := d.read(sandbox, ifname)
	if err != nil {
		return g, false, err
	}
	if noted {
		if g, ok := d.adopt(ctx, old, netns, w); ok {
			return g, false, nil
		}
	}
	p := plan.From(ctx)
	p.Add("link %s type cni network %s", ifname, w.Name)
	if p.IsDry() {
		return g, false, nil
	}
	if noted {
		// Of an attachment that died halfway, whose interface somebody deleted, or from before a reboot, something may be held still.
		if err := d.detach(ctx, old); err != nil {
			return g, false, err
		}
	}
	r := record{Sandbox: sandbox, Interface: ifname, Netns: netns, Wish: w}
	if err := d.write(r); err != nil {
		return g, false, err
	}
	if g, err = d.add(ctx, r); err != nil {
		if ctx.Err() != nil {
			return g, false, err // the daemon ends; the next one undoes it
		}
		if undo := d.detach(ctx, r); undo != nil {
			d.cfg.Logger.Warn("what a failed CNI ADD left cannot be undone, trying again later", "sandbox", sandbox, "err", undo)
		}
		return g, false, err
	}
	d.note(r)
	return g, true, nil
}

func (d *Driver) add(ctx context.Context, r record) (driver.Given, error) {
	refused := func(err error) (driver.Given, error) {
		return driver.Given{}, &driver.Refusal{Text: fmt.Sprintf("network %s: %s", r.Wish.Name, oneLine(detailed(err)))}
	}
	lib, l, err := d.lib(r.Wish)
	if err != nil {
		return refused(err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := lib.AddNetworkList(ctx, l, r.runtime())
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("its plugins took longer than %s: %w", callTimeout, err)
		}
		return refused(err)
	}
	mac, there, err := link(r.Netns, r.Interface)
	switch {
	case err != nil:
		return refused(err)
	case !there:
		return refused(fmt.Errorf("its plugins made no interface %s in the sandbox", r.Interface))
	}
	g, err := given(res, r.Interface, mac)
	if err != nil {
		return refused(err)
	}
	return g, nil
}

// adopt returns what an attachment was given that is as it should be.
func (d *Driver) adopt(ctx context.Context, r record, netns string, w driver.Wish) (driver.Given, bool) {
	if r.Netns != netns || r.Wish.Network != w.Network {
		return driver.Given{}, false
	}
	mac, there, err := link(netns, r.Interface)
	if err != nil || !there {
		return driver.Given{}, false
	}
	lib, l, err := d.lib(r.Wish)
	if err != nil {
		return driver.Given{}, false
	}
	res, err := lib.GetNetworkListCachedResult(l, r.runtime())
	if err != nil || res == nil {
		return driver.Given{}, false
	}
	g, err := given(res, r.Interface, mac)
	if err != nil {
		return driver.Given{}, false
	}
	if d.note(r) {
		return g, true
	}
	// What another daemon made is checked, but never torn down for a plugin's word: it may well be in use.
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := lib.CheckNetworkList(ctx, l, r.runtime()); err != nil && !errors.Is(err, libcni.ErrorCheckNotSupp) {
		d.cfg.Logger.Warn("CNI CHECK finds fault", "network", r.Wish.Name, "sandbox", r.Sandbox, "interface", r.Interface, "err", oneLine(detailed(err)))
	}
	return g, true
}

// note remembers that an attachment is known to this process. It returns whether it was before.
func (d *Driver) note(r record) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := d.file(r.Sandbox, r.Interface)
	was := d.checked[key]
	d.checked[key] = true
	return was
}

// Keep takes away the attachments of a sandbox but those whose interface and network are wanted.
func (d *Driver) Keep(ctx context.Context, sandbox string, wanted func(ifname string, w driver.Wish) bool) error {
	all, err := d.records(sandbox)
	errs := []error{err}
	for _, r := range all {
		if wanted != nil && wanted(r.Interface, r.Wish) {
			continue
		}
		p := plan.From(ctx)
		p.Remove("link %s type cni network %s", r.Interface, r.Wish.Name)
		if !p.IsDry() {
			errs = append(errs, d.detach(ctx, r))
		}
	}
	return errors.Join(errs...)
}

// Detach takes away all attachments of a sandbox. Those that cannot be are kept in mind: Sandboxes goes on naming the sandbox.
func (d *Driver) Detach(ctx context.Context, sandbox string) error { return d.Keep(ctx, sandbox, nil) }

// detach calls DEL and forgets the attachment.
func (d *Driver) detach(ctx context.Context, r record) error {
	lib, l, err := d.lib(r.Wish)
	if err != nil {
		return err
	}
	rt := r.runtime()
	if _, err := os.Stat(r.Netns); errors.Is(err, fs.ErrNotExist) {
		rt.NetNS = "" // SPEC.md, DEL: the namespace may be gone
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := lib.DelNetworkList(ctx, l, rt); err != nil {
		return fmt.Errorf("network %s: %s", r.Wish.Name, oneLine(detailed(err)))
	}
	d.mu.Lock()
	delete(d.checked, d.file(r.Sandbox, r.Interface))
	d.mu.Unlock()
	return d.forget(r)
}

// detailed adds a plugin's details to its message.
func detailed(err error) error {
	var e *types.Error
	if errors.As(err, &e) && e.Details != "" {
		return fmt.Errorf("%w (%s)", err, e.Details)
	}
	return err
}

// link looks for an interface in a namespace.
func link(netns, name string) (mac [6]byte, there bool, err error) {
	c, err := nl.Open(netns)
	if err != nil {
		return mac, false, err
	}
	defer c.Close()
	l, there, err := c.Link(name)
	return l.MAC, there, err
}
