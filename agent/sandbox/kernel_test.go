package sandbox

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// bench is a fabric with bridges and the sandboxes on it.
type bench struct {
	*Sandboxes
	t      testing.TB
	fabric *kerneltest.NS
}

func newBench(t testing.TB, vnis ...swarmnet.VNI) *bench {
	kerneltest.Require(t, kerneltest.Bridge)
	b := &bench{t: t, fabric: kerneltest.NewNamespace(t)}
	for _, v := range vnis {
		b.addBridge(v)
	}
	dir := t.TempDir()
	b.Sandboxes = New(Config{NetnsDir: dir, FabricNS: b.fabric.Path})
	t.Cleanup(func() {
		names, _ := b.List()
		for _, n := range names {
			if err := b.Delete(context.Background(), n); err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

func (b *bench) addBridge(v swarmnet.VNI) {
	b.fabric.With(func(c *nl.Conn) error {
		if err := c.AddBridge(overlay.BridgeName(v), swarmnet.GatewayMAC(v), 1450); err != nil {
			return err
		}
		l, _, err := c.Link(overlay.BridgeName(v))
		if err != nil {
			return err
		}
		gateway := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(v), 1}), 24)
		if err := c.AddAddr(l.Index, gateway); err != nil {
			return err
		}
		return c.SetUp(l.Index)
	})
}

func (b *bench) ensure(spec Spec) {
	b.t.Helper()
	if err := b.Ensure(context.Background(), spec); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) inside(name string) *kerneltest.NS { return kerneltest.Adopt(b.t, b.Path(name)) }

// look describes what a sandbox has, one object a line, and the fabric's side of it.
func (b *bench) look(name string) string {
	b.t.Helper()
	var out []string
	b.inside(name).With(func(c *nl.Conn) error {
		links, err := c.Links()
		if err != nil {
			return err
		}
		names := map[int]string{}
		for _, l := range links {
			names[l.Index] = l.Name
			addrs, err := c.Addrs(l.Index)
			if err != nil {
				return err
			}
			out = append(out, fmt.Sprintf("%s %s mtu %d up=%v %v", l.Name, l.MAC, l.MTU, l.Up, addrs))
		}
		routes, err := c.RoutesOfAllTables()
		if err != nil {
			return err
		}
		for _, r := range routes {
			text := strings.TrimSpace(fmt.Sprintf("route %s dev %s %s", r.Dst, names[r.Index], viaText(r.Via)))
			if r.Table != 0 {
				text += fmt.Sprintf(" table %d", r.Table-firstTable)
			}
			out = append(out, text)
		}
		rules, err := c.Rules()
		for _, r := range rules {
			out = append(out, fmt.Sprintf("rule from %s table %d", r.From, r.Table-firstTable))
		}
		return err
	})
	b.fabric.With(func(c *nl.Conn) error {
		links, err := c.Links()
		bridges := map[int]string{}
		for _, l := range links {
			bridges[l.Index] = l.Name
		}
		for _, l := range links {
			if ownerOf(l) != name {
				continue
			}
			fdb, err := c.FDB(l.Index)
			if err != nil {
				return err
			}
			var macs []string
			for _, e := range fdb {
				if e.MAC != l.MAC {
					macs = append(macs, e.MAC.String())
				}
			}
			out = append(out, fmt.Sprintf("port of %s (%s) up=%v fdb %v", bridges[l.Master], l.Alias, l.Up, macs))
		}
		return err
	})
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func viaText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return "via " + a.String()
}

func iface(name string, v swarmnet.VNI, host byte, gateway bool) Interface {
	addr := netip.AddrFrom4([4]byte{10, 0, byte(v), host})
	i := Interface{Name: name, MAC: swarmnet.MACFor(addr), Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}, MTU: 1450, VNI: v}
	if gateway {
		i.DefaultVia = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(v), 1})}
	}
	return i
}

const oneNetwork = `eth0 02:42:0a:00:01:05 mtu 1450 up=true [10.0.1.5/24]
lo 00:00:00:00:00:00 mtu 65536 up=true [127.0.0.1/8 ::1/128]
port of br-1 (swarmnet a eth0) up=true fdb [02:42:0a:00:01:05]
route 0.0.0.0/0 dev eth0 via 10.0.1.1
route 10.0.1.0/24 dev eth0`

func TestKernelEnsure(t *testing.T) {
	b := newBench(t, 1)
	spec := Spec{Name: "a", Interfaces: []Interface{iface("eth0", 1, 5, true)}}
	for range 2 {
		b.ensure(spec)
		if got := b.look("a"); got != oneNetwork {
			t.Fatalf("got\n%s\nwant\n%s", got, oneNetwork)
		}
	}
	before := b.inside("a").Link("eth0").Index
	b.ensure(spec)
	if after := b.inside("a").Link("eth0").Index; after != before {
		t.Fatalf("a good interface was made anew: index %d, then %d", before, after)
	}
}

func TestKernelRepair(t *testing.T) {
	spec := Spec{Name: "a", Interfaces: []Interface{iface("eth0", 1, 5, true)}}
	in := func(fn func(*nl.Conn, nl.Link) error) func(*bench) {
		return func(b *bench) {
			l := b.inside("a").Link("eth0")
			b.inside("a").With(func(c *nl.Conn) error { return fn(c, l) })
		}
	}
	port := portName("a", 1)
	for name, breakIt := range map[string]func(*bench){
		"interface deleted": in(func(c *nl.Conn, l nl.Link) error { return c.DelLink(l.Name) }),
		"port deleted":      func(b *bench) { b.fabric.With(func(c *nl.Conn) error { return c.DelLink(port) }) },
		"port out of its bridge": func(b *bench) {
			b.fabric.With(func(c *nl.Conn) error { return c.SetMaster(b.fabric.Link(port).Index, 0) })
		},
		"forwarding entry deleted": func(b *bench) {
			b.fabric.With(func(c *nl.Conn) error {
				return c.DelNeighs([]nl.Neigh{{Index: b.fabric.Link(port).Index, MAC: spec.Interfaces[0].MAC}})
			})
		},
		"address deleted": in(func(c *nl.Conn, l nl.Link) error { return c.DelAddr(l.Index, spec.Interfaces[0].Addrs[0]) }),
		"foreign address": in(func(c *nl.Conn, l nl.Link) error { return c.AddAddr(l.Index, netip.MustParsePrefix("192.0.2.9/24")) }),
		"other MAC":       in(func(c *nl.Conn, l nl.Link) error { return c.SetMAC(l.Index, swarmnet.MAC{2, 9, 9, 9, 9, 9}) }),
		"other MTU":       in(func(c *nl.Conn, l nl.Link) error { return c.SetMTU(l.Index, 1000) }),
		"other default": in(func(c *nl.Conn, l nl.Link) error {
			return c.ReplaceRoute(nl.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.1.77"), Index: l.Index})
		}),
		"default deleted": in(func(c *nl.Conn, l nl.Link) error {
			return c.DelRoute(nl.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.1.1"), Index: l.Index})
		}),
		"subnet deleted": in(func(c *nl.Conn, l nl.Link) error {
			return c.DelRoute(nl.Route{Dst: netip.MustParsePrefix("10.0.1.0/24"), Src: netip.MustParseAddr("10.0.1.5"), Index: l.Index})
		}),
		"namespace deleted": func(b *bench) {
			if err := netns.Delete(b.cfg.NetnsDir, "a"); err != nil {
				b.t.Fatal(err)
			}
		},
		"half-made": func(b *bench) {
			b.inside("a").With(func(c *nl.Conn) error { return c.SetAlias(b.inside("a").Link("eth0").Index, "") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1)
			b.ensure(spec)
			breakIt(b)
			if name != "half-made" && name != "namespace deleted" && b.look("a") == oneNetwork {
				t.Fatal("nothing was broken")
			}
			b.ensure(spec)
			if got := b.look("a"); got != oneNetwork {
				t.Fatalf("got\n%s\nwant\n%s", got, oneNetwork)
			}
		})
	}
}

func TestKernelRewire(t *testing.T) {
	b := newBench(t, 1, 2)
	first, second := iface("eth0", 1, 5, true), iface("eth1", 2, 5, false)
	b.ensure(Spec{Name: "a", Interfaces: []Interface{first}})
	kept := b.inside("a").Link("eth0").Index
	b.ensure(Spec{Name: "a", Interfaces: []Interface{first, second}})
	if got := b.look("a"); !strings.Contains(got, "port of br-2 (swarmnet a eth1)") || b.inside("a").Link("eth0").Index != kept {
		t.Fatalf("after connect:\n%s", got)
	}
	b.ensure(Spec{Name: "a", Interfaces: []Interface{first}})
	if got := b.look("a"); got != oneNetwork {
		t.Fatalf("after disconnect:\n%s", got)
	}
	// The other network takes the first one's name.
	moved := iface("eth0", 2, 5, true)
	b.ensure(Spec{Name: "a", Interfaces: []Interface{moved}})
	want := strings.NewReplacer("10.0.1.", "10.0.2.", "0a:00:01", "0a:00:02", "br-1", "br-2").Replace(oneNetwork)
	if got := b.look("a"); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestKernelBridgeMissing(t *testing.T) {
	b := newBench(t)
	spec := Spec{Name: "a", Interfaces: []Interface{iface("eth0", 1, 5, true)}}
	err := b.Ensure(context.Background(), spec)
	if err == nil || !strings.Contains(err.Error(), "br-1 is not in the fabric yet") {
		t.Fatalf("without its bridge: %v", err)
	}
	b.addBridge(1)
	b.ensure(spec)
	if got := b.look("a"); got != oneNetwork {
		t.Fatalf("got\n%s", got)
	}
}

// A bridge that was made anew gets its ports back.
func TestKernelBridgeReplaced(t *testing.T) {
	b := newBench(t, 1)
	spec := Spec{Name: "a", Interfaces: []Interface{iface("eth0", 1, 5, true)}}
	b.ensure(spec)
	b.fabric.With(func(c *nl.Conn) error { return c.DelLink("br-1") })
	b.addBridge(1)
	b.ensure(spec)
	if got := b.look("a"); got != oneNetwork {
		t.Fatalf("got\n%s", got)
	}
}

func TestKernelDeleteWhileUsed(t *testing.T) {
	b := newBench(t, 1)
	b.ensure(Spec{Name: "a", Interfaces: []Interface{iface("eth0", 1, 5, true)}})
	// A socket keeps the namespace alive, as a process does that has not died yet.
	udp, tcp, err := ListenDNS(b.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	defer tcp.Close()
	for range 2 {
		if err := b.Delete(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	b.fabric.With(func(c *nl.Conn) error {
		if _, there, err := c.Link(portName("a", 1)); there || err != nil {
			t.Fatalf("the port is still there: %v", err)
		}
		return nil
	})
	if names, err := b.List(); len(names) != 0 || err != nil {
		t.Fatalf("List: %v %v", names, err)
	}
}

func TestKernelListenDNS(t *testing.T) {
	b := newBench(t)
	b.ensure(Spec{Name: "a"})
	udp, tcp, err := ListenDNS(b.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	defer tcp.Close()
	if _, _, err := ListenDNS(b.Path("a")); err == nil {
		t.Fatal("two resolvers hold one address")
	}
	var c net.Conn
	b.inside("a").Do(func() (err error) { c, err = net.Dial("udp4", DNSAddr); return err })
	defer c.Close()
	if _, err := c.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	if err := udp.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if n, _, err := udp.ReadFrom(buf); err != nil || string(buf[:n]) != "?" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	s := New(Config{NetnsDir: dir, FabricNS: filepath.Join(dir, "fabric")})
	for _, name := range []string{"", "../x", "a/b"} {
		if err := s.Ensure(context.Background(), Spec{Name: name}); err == nil {
			t.Errorf("sandbox %q was made", name)
		}
		if err := s.Delete(context.Background(), name); err == nil {
			t.Errorf("sandbox %q was deleted", name)
		}
	}
}

func BenchmarkKernelEnsure(b *testing.B) {
	bench := newBench(b, 1)
	n := 0
	for b.Loop() {
		n++
		i := iface("eth0", 1, byte(n%250+2), true)
		i.MAC[1], i.MAC[2] = byte(n>>16), byte(n>>8)
		bench.ensure(Spec{Name: fmt.Sprintf("sandbox%d", n), Interfaces: []Interface{i}})
	}
}
