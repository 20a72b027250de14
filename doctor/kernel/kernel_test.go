package kernel

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/doctor"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// Where the kernel has all that the tests need, all is found; nothing is left of the trial.
func TestKernelC60_Features(t *testing.T) {
	kerneltest.Require(t, kerneltest.Bridge, kerneltest.VXLAN, kerneltest.NFTables, kerneltest.Macvlan)
	t.Setenv("TMPDIR", t.TempDir())
	all, err := Features()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range all {
		if names = append(names, f.Name); f.Err != "" || f.Name != "network namespaces" && f.Cure == "" {
			t.Errorf("%+v", f)
		}
	}
	if want := []string{"network namespaces", "veth", "bridge", "VXLAN", "macvlan", "nftables NAT", "nftables for bridges"}; !slices.Equal(names, want) {
		t.Errorf("tried were %q, want %q", names, want)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// A host with one thing wrong after the other: each is named, with its cure, and is gone when it is put right.
func TestKernelC60_Faults(t *testing.T) {
	kerneltest.Require(t, kerneltest.Bridge, kerneltest.VXLAN, kerneltest.NFTables)
	host, peer := kerneltest.NewNamespace(t), kerneltest.NewNamespace(t)
	kerneltest.Veth(t, 1500, kerneltest.End{NS: host, Name: "eth0", Addrs: []string{"192.0.2.1/24"}}, kerneltest.End{NS: peer, Name: "eth0", Addrs: []string{"192.0.2.2/24"}})
	sysctl := func(key, value string) {
		host.With(func(c *nl.Conn) error { return c.Sysctl(key, value) })
	}
	sysctl("net/ipv4/ip_forward", "1")
	var bridged bool // br_netfilter is loaded
	host.With(func(c *nl.Conn) error {
		err := c.Sysctl("net/bridge/bridge-nf-call-iptables", "0")
		if bridged = err == nil; !bridged && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if bridged {
			return errors.Join(c.Sysctl("net/bridge/bridge-nf-call-ip6tables", "0"), c.Sysctl("net/bridge/bridge-nf-call-arptables", "0"))
		}
		return nil
	})
	var manager net.Listener
	peer.Do(func() (err error) {
		manager, err = net.Listen("tcp", "192.0.2.2:4747")
		return err
	})
	defer manager.Close()
	cfg := Config{HostNS: host.Path, NetnsDir: t.TempDir(), VTEP: netip.MustParseAddr("192.0.2.1"), Port: 4789, Managers: []string{"192.0.2.2:4747"}}
	peerNode := swarmnet.Node{Description: swarmnet.NodeDescription{Hostname: "n2", VTEP: netip.MustParseAddr("192.0.2.2")}}
	cfg.Nodes = []swarmnet.Node{peerNode}
	wrong := func() (out []doctor.Finding) {
		for _, f := range doctor.Examine(Observe(t.Context(), cfg)) {
			if f.Verdict == doctor.Wrong {
				out = append(out, f)
			}
		}
		return out
	}
	if got := wrong(); len(got) > 0 {
		t.Fatalf("a healthy host: %+v", got)
	}
	check := func(name, check, found, cure string) {
		t.Helper()
		got := wrong()
		if len(got) != 1 || got[0].Check != check || !strings.Contains(got[0].Found, found) || !strings.Contains(got[0].Cure, cure) {
			t.Errorf("%s: %+v", name, got)
		}
	}

	sysctl("net/ipv4/ip_forward", "0")
	check("forwarding off", "forwarding", "ip_forward is 0", "net.ipv4.ip_forward=1")
	sysctl("net/ipv4/ip_forward", "1")

	undo := dropForwarded(t, host)
	check("a drop policy", "firewall", "chain FORWARD of table ip filter", "iptables -I FORWARD -i swarmnet0")
	undo(true)
	if got := wrong(); len(got) > 0 {
		t.Errorf("a drop policy that accepts ours: %+v", got)
	}
	undo(false)

	var socket net.PacketConn
	host.Do(func() (err error) {
		socket, err = net.ListenPacket("udp", "0.0.0.0:4789")
		return err
	})
	check("a taken port", "vxlan-port", "UDP port 4789 is taken by kernel.test (pid ", "--data-path-port")
	socket.Close()
	host.With(func(c *nl.Conn) error {
		if err := c.AddVXLAN("flannel.1", 1450, nl.VXLAN{VNI: 1, Local: cfg.VTEP, Port: 4789}, c.NS()); err != nil {
			return err
		}
		return c.SetUp(host.Link("flannel.1").Index)
	})
	check("another VXLAN device", "vxlan-port", "is taken by the VXLAN device flannel.1", "--data-path-port")
	host.With(func(c *nl.Conn) error { return c.DelLink("flannel.1") })

	mtu := func(n int) {
		host.With(func(c *nl.Conn) error { return c.SetMTU(host.Link("eth0").Index, n) })
	}
	mtu(1400)
	check("a small MTU", "underlay", "eth0 has an MTU of 1400", "ip link set eth0 mtu 1500")
	mtu(1500)

	if bridged {
		sysctl("net/bridge/bridge-nf-call-iptables", "1")
		check("br_netfilter", "br_netfilter", "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-iptables=0")
		sysctl("net/bridge/bridge-nf-call-iptables", "0")
	} else {
		t.Log("br_netfilter is not loaded: what is found when it is on was not tried")
	}

	manager.Close()
	check("a manager that does not listen", "manager", "nothing listens", "manager runs")
	cfg.Managers = nil
	cfg.Nodes[0].Ingress = []netip.Prefix{netip.MustParsePrefix("10.0.0.3/24")}
	check("a node without VXLAN", "node", "n2 (192.0.2.2:4789): its host is there, but nothing listens", "UDP")
	peer.With(func(c *nl.Conn) error { return c.DelLink("eth0") })
	cfg.VTEP = netip.Addr{}
	check("a node that is gone", "node", "n2 (192.0.2.2:4789): ", "see that the node is up")
}

// dropForwarded makes the chain of a host's firewall that drops what is forwarded. The function that it returns accepts our packets, or
// takes the chain away.
func dropForwarded(t *testing.T, host *kerneltest.NS) func(accept bool) {
	t.Helper()
	var conn *nftables.Conn
	host.With(func(c *nl.Conn) (err error) {
		conn, err = nftables.New(nftables.WithNetNSFd(c.NS().FD()), nftables.AsLasting())
		return err
	})
	t.Cleanup(func() { conn.CloseLasting() })
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
	drop := nftables.ChainPolicyDrop
	chain := conn.AddChain(&nftables.Chain{Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	docker := conn.AddChain(&nftables.Chain{Name: "DOCKER", Table: table})
	add := func(c *nftables.Chain, exprs ...[]expr.Any) {
		conn.AddRule(&nftables.Rule{Table: table, Chain: c, Exprs: slices.Concat(exprs...)})
	}
	add(docker, iface(expr.MetaKeyIIFNAME, "docker0\x00"), accepted)
	add(docker, iface(expr.MetaKeyOIFNAME, "br-"), accepted)
	add(chain, []expr.Any{&expr.Counter{}}, []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: "DOCKER"}})
	add(chain, []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{1}}}, accepted)
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return func(accept bool) {
		t.Helper()
		if accept {
			add(chain, iface(expr.MetaKeyIIFNAME, "swarmnet0\x00"), accepted)
			add(chain, iface(expr.MetaKeyOIFNAME, "swarmnet"), accepted)
		} else {
			conn.DelTable(table)
		}
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

var accepted = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}

// iface matches names that begin so; one that ends with a NUL is whole.
func iface(key expr.MetaKey, name string) []expr.Any {
	data := []byte(name)
	if strings.HasSuffix(name, "\x00") {
		data = append(data, make([]byte, unix.IFNAMSIZ-len(data))...)
	}
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data}}
}

// The device that the daemon made in its fabric is no fault, though its socket is the host's.
func TestKernelC60_OwnPort(t *testing.T) {
	kerneltest.Require(t, kerneltest.VXLAN)
	host, dir := kerneltest.NewNamespace(t), t.TempDir()
	if _, err := netns.Create(dir, "fabric"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(dir, "fabric"); err != nil {
			t.Error(err)
		}
	})
	vtep := netip.MustParseAddr("192.0.2.1")
	host.With(func(c *nl.Conn) error { return c.AddAddr(host.Link("lo").Index, netip.PrefixFrom(vtep, 32)) })
	fabric := kerneltest.Adopt(t, filepath.Join(dir, "fabric"))
	fabric.With(func(f *nl.Conn) error {
		host.With(func(c *nl.Conn) error {
			return c.AddVXLAN("vx-4096", 1450, nl.VXLAN{VNI: 4096, Local: vtep, Port: 4789, Proxy: true}, f.NS())
		})
		return f.SetUp(fabric.Link("vx-4096").Index)
	})
	cfg := Config{HostNS: host.Path, NetnsDir: dir, VTEP: vtep, Port: 4789}
	if f := Observe(t.Context(), cfg); f.VXLAN.Holder != "" || !f.VXLAN.Ours {
		t.Errorf("our own device: %+v", f.VXLAN)
	}
	cfg.NetnsDir = t.TempDir()
	if f := Observe(t.Context(), cfg); f.VXLAN.Holder == "" {
		t.Errorf("the device of another: %+v", f.VXLAN)
	}
}
