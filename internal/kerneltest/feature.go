package kerneltest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// Feature is something that a kernel may lack, or that the caller may not be allowed.
type Feature string

const (
	Namespaces Feature = "network namespaces"
	Bridge     Feature = "bridges"
	VXLAN      Feature = "VXLAN"
	NFTables   Feature = "nftables with NAT"
	IPv6       Feature = "IPv6"
	Macvlan    Feature = "macvlan devices"
	VLAN       Feature = "VLAN devices (IEEE 802.1Q)"
	BridgeVLAN Feature = "bridges that keep VLANs apart"
	IPVS       Feature = "IPVS"
)

// modular are the features that kernels without modules often lack: a test of one skips where the probe says so, unless RequireEnv is "all".
var modular = map[Feature]bool{VLAN: true, BridgeVLAN: true, IPVS: true}

// RequireEnv names the environment variable which, set to 1, says that this machine has all features but modular ones, and set to "all" that it has
// those, too: what is missing fails.
const RequireEnv = "SWARMNET_REQUIRE_KERNEL"

// Require probes features, each by using it in a namespace of its own, and skips the test when one is missing.
func Require(t testing.TB, features ...Feature) {
	t.Helper()
	must := os.Getenv(RequireEnv)
	for _, f := range features {
		err := f.probe()
		switch {
		case err == nil:
		case must == "all" || must == "1" && !modular[f]:
			t.Fatalf("%s must be there (%s=%s): %v", f, RequireEnv, must, err)
		default:
			t.Skipf("needs %s: %v", f, err)
		}
	}
}

func (f Feature) probe() error {
	dir, err := os.MkdirTemp("", "swarmnet-probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := netns.Create(dir, "ns"); err != nil {
		return err
	}
	defer netns.Delete(dir, "ns")
	c, err := nl.Open(filepath.Join(dir, "ns"))
	if err != nil {
		return err
	}
	defer c.Close()
	switch f {
	case Namespaces:
		return nil
	case Bridge:
		return c.AddBridge("probe", swarmnet.MAC{}, 1500)
	case BridgeVLAN:
		if err := c.AddBridge("probe", swarmnet.MAC{}, 1500); err != nil {
			return err
		}
		l, _, err := c.Link("probe")
		if err != nil {
			return err
		}
		return c.FilterVLANs(l, true)
	case VXLAN:
		return c.AddVXLAN("probe", 1500, nl.VXLAN{VNI: 1, Local: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: 4789, Proxy: true}, c.NS())
	case Macvlan, VLAN:
		return f.probeOnParent(c)
	case IPv6:
		l, _, err := c.Link("lo")
		if err != nil {
			return err
		}
		return c.AddAddr(l.Index, netip.MustParsePrefix("fd00::1/128"))
	case NFTables:
		return probeNFT(c.NS())
	case IPVS:
		return ipvs.Probe(ipvs.RoundRobin)
	}
	return fmt.Errorf("nobody knows how to probe %s", f)
}

// probeOnParent makes a device on top of another.
func (f Feature) probeOnParent(c *nl.Conn) error {
	if err := c.AddVeth(1500, nl.Veth{Name: "parent"}, nl.Veth{Name: "peer"}); err != nil {
		return err
	}
	l, _, err := c.Link("parent")
	if err != nil {
		return err
	}
	if f == VLAN {
		return c.AddVLAN("parent.5", l.Index, 5)
	}
	return c.AddMacvlan(nl.Macvlan{Name: "probe", Parent: l.Index}, c.NS())
}

func probeNFT(ns *netns.Handle) error {
	conn, err := nftables.New(nftables.WithNetNSFd(ns.FD()))
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "probe"})
	chain := conn.AddChain(&nftables.Chain{Name: "post", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Masq{}}})
	return conn.Flush()
}
