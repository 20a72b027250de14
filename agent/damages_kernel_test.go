package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/google/nftables"
	mdlayher "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/nl"
)

// damages are what somebody can do to each kind of thing that is ours: of what the kernel tells, and of what it tells nobody.
func (w *ward) damages() (heard, silent map[string]damage) {
	heard, silent = map[string]damage{}, map[string]damage{}
	fabric, task, box := w.fabricPath(), w.boxPath("t1"), w.boxPath("box")
	on := func(what, in string, do func() error) { heard[what] = damage{in: in, do: do} }
	links := map[string][]string{"": {"swarmnet0"}, fabric: {"uplink", "br-4096", "vx-4096", "br-4097", "vx-4097", "PORT-t1", "PORT-box"}, task: {"eth0"}, box: {"eth0"}}
	where := map[string]string{"": "host", fabric: "fabric", task: "task", box: "box"}
	for in, names := range links {
		for _, name := range names {
			what := where[in] + " " + name
			each := func(verb string, do func(l netlink.Link) error) {
				on(what+" "+verb, in, func() error { return withLink(name, do) })
			}
			each("deleted", func(l netlink.Link) error { return netlink.LinkDel(l) })
			each("down", func(l netlink.Link) error { return netlink.LinkSetDown(l) })
			each("MTU", func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1280) })
			each("addresses flushed", flushAddrs)
			each("routes flushed", flushRoutes)
			if strings.HasPrefix(name, "vx-") || strings.HasPrefix(name, "PORT-") {
				each("out of its bridge", func(l netlink.Link) error { return netlink.LinkSetNoMaster(l) })
				each("learns", func(l netlink.Link) error { return netlink.LinkSetLearning(l, true) })
				each("forwarding entries flushed", flushNeighs(unix.AF_BRIDGE))
			}
			if strings.HasPrefix(name, "br-") {
				each("address changed", func(l netlink.Link) error {
					return netlink.LinkSetHardwareAddr(l, net.HardwareAddr{2, 9, 9, 9, 9, 9})
				})
				each("filters VLANs", filterVLANs)
				each("neighbours flushed", flushNeighs(unix.AF_INET))
			}
			if strings.HasPrefix(name, "PORT-") || name == "swarmnet0" || name == "eth0" {
				each("mark taken off", func(l netlink.Link) error { return netlink.LinkSetAlias(l, "") })
			}
		}
	}
	on("fabric ARP answers flushed", fabric, func() error { return withLink("vx-4097", flushNeighs(unix.AF_INET)) })
	on("loopback down of a sandbox without a network", w.boxPath("plain"), func() error { return withLink("lo", netlink.LinkSetDown) })
	on("fabric rules deleted", fabric, func() error { return deleteRules() })
	on("fabric unmounted", "", func() error { return unix.Unmount(fabric, unix.MNT_DETACH) })
	on("fabric's file deleted", "", func() error { return errors.Join(unix.Unmount(fabric, unix.MNT_DETACH), os.Remove(fabric)) })
	on("stranger's address on a gateway", fabric, func() error {
		return withLink("br-4097", addStranger)
	})
	on("stranger's address in the task", task, func() error {
		return withLink("eth0", addStranger)
	})
	on("orphaned bridge", fabric, func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br-5000"}})
	})
	on("renamed interface", task, func() error {
		return withLink("eth0", func(l netlink.Link) error {
			return errors.Join(netlink.LinkSetDown(l), netlink.LinkSetName(l, "lost0"))
		})
	})
	on("everything flushed", fabric, func() error {
		return errors.Join(flushRoutes(nil), flushTables(), deleteRules(), withLink("vx-4097", flushNeighs(unix.AF_BRIDGE)))
	})
	for in, name := range where {
		if in != box {
			on(name+" tables flushed", in, func() error { return flushTables() })
			on(name+" rules flushed", in, func() error { return flushRules() })
			on(name+" elements flushed", in, func() error { return flushElements() })
			on(name+" tables dormant", in, func() error { return dormant() })
		}
		for _, key := range []string{"net/ipv4/conf/all/rp_filter", "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
			set := map[string]string{"net/ipv4/conf/all/rp_filter": "1"}[key]
			if (in == task || in == box) && set == "" || in == "" && key != "net/ipv4/ip_forward" {
				continue
			}
			on(name+" "+key, in, sysctl(key, set))
		}
	}
	silence := func(what, in string, do func() error) { silent[what] = damage{in: in, do: do} }
	silence("task accept_ra", task, sysctl("net/ipv6/conf/all/accept_ra", "1"))
	silence("task accept_dad", task, sysctl("net/ipv6/conf/all/accept_dad", "1"))
	silence("host route_localnet", "", sysctl("net/ipv4/conf/swarmnet0/route_localnet", "0"))
	silence("fabric bridge-nf-call", fabric, sysctl("net/bridge/bridge-nf-call-iptables", "1"))
	silence("task unmounted", "", func() error { return unix.Unmount(task, unix.MNT_DETACH) })
	silence("box's file deleted", "", func() error { return errors.Join(unix.Unmount(box, unix.MNT_DETACH), os.Remove(box)) })
	return heard, silent
}

// errNothing says that there is nothing to damage.
var errNothing = errors.New("there is none")

func sysctl(key, value string) func() error {
	if value == "" {
		value = "0"
	}
	return func() error {
		if b, err := os.ReadFile("/proc/sys/" + key); errors.Is(err, os.ErrNotExist) || strings.TrimSpace(string(b)) == value {
			return errNothing // this kernel does not have it, or it is so already
		}
		return os.WriteFile("/proc/sys/"+key, []byte(value), 0)
	}
}

func filterVLANs(l netlink.Link) error {
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	b.Name = l.Attrs().Name // see nl.Conn.FilterVLANs
	err := netlink.BridgeSetVlanFiltering(b, true)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return errNothing // this kernel's bridges cannot
	}
	return err
}

func addStranger(l netlink.Link) error {
	a, err := netlink.ParseAddr("198.51.100.1/24")
	return errors.Join(err, netlink.AddrAdd(l, a))
}

// withLink finds a link, of which PORT-x is the port of the sandbox x.
func withLink(name string, do func(netlink.Link) error) error {
	owner, ok := strings.CutPrefix(name, "PORT-")
	if !ok {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return do(l)
	}
	all, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range all {
		if ownerOfPort(l.Attrs().Alias) == owner {
			return do(l)
		}
	}
	return fmt.Errorf("%s has no port", owner)
}

func flushAddrs(l netlink.Link) error {
	list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if len(list) == 0 {
		return errNothing
	}
	for _, a := range list {
		err = errors.Join(err, netlink.AddrDel(l, &a))
	}
	return err
}

// flushRoutes deletes the routes by a link, whoever made them; nil: by any. The kernel's local ones stay.
func flushRoutes(l netlink.Link) error {
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	list, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_TABLE)
	flushed := 0
	for _, r := range list {
		if r.Table == unix.RT_TABLE_LOCAL || r.Type != unix.RTN_UNICAST || l != nil && r.LinkIndex != l.Attrs().Index {
			continue
		}
		if r.Protocol == nl.RouteProtocol {
			flushed++
		}
		if e := netlink.RouteDel(&r); e != nil && !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, fmt.Errorf("%s: %w", r, e))
		}
	}
	if flushed == 0 {
		return errNothing
	}
	return err
}

func flushNeighs(family int) func(l netlink.Link) error {
	return func(l netlink.Link) error {
		list, err := netlink.NeighList(l.Attrs().Index, family)
		flushed := 0
		for _, n := range list {
			mac := n.HardwareAddr.String()
			if n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 || mac == l.Attrs().HardwareAddr.String() || strings.HasPrefix(mac, "33:33:") || strings.HasPrefix(mac, "01:") {
				continue // not ours, or the device's own
			}
			if n.Flags&unix.NTF_SELF == 0 && family == unix.AF_BRIDGE {
				n.Flags |= unix.NTF_MASTER
			}
			flushed++
			if e := netlink.NeighDel(&n); e != nil && !errors.Is(e, unix.ENOENT) {
				err = errors.Join(err, e)
			}
		}
		if flushed == 0 {
			return errNothing
		}
		return err
	}
}

func deleteRules() error {
	list, err := netlink.RuleList(unix.AF_INET)
	for _, r := range list {
		if r.Table != unix.RT_TABLE_MAIN && r.Table != unix.RT_TABLE_LOCAL && r.Table != unix.RT_TABLE_DEFAULT {
			err = errors.Join(err, netlink.RuleDel(&r))
		}
	}
	return err
}

// flushTables is `nft flush ruleset`.
func flushTables() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.FlushRuleset()
	return c.Flush()
}

// flushRules is `nft flush table` of all.
func flushRules() error {
	return eachTable(func(c *nftables.Conn, t *nftables.Table) error { c.FlushTable(t); return nil })
}

// dormant is `nft add table … { flags dormant; }` of all. The library cannot say that.
func dormant() error {
	return eachTable(func(_ *nftables.Conn, t *nftables.Table) error {
		c, err := mdlayher.Dial(unix.NETLINK_NETFILTER, nil)
		if err != nil {
			return err
		}
		defer c.Close()
		attrs, err := mdlayher.MarshalAttributes([]mdlayher.Attribute{
			{Type: unix.NFTA_TABLE_NAME, Data: []byte(t.Name + "\x00")}, {Type: unix.NFTA_TABLE_FLAGS, Data: []byte{0, 0, 0, unix.NFT_TABLE_F_DORMANT}},
		})
		const begin, end = unix.NFNL_MSG_BATCH_BEGIN, unix.NFNL_MSG_BATCH_END
		subsys := []byte{0, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}
		_, serr := c.SendMessages([]mdlayher.Message{
			{Header: mdlayher.Header{Type: begin, Flags: mdlayher.Request}, Data: subsys},
			{Header: mdlayher.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE, Flags: mdlayher.Request | mdlayher.Acknowledge},
				Data: append([]byte{byte(t.Family), unix.NFNETLINK_V0, 0, 0}, attrs...)},
			{Header: mdlayher.Header{Type: end, Flags: mdlayher.Request}, Data: subsys},
		})
		if err = errors.Join(err, serr); err != nil {
			return err
		}
		_, err = c.Receive()
		return err
	})
}

// flushElements is `nft flush set` of all.
func flushElements() error {
	return eachTable(func(c *nftables.Conn, t *nftables.Table) error {
		sets, err := c.GetSets(t)
		for _, s := range sets {
			if !s.Anonymous {
				c.FlushSet(s)
			}
		}
		return err
	})
}

func eachTable(fn func(*nftables.Conn, *nftables.Table) error) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	tables, err := c.ListTables()
	for _, t := range tables {
		err = errors.Join(err, fn(c, t))
	}
	return errors.Join(err, c.Flush())
}
