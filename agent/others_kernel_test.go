package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
)

// TestKernelHealingLeavesOthersAlone puts what looks like ours and is not beside what is: the agent looks at everything, again and again, while ours
// is flushed, and what is others' stays as it is.
func TestKernelHealingLeavesOthersAlone(t *testing.T) {
	w := newWard(t)
	w.start(0)
	w.boss.sets <- w.assign()
	w.ownBox()
	eventually(t, "the task runs", func() bool { return w.boss.last("t1").State == swarmnet.TaskRunning })
	w.agrees("at first")
	fabric, task := w.fabricPath(), w.boxPath("t1")
	stranger := filepath.Join(w.dir, "netns", "stranger")
	if _, err := netns.Create(filepath.Dir(stranger), "stranger"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netns.Delete(filepath.Dir(stranger), "stranger") })
	file := filepath.Join(w.dir, "netns", "sb-file")
	if err := os.WriteFile(file, []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, add := range map[string][]func() error{
		"":     {theirLink("br-4097"), theirLink("vx-4097"), theirLink("swarmnet1"), theirTables, theirRoute("swarmnet0"), theirRule},
		fabric: {theirLink("theirs"), theirLink("brother"), theirTables, theirRoute("br-4097"), theirRule, theirNeighbour("br-4097")},
		task:   {theirLink("dummy9"), theirTables, theirRoute("eth0"), theirRule, theirNeighbour("eth0")},
	} {
		for _, f := range add {
			meddle(t, path, f)
		}
	}
	look := func() (out []string) {
		for name, path := range map[string]string{"host": "", "fabric": fabric, "task": task} {
			meddle(t, path, func() error {
				lines, err := theirs()
				for _, l := range lines {
					out = append(out, name+": "+l)
				}
				return err
			})
		}
		slices.Sort(out)
		return out
	}
	before := look()
	if len(before) < 20 {
		t.Fatalf("there is little to be left alone: %v", before)
	}
	meddle(t, fabric, flushRules)
	meddle(t, fabric, deleteOurRules)
	w.agrees("after damage to what is ours")
	w.agent.heed(news{at: time.Now(), lost: true})
	w.agrees("after another look at everything")
	if after := look(); !slices.Equal(before, after) {
		t.Errorf("others' things were touched: gone %v, new %v", without(before, after), without(after, before))
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "theirs" {
		t.Errorf("a file of somebody's: %q, %v", b, err)
	}
	if h, err := netns.Open(stranger); err != nil {
		t.Errorf("somebody's namespace: %v", err)
	} else {
		h.Close()
	}
	meddle(t, "", func() error { // the next test finds the host as it was
		return errors.Join(withLink("br-4097", netlink.LinkDel), withLink("vx-4097", netlink.LinkDel), withLink("swarmnet1", netlink.LinkDel), flushTheirTables(), netlink.RuleDel(ruleOfTheirs()))
	})
}

func theirLink(name string) func() error {
	return func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: net.HardwareAddr{2, 8, 8, 8, 8, 8}}})
	}
}

// theirTableNames look like ours: another family's, a longer name, the beginning of one.
var theirTableNames = map[string]nftables.TableFamily{"swarmnet_fabric": nftables.TableFamilyIPv4, "swarmnet_other": nftables.TableFamilyINet, "swarmnet": nftables.TableFamilyINet}

func theirTables() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	for name, family := range theirTableNames {
		t := c.AddTable(&nftables.Table{Name: name, Family: family})
		c.AddChain(&nftables.Chain{Name: "postrouting", Table: t})
	}
	return c.Flush()
}

func flushTheirTables() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	for name, family := range theirTableNames {
		c.DelTable(&nftables.Table{Name: name, Family: family})
	}
	return c.Flush()
}

// theirRoute adds routes in the main table and in ours, by a link of ours.
func theirRoute(dev string) func() error {
	return func() error {
		return withLink(dev, func(l netlink.Link) error {
			_, dst, err := net.ParseCIDR("203.0.113.0/24")
			for _, table := range []int{unix.RT_TABLE_MAIN, 77, 1000 + l.Attrs().Index} {
				err = errors.Join(err, netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Table: table, Scope: netlink.SCOPE_LINK, Protocol: unix.RTPROT_STATIC}))
			}
			return err
		})
	}
}

func ruleOfTheirs() *netlink.Rule {
	r := netlink.NewRule()
	mask := uint32(0x10000)
	r.Priority, r.Mark, r.Mask, r.Table, r.Protocol, r.Family = 1000, 0x10000, &mask, 77, unix.RTPROT_STATIC, unix.AF_INET
	return r
}

func theirRule() error { return netlink.RuleAdd(ruleOfTheirs()) }

// deleteOurRules deletes the rules that are the agent's.
func deleteOurRules() error {
	list, err := netlink.RuleList(unix.AF_INET)
	for _, r := range list {
		if r.Protocol == 77 {
			err = errors.Join(err, netlink.RuleDel(&r))
		}
	}
	return err
}

// theirNeighbour adds an entry that is not permanent: as the kernel finds them itself.
func theirNeighbour(dev string) func() error {
	return func() error {
		return withLink(dev, func(l netlink.Link) error {
			return netlink.NeighAdd(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: net.IPv4(10, 0, 1, 200), HardwareAddr: net.HardwareAddr{2, 7, 7, 7, 7, 7}, State: netlink.NUD_STALE})
		})
	}
}

// theirs lists what the test added, and whatever else is not ours.
func theirs() (out []string, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Attrs().HardwareAddr.String() == "02:08:08:08:08:08" {
			out = append(out, "link "+l.Attrs().Name)
		}
		neighs, err := netlink.NeighList(l.Attrs().Index, unix.AF_INET)
		if err != nil {
			return nil, err
		}
		for _, n := range neighs {
			if n.HardwareAddr.String() == "02:07:07:07:07:07" {
				out = append(out, "neighbour "+n.IP.String())
			}
		}
	}
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Protocol: unix.RTPROT_STATIC}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, err
	}
	for _, r := range routes {
		out = append(out, "route "+r.String())
	}
	rules, err := netlink.RuleList(unix.AF_INET)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		if r.Protocol != 77 {
			out = append(out, "rule "+r.String())
		}
	}
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	chains, err := c.ListChains()
	for _, ch := range chains {
		if family, ok := theirTableNames[ch.Table.Name]; ok && family == ch.Table.Family {
			out = append(out, "chain "+ch.Table.Name+" "+ch.Name)
		}
	}
	return out, err
}
