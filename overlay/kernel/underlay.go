package kernel

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// UnderlayMTU is the MTU, in octets, of the host's device that holds the address vtep; of a host that has none, since it is in no cluster, of
// the device that leads outside, and 1500 where nothing does.
func (f *Fabric) UnderlayMTU(vtep netip.Addr) (int, error) {
	if !vtep.IsValid() {
		return f.wayOutMTU()
	}
	l, ok, err := holder(f.cfg.HostNS, vtep)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("no interface of this host has the data path address %s: name another with --data-path-addr", vtep)
	}
	return l.MTU, nil
}

func (f *Fabric) wayOutMTU() (int, error) {
	const ethernet = 1500 // RFC 894
	addr, err := ChooseVTEP(f.cfg.HostNS, netip.Addr{})
	if err != nil {
		return ethernet, nil
	}
	l, ok, err := holder(f.cfg.HostNS, addr)
	if err != nil || !ok {
		return ethernet, err
	}
	return l.MTU, nil
}

// holder finds the device of a namespace that has an address.
func holder(ns string, addr netip.Addr) (nl.Link, bool, error) {
	c, err := nl.Open(ns)
	if err != nil {
		return nl.Link{}, false, err
	}
	defer c.Close()
	return c.LinkWith(addr)
}

// ChooseVTEP returns the address that the VXLAN packets of the host whose namespace is at hostNS (empty: the caller's own) shall come from: the advertised one
// where a device has it, else the one that the host uses towards the outside.
func ChooseVTEP(hostNS string, advertise netip.Addr) (netip.Addr, error) {
	if advertise.IsValid() && !advertise.IsUnspecified() {
		_, ok, err := holder(hostNS, advertise)
		if err != nil || ok {
			return advertise, err
		}
		// The advertised address may be another machine's, which translates: the data path needs one of ours.
	}
	for _, outside := range []string{"198.51.100.1:9", "[2001:db8::1]:9"} {
		if addr, err := sourceTowards(hostNS, outside); err == nil {
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("this host has no address for its data path: give it one, or name it with --data-path-addr")
}

// sourceTowards asks the routing table: to connect a UDP socket sends nothing.
func sourceTowards(hostNS, outside string) (addr netip.Addr, err error) {
	err = netns.Do(hostNS, func() error {
		c, err := net.Dial("udp", outside)
		if err != nil {
			return err
		}
		defer c.Close()
		addr = c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		return nil
	})
	return addr, err
}
