package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/plan"
	"github.com/swarmnet/swarmnet/overlay"
)

// wiring is one sandbox and what it is joined to, opened.
type wiring struct {
	sandboxes  *Sandboxes
	plan       *plan.Plan
	fabric, in *nl.Conn                 // fabric is nil while there is none
	bridges    map[swarmnet.VNI]nl.Link // looked up already
}

func (s *Sandboxes) open(ctx context.Context, name string) (*wiring, error) {
	fabric, err := nl.OpenIn(ctx, s.cfg.FabricNS)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	in, err := nl.OpenIn(ctx, s.Path(name))
	if err != nil {
		if fabric != nil {
			fabric.Close()
		}
		return nil, err
	}
	return &wiring{sandboxes: s, plan: plan.From(ctx), fabric: fabric, in: in, bridges: map[swarmnet.VNI]nl.Link{}}, nil
}

func (w *wiring) close() {
	w.in.Close()
	if w.fabric != nil {
		w.fabric.Close()
	}
}

func (w *wiring) ensure(spec Spec) error {
	links, err := w.in.Links()
	if err != nil {
		return err
	}
	byName := map[string]nl.Link{}
	for _, l := range links {
		byName[l.Name] = l
	}
	if err := w.prepare(byName["lo"]); err != nil {
		return err
	}
	// What must go goes first: an interface that is wanted may have its name.
	for _, l := range links {
		wanted := slices.ContainsFunc(spec.Interfaces, func(i Interface) bool { return i.Name == l.Name && !i.Foreign })
		if isOurs(l) && !wanted {
			if err := w.in.DelLink(l.Name); err != nil {
				return err
			}
		}
	}
	var ours []connected
	for _, i := range spec.Interfaces {
		if i.Foreign {
			if l, there := byName[i.Name]; there && !isOurs(l) {
				theirs, err := w.foreignRoutes(l.Index)
				if err != nil {
					return err
				}
				ours = append(ours, connected{i, l.Index, theirs})
			}
			continue
		}
		c, err := w.ensureInterface(spec.Name, i, byName[i.Name])
		if err != nil {
			return fmt.Errorf("interface %s: %w", i.Name, err)
		}
		if c != 0 {
			ours = append(ours, connected{i, c, nil})
		}
	}
	return w.ensureRoutes(ours)
}

// connected is an interface and its index in the sandbox.
type connected struct {
	Interface
	index int // 0: it would be made, but the pass is dry
	// theirs are the routes that the maker of a foreign interface made, but the default ones.
	theirs []nl.Route
}

// silent are the settings of a sandbox of whose change the kernel tells nobody.
var silent = [][2]string{
	nl.KeepIdleTCP,
	nl.ForgetResetTCP,
	{"net/ipv6/conf/all/accept_dad", "0"},
	{"net/ipv6/conf/default/accept_dad", "0"},
	{"net/ipv6/conf/all/accept_ra", "0"},
	{"net/ipv6/conf/default/accept_ra", "0"},
}

// prepare sets up what does not depend on the interfaces. Replies may take another way than requests came (rp_filter), our IPv6 addresses are
// unique by allocation (accept_dad), and routers are not asked (accept_ra). That the host does without IPv6 does not count here (disable_ipv6).
func (w *wiring) prepare(lo nl.Link) error {
	err := w.in.Sysctls(slices.Concat(silent, [][2]string{
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv6/conf/all/disable_ipv6", "0"},
		{"net/ipv6/conf/default/disable_ipv6", "0"},
	}))
	if err == nil && w.fabric != nil {
		err = w.fabric.EnsureNSID(w.in.NS()) // one without a port in the fabric has none
	}
	if err != nil || lo.Up {
		return err
	}
	return w.in.SetUp(lo.Index)
}

// bridge is the fabric's bridge of a network.
func (w *wiring) bridge(vni swarmnet.VNI) (nl.Link, error) {
	if l, ok := w.bridges[vni]; ok {
		return l, nil
	}
	name := overlay.BridgeName(vni)
	l, ok, err := w.fabric.Link(name)
	if err != nil {
		return nl.Link{}, err
	}
	if !ok {
		return nl.Link{}, fmt.Errorf("bridge %s is not in the fabric yet", name)
	}
	w.bridges[vni] = l
	return l, nil
}
