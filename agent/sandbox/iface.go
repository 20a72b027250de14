package sandbox

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/swarmnet/swarmnet/internal/nl"
)

// ensureInterface makes or repairs one interface, have being what carries its name now, and returns its index.
func (w *wiring) ensureInterface(sandbox string, i Interface, have nl.Link) (int, error) {
	if i.Macvlan.Parent != "" {
		return w.ensureMacvlan(sandbox, i, have)
	}
	if w.fabric == nil {
		return 0, fmt.Errorf("the fabric is not there yet")
	}
	bridge, err := w.bridge(i.VNI)
	if err != nil {
		return 0, err
	}
	port, ok, err := w.fabric.Link(portName(sandbox, i.VNI))
	if err != nil {
		return 0, err
	}
	// The alias names the sandbox and the interface, the port's name the network: when both ends agree they belong together.
	if have.Name == "" || !ok || port.Alias != mark(sandbox, i) || have.Alias != aliasIn(sandbox, i) {
		if have, port, err = w.connect(sandbox, i, have, port); err != nil || w.plan.IsDry() {
			return 0, err
		}
	}
	if err := w.ensurePort(i, port, bridge); err != nil {
		return 0, err
	}
	news, err := w.ensureInside(i, have)
	if err != nil || w.plan.IsDry() {
		return have.Index, err
	}
	if !have.Up || !port.Up {
		if err := w.in.AwaitRunning(have.Index); err != nil {
			return 0, err
		}
		if err := w.fabric.AwaitRunning(port.Index); err != nil { // the bridge forwards
			return 0, err
		}
	}
	return have.Index, w.in.Announce(news)
}

// aliasIn is the mark of the sandbox's end. It names the port, so that an interface that moved to another network is noticed.
func aliasIn(sandbox string, i Interface) string { return markPrefix + portName(sandbox, i.VNI) }

// connect makes the pair anew, after what is left of an old one.
func (w *wiring) connect(sandbox string, i Interface, have, port nl.Link) (nl.Link, nl.Link, error) {
	if have.Name != "" {
		if err := w.in.DelLink(have.Name); err != nil {
			return have, port, err
		}
	}
	name := portName(sandbox, i.VNI)
	if err := w.fabric.DelLink(name); err != nil {
		return have, port, err
	}
	if err := w.fabric.AddVeth(i.MTU, nl.Veth{Name: name}, nl.Veth{Name: i.Name, MAC: i.MAC, NS: w.in.NS()}); err != nil {
		return have, port, err
	}
	if w.plan.IsDry() {
		return have, port, nil
	}
	port, err := must(w.fabric, name)
	if err != nil {
		return have, port, err
	}
	if have, err = must(w.in, i.Name); err != nil {
		return have, port, err
	}
	// The sandbox's mark comes first: it is by it that Delete finds the pair.
	if err := w.in.SetAlias(have.Index, aliasIn(sandbox, i)); err != nil {
		return have, port, err
	}
	return have, port, w.fabric.SetAlias(port.Index, mark(sandbox, i))
}

func must(c *nl.Conn, name string) (nl.Link, error) {
	l, ok, err := c.Link(name)
	if err == nil && !ok {
		err = fmt.Errorf("link %s, just made, is gone", name)
	}
	return l, err
}

// ensurePort joins the fabric's end to the bridge. The bridge is told where the MAC is: it neither learns from the sandbox, which could
// lie, nor takes frames from it under another's address, nor floods to it what is for others.
func (w *wiring) ensurePort(i Interface, port, bridge nl.Link) error {
	if port.MTU != i.MTU {
		if err := w.fabric.SetMTU(port.Index, i.MTU); err != nil {
			return err
		}
	}
	if port.Master != bridge.Index {
		if err := w.fabric.SetMaster(port.Index, bridge.Index); err != nil {
			return err
		}
	}
	entry := nl.Neigh{Index: port.Index, MAC: i.MAC}
	known, err := w.fabric.FDB(port.Index)
	if err != nil {
		return err
	}
	if !slices.Contains(known, entry) {
		if err := w.fabric.SetNeighs([]nl.Neigh{entry}); err != nil {
			return err
		}
	}
	if err := w.fabric.EnsurePort(port.Index, nl.Port{Isolated: i.Isolated, Locked: true}); err != nil {
		return err
	}
	if port.Up {
		return nil
	}
	return w.fabric.SetUp(port.Index)
}

// disableIPv6 keeps an interface on a network without IPv6 from having a link-local address and from what the kernel sends for its sake.
func disableIPv6(i Interface) string {
	if slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		return "0"
	}
	return "1"
}

// ensureInside sets up the sandbox's end. news are the addresses that were elsewhere before, or nowhere: those on the network who knew them there are
// to be told.
func (w *wiring) ensureInside(i Interface, l nl.Link) (news []nl.Neigh, err error) {
	mac, moved := l.MAC, false
	if l.MAC != i.MAC && !i.MAC.IsZero() {
		if err := w.in.SetMAC(l.Index, i.MAC); err != nil {
			return nil, err
		}
		mac, moved = i.MAC, true
	}
	if l.MTU != i.MTU && i.MTU != 0 {
		if err := w.in.SetMTU(l.Index, i.MTU); err != nil {
			return nil, err
		}
	}
	if err := w.in.Sysctls([][2]string{{"net/ipv6/conf/" + i.Name + "/disable_ipv6", disableIPv6(i)}}); err != nil {
		return nil, err
	}
	have, err := w.in.Addrs(l.Index)
	if err != nil {
		return nil, err
	}
	for _, p := range i.Addrs {
		there := slices.Contains(have, p)
		if !there || moved {
			news = append(news, nl.Neigh{Index: l.Index, MAC: mac, Addr: p.Addr()})
		}
		if !there {
			if err := w.in.AddAddr(l.Index, p); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range have {
		if !slices.Contains(i.Addrs, p) {
			if err := w.in.DelAddr(l.Index, p); err != nil {
				return nil, err
			}
		}
	}
	if l.Up {
		return news, nil
	}
	return news, w.in.SetUp(l.Index)
}
