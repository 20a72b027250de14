package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// Ensure makes a sandbox what spec says, a new one or one that is there; what is right already is not touched, so that
// connections go on.
func (s *Store) Ensure(_ context.Context, spec Spec) error {
	if err := s.ensure(spec); err != nil {
		return fmt.Errorf("sandbox %s: %w", spec.Name, err)
	}
	return nil
}

func (s *Store) ensure(spec Spec) error {
	created, err := netns.Create(s.cfg.NetnsDir, prefix+spec.Name)
	if err != nil {
		return err
	}
	in, err := nl.Open(s.Path(spec.Name))
	if err != nil {
		return err
	}
	defer in.Close()
	if created {
		if err := prepare(in); err != nil {
			return err
		}
	}
	links, err := in.Links()
	if err != nil {
		return err
	}
	if err := removeOthers(in, links, spec.Interfaces); err != nil {
		return err
	}
	if len(spec.Interfaces) > 0 {
		fabric, err := nl.Open(s.cfg.FabricNS)
		if err != nil {
			return err
		}
		defer fabric.Close()
		for _, i := range spec.Interfaces {
			if err := ensureInterface(in, fabric, spec.Name, i, links); err != nil {
				return fmt.Errorf("interface %s: %w", i.Name, err)
			}
		}
	}
	return ensureDefaults(in, spec.Interfaces)
}

// prepare sets what a fresh namespace needs: loopback, and no filter that drops what comes back another way than it went.
func prepare(in *nl.Conn) error {
	lo, ok, err := in.Link("lo")
	if err != nil || !ok {
		return fmt.Errorf("no loopback interface: %w", err)
	}
	if err := in.SetUp(lo.Index); err != nil {
		return err
	}
	return sysctls(in,
		"net/ipv4/conf/all/rp_filter", "0",
		"net/ipv4/conf/default/rp_filter", "0",
		"net/ipv4/ip_unprivileged_port_start", "0",
		"net/ipv6/conf/default/accept_dad", "0",
		"net/ipv6/conf/default/accept_ra", "0",
		"net/ipv6/conf/default/addr_gen_mode", "1",
	)
}

func sysctls(c *nl.Conn, pairs ...string) error {
	for kv := range slices.Chunk(pairs, 2) {
		if err := c.Sysctl(kv[0], kv[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removeOthers removes our interfaces that the sandbox should not have. Names of ours are eth and a number; others are not ours.
func removeOthers(in *nl.Conn, links []nl.Link, want []Interface) error {
	for _, l := range links {
		if l.Kind != "veth" || !strings.HasPrefix(l.Alias, aliasPrefix) || slices.ContainsFunc(want, func(i Interface) bool { return i.Name == l.Name }) {
			continue
		}
		if err := in.DelLink(l.Name); err != nil {
			return err
		}
	}
	return nil
}

// aliasPrefix marks both ends of an interface as ours.
const aliasPrefix = "swarmnet:"

func ensureInterface(in, fabric *nl.Conn, sandbox string, i Interface, links []nl.Link) error {
	bridge, ok, err := fabric.Link(i.Bridge)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("its network's bridge %s is not there yet", i.Bridge)
	}
	outer := fabricEnd(sandbox, i)
	end, haveEnd, err := fabric.Link(outer)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(links, func(l nl.Link) bool { return l.Name == i.Name })
	var inner nl.Link
	if at >= 0 && haveEnd {
		inner = links[at]
	} else {
		// One end without the other is what a lost fabric leaves.
		if err := errors.Join(in.DelLink(i.Name), fabric.DelLink(outer)); err != nil {
			return err
		}
		if inner, end, err = makePair(in, fabric, sandbox, outer, i); err != nil {
			return err
		}
	}
	if err := ensureLink(in, inner, i); err != nil {
		return err
	}
	if end.MTU != i.MTU {
		if err := fabric.SetMTU(end.Index, i.MTU); err != nil {
			return err
		}
	}
	if end.Master != bridge.Index {
		if err := fabric.SetMaster(end.Index, bridge.Index); err != nil {
			return err
		}
	}
	if !end.Up {
		return fabric.SetUp(end.Index)
	}
	return nil
}

func makePair(in, fabric *nl.Conn, sandbox, outer string, i Interface) (inner, end nl.Link, err error) {
	if err := fabric.AddVeth(i.MTU, nl.Veth{Name: outer}, nl.Veth{Name: i.Name, MAC: i.MAC, NS: in.NS()}); err != nil {
		return nl.Link{}, nl.Link{}, err
	}
	if end, _, err = fabric.Link(outer); err != nil {
		return nl.Link{}, nl.Link{}, err
	}
	if inner, _, err = in.Link(i.Name); err != nil {
		return nl.Link{}, nl.Link{}, err
	}
	alias := aliasPrefix + sandbox + "/" + i.Name
	return inner, end, errors.Join(fabric.SetAlias(end.Index, alias), in.SetAlias(inner.Index, alias))
}

func ensureLink(in *nl.Conn, l nl.Link, i Interface) error {
	if l.MAC != i.MAC {
		if err := in.SetMAC(l.Index, i.MAC); err != nil {
			return err
		}
	}
	if l.MTU != i.MTU {
		if err := in.SetMTU(l.Index, i.MTU); err != nil {
			return err
		}
	}
	have, err := in.Addrs(l.Index)
	if err != nil {
		return err
	}
	for _, p := range i.Addrs {
		if !slices.Contains(have, p) {
			if err := in.AddAddr(l.Index, p); err != nil {
				return err
			}
		}
	}
	if !l.Up {
		if err := in.SetUp(l.Index); err != nil {
			return err
		}
	}
	for _, p := range have {
		if !slices.Contains(i.Addrs, p) {
			if err := in.DelAddr(l.Index, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// ensureDefaults sets the sandbox's default routes and removes those of ours that it should not have.
func ensureDefaults(in *nl.Conn, interfaces []Interface) error {
	have, err := in.Routes(0)
	if err != nil {
		return err
	}
	var want []nl.Route
	for _, i := range interfaces {
		for _, gw := range i.DefaultVia {
			l, ok, err := in.Link(i.Name)
			if err != nil || !ok {
				return fmt.Errorf("interface %s is gone: %w", i.Name, err)
			}
			dst := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			if gw.Is6() {
				dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
			want = append(want, nl.Route{Dst: dst, Via: gw, Index: l.Index})
		}
	}
	for _, r := range want {
		if !slices.Contains(have, r) {
			if err := in.ReplaceRoute(r); err != nil {
				return err
			}
		}
	}
	for _, r := range have {
		if !slices.Contains(want, r) && !slices.ContainsFunc(want, func(w nl.Route) bool { return w.Dst == r.Dst }) {
			if err := in.DelRoute(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// ListenDNS opens the resolver's sockets inside the namespace at path.
func ListenDNS(path string, at netip.AddrPort) (udp net.PacketConn, tcp net.Listener, err error) {
	err = netns.Do(path, func() error {
		if udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
			return err
		}
		if tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at)); err != nil {
			udp.Close()
		}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot listen on %s in %s: %w", at, path, err)
	}
	return udp, tcp, nil
}
