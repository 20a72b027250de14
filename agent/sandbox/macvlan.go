package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// parentMark is the alias of a VLAN device that we made for the sake of macvlan networks.
const parentMark = markPrefix + "vlan"

// maxVLAN is the highest VLAN id (IEEE 802.1Q, 9.6: 4095 is reserved).
const maxVLAN = 4094

// aliasMacvlan is the mark of a macvlan interface; it names what cannot be changed, so that a change is noticed.
func aliasMacvlan(m Macvlan) string { return markPrefix + "macvlan " + m.Mode + " " + m.Parent }

// ensureMacvlan makes or repairs an interface on a network of the host's.
func (w *wiring) ensureMacvlan(sandbox string, i Interface, have nl.Link) (int, error) {
	if have.Name != "" && (have.Kind != "macvlan" || have.Alias != aliasMacvlan(i.Macvlan)) {
		if err := w.in.DelLink(have.Name); err != nil {
			return 0, err
		}
		have = nl.Link{}
	}
	if i.Macvlan.Mode == "passthru" {
		i.MAC = [6]byte{} // to change it would change the parent's
	}
	if have.Name == "" {
		var err error
		if w.plan.IsDry() {
			w.plan.Add("link %s type macvlan parent %s mode %s", i.Name, i.Macvlan.Parent, i.Macvlan.Mode)
			return 0, nil
		}
		if have, err = w.makeMacvlan(macvlanName(sandbox, i.Name), i); err != nil {
			return 0, err
		}
	}
	news, err := w.ensureInside(i, have)
	if err != nil || w.plan.IsDry() {
		return have.Index, err
	}
	if !have.Up {
		if err := w.in.AwaitRunning(have.Index); err != nil {
			return 0, err
		}
	}
	return have.Index, w.in.Announce(news)
}

// macvlanName is what an interface is called at first: older kernels (6.1 is one) make it in the host's namespace, where its own name may be
// taken.
func macvlanName(sandbox, name string) string {
	return "mv" + swarmnet.ShortID(swarmnet.DeriveID("macvlan", sandbox, name))
}

func (w *wiring) makeMacvlan(name string, i Interface) (nl.Link, error) {
	host, err := nl.Open(w.sandboxes.cfg.HostNS)
	if err != nil {
		return nl.Link{}, err
	}
	defer host.Close()
	parent, err := ensureParent(host, i.Macvlan.Parent)
	if err != nil {
		return nl.Link{}, err
	}
	if err := w.in.DelLink(name); err != nil { // half-made
		return nl.Link{}, err
	}
	err = host.AddMacvlan(nl.Macvlan{Name: name, Parent: parent.Index, Mode: i.Macvlan.Mode, MAC: i.MAC, MTU: i.MTU}, w.in.NS())
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EINVAL) {
		return nl.Link{}, fmt.Errorf("%w: %s may be a bridge's port, or used alone by a sandbox in mode passthru", err, parent.Name)
	}
	if err != nil {
		return nl.Link{}, err
	}
	l, err := must(w.in, name)
	if err != nil {
		return l, err
	}
	// The mark comes first: what has its name is whole.
	if err := errors.Join(w.in.SetAlias(l.Index, aliasMacvlan(i.Macvlan)), w.in.Rename(l.Index, i.Name)); err != nil {
		return l, err
	}
	return must(w.in, i.Name)
}

// EnsureParent makes the VLAN device that a macvlan network wants as its parent, if it is one and not there yet. A parent that is not
// there and cannot be made is an error that names it.
func (s *Sandboxes) EnsureParent(_ context.Context, parent string) error {
	host, err := nl.Open(s.cfg.HostNS)
	if err != nil {
		return err
	}
	defer host.Close()
	_, err = ensureParent(host, parent)
	return err
}

func ensureParent(host *nl.Conn, name string) (nl.Link, error) {
	l, ok, err := host.Link(name)
	if err != nil {
		return l, err
	}
	if ok && (l.Up || l.Alias != parentMark) {
		return l, nil
	}
	if !ok {
		if l, err = makeVLAN(host, name); err != nil {
			return l, err
		}
	}
	return l, host.SetUp(l.Index)
}

// makeVLAN makes the device called DEVICE.ID.
func makeVLAN(host *nl.Conn, name string) (nl.Link, error) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return nl.Link{}, fmt.Errorf("this host has no interface %q to be the parent: name another", name)
	}
	id, err := strconv.Atoi(name[dot+1:])
	if err != nil || id < 1 || id > maxVLAN {
		return nl.Link{}, fmt.Errorf("this host has no interface %q to be the parent, nor can it be made: %q is not a VLAN, a number from 1 to %d", name, name[dot+1:], maxVLAN)
	}
	under, ok, err := host.Link(name[:dot])
	if err != nil {
		return nl.Link{}, err
	}
	if !ok {
		return nl.Link{}, fmt.Errorf("this host has no interface %q to make the VLAN %d of, for the parent %q: name another", name[:dot], id, name)
	}
	if err := host.AddVLAN(name, under.Index, id); err != nil {
		return nl.Link{}, err
	}
	l, err := must(host, name)
	if err != nil {
		return l, err
	}
	return l, host.SetAlias(l.Index, parentMark)
}

// PruneParents removes the VLAN devices that were made for macvlan networks and are no network's parent any more.
func (s *Sandboxes) PruneParents(_ context.Context, parents []string) error {
	host, err := nl.Open(s.cfg.HostNS)
	if err != nil {
		return err
	}
	defer host.Close()
	links, err := host.Links()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Alias == parentMark && l.Kind == "vlan" && !slices.Contains(parents, l.Name) {
			if err := host.DelLink(l.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
