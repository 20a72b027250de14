package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// meddleArg has this binary do damage to the node that it runs on, in a namespace that the seed picks or in each: meddleArg KIND SEED|everywhere.
const (
	meddleArg  = "meddle"
	everywhere = "everywhere"
)

// meddlers do what others might to what is ours, in a namespace: what they pick, rand says.
var meddlers = map[string]func(*rand.Rand) error{
	"flush-tables": func(*rand.Rand) error { return flushTables() },
	"delete-link":  func(r *rand.Rand) error { return withSomeLink(r, netlink.LinkDel) },
	"link-down":    func(r *rand.Rand) error { return withSomeLink(r, netlink.LinkSetDown) },
	"link-mtu": func(r *rand.Rand) error {
		return withSomeLink(r, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1280) })
	},
	"flush-addresses":  func(r *rand.Rand) error { return withSomeLink(r, flushAddrs) },
	"flush-neighbours": func(*rand.Rand) error { return flushNeighs() },
	"flush-routes":     func(*rand.Rand) error { return flushRoutes() },
	"delete-rules":     func(*rand.Rand) error { return deleteRules() },
	"sysctl":           func(*rand.Rand) error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0) },
	"all":              func(*rand.Rand) error { return errors.Join(flushTables(), flushRoutes(), flushNeighs(), deleteRules()) },
}

// meddleMain is the damage as a program on a node. It says what it did.
func meddleMain(args []string) int {
	var r *rand.Rand
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err == nil {
		r = rand.New(rand.NewPCG(seed, 4))
	}
	if err == nil || args[1] == everywhere {
		err = meddle(args[0], r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// meddle picks a namespace that has something of ours: the host's, the fabric's, or a sandbox's; without rand it takes them all.
func meddle(kind string, r *rand.Rand) error {
	const dir = "/run/swarmnet/netns"
	if kind == "unmount-fabric" {
		err := unix.Unmount(filepath.Join(dir, "fabric"), unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil // an earlier damage is not mended yet
		}
		return err
	}
	do := meddlers[kind]
	if do == nil {
		do = ipvsMeddlers[kind]
	}
	if do == nil {
		return fmt.Errorf("no such damage: %s", kind)
	}
	places := []string{"", filepath.Join(dir, "fabric"), filepath.Join(dir, "fabric")}
	if boxes, err := filepath.Glob(filepath.Join(dir, "sb-*")); err == nil {
		places = append(places, boxes...)
	}
	if r != nil {
		i := r.IntN(len(places))
		places = places[i : i+1]
	}
	var errs []error
	for _, place := range places {
		err := netns.Do(place, func() error { return do(r) })
		fmt.Printf("%s in %q\n", kind, place)
		if !errors.Is(err, os.ErrNotExist) { // what was there a moment ago is gone: its owner ended
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// withSomeLink picks one of our links in the namespace, if there is any.
func withSomeLink(r *rand.Rand, do func(netlink.Link) error) error {
	all, err := netlink.LinkList()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(l netlink.Link) bool {
		name := l.Attrs().Name
		return name != "uplink" && !strings.HasPrefix(name, "br-") && !strings.HasPrefix(name, "vx-") && !strings.HasPrefix(l.Attrs().Alias, "swarmnet ")
	})
	if len(all) == 0 {
		return nil
	}
	l := all[r.IntN(len(all))]
	fmt.Printf("%s: ", l.Attrs().Name)
	return gone(do(l))
}

// gone passes over what somebody else was faster to remove.
func gone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

func flushTables() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.FlushRuleset()
	return c.Flush()
}

func flushAddrs(l netlink.Link) error {
	list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	for _, a := range list {
		err = errors.Join(err, gone(netlink.AddrDel(l, &a)))
	}
	return err
}

func flushRoutes() error {
	list, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Protocol: nl.RouteProtocol}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	for _, r := range list {
		err = errors.Join(err, gone(netlink.RouteDel(&r)))
	}
	return err
}

func flushNeighs() error {
	links, err := netlink.LinkList()
	for _, l := range links {
		for _, family := range []int{unix.AF_INET, unix.AF_BRIDGE} {
			list, lerr := netlink.NeighList(l.Attrs().Index, family)
			err = errors.Join(err, gone(lerr))
			for _, n := range list {
				if n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 || !strings.HasPrefix(n.HardwareAddr.String(), "02:42:") || n.HardwareAddr.String() == l.Attrs().HardwareAddr.String() {
					continue
				}
				if family == unix.AF_BRIDGE && n.Flags&unix.NTF_SELF == 0 {
					n.Flags |= unix.NTF_MASTER
				}
				err = errors.Join(err, gone(netlink.NeighDel(&n)))
			}
		}
	}
	return err
}

func deleteRules() error {
	list, err := netlink.RuleList(unix.AF_INET)
	for _, r := range list {
		if r.Protocol == nl.RouteProtocol {
			err = errors.Join(err, gone(netlink.RuleDel(&r)))
		}
	}
	return err
}
