package kernel

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nl"
)

func TestStaleFlows(t *testing.T) {
	a, ap := netip.MustParseAddr, netip.MustParseAddrPort
	cfg := Config{}.withDefaults()
	const udp, tcp = unix.IPPROTO_UDP, unix.IPPROTO_TCP
	port := func(published uint16, backends ...ingress.Backend) ingress.Port {
		return ingress.Port{Protocol: swarmnet.UDP, Published: published, Backends: backends}
	}
	mesh := ingress.Mesh{Tasks: []ingress.Task{{Addr: a("10.0.1.1")}, {Addr: a("10.0.1.2"), Lost: true}}}
	host := []ingress.Port{port(53, ingress.Backend{Addr: a("10.0.1.1"), Port: 53}), port(54)}
	vips := ingress.VIPs{{Addr: a("10.0.1.9"), Backends: []netip.Addr{a("10.0.1.1")}, Draining: []netip.Addr{a("10.0.1.2")}, Lost: []netip.Addr{a("10.0.1.3")}}}
	client := "192.0.2.9:1000"
	flow := func(proto uint8, dst, replySrc string, mark uint32) nl.Flow {
		return nl.Flow{Proto: proto, Src: ap(client), Dst: ap(dst), ReplySrc: ap(replySrc), ReplyDst: ap(client), Mark: mark}
	}
	for _, c := range []struct {
		what  string
		stale func(nl.Flow) bool
		flow  nl.Flow
		want  bool
	}{
		{"to a task that is there", staleInFabric(cfg, mesh), flow(udp, "169.254.77.2:53", "10.0.1.1:53", 0), false},
		{"to a task that is gone", staleInFabric(cfg, mesh), flow(tcp, "169.254.77.2:53", "10.0.1.7:53", 0), true},
		{"datagrams to a lost task", staleInFabric(cfg, mesh), flow(udp, "169.254.77.2:53", "10.0.1.2:53", 0), true},
		{"a connection to a lost task", staleInFabric(cfg, mesh), flow(tcp, "169.254.77.2:53", "10.0.1.2:53", 0), false},
		{"never balanced", staleInFabric(cfg, mesh), flow(udp, "169.254.77.2:53", "169.254.77.2:53", 0), true},
		{"by an entry node to a task that is gone", staleInFabric(cfg, mesh), flow(tcp, "10.0.1.7:80", "10.0.1.7:80", markBit|2), true},
		{"egress", staleInFabric(cfg, mesh), flow(tcp, "198.51.100.1:80", "198.51.100.1:80", 0), false},

		{"into the fabric", staleInHost(cfg, host), flow(udp, "192.0.2.1:53", "169.254.77.2:53", 0), false},
		{"into the fabric, all drain", staleInHost(cfg, host), flow(udp, "192.0.2.1:54", "169.254.77.2:54", 0), false},
		{"into the fabric, not published any more", staleInHost(cfg, host), flow(udp, "192.0.2.1:55", "169.254.77.2:55", 0), true},
		{"from before the publishing", staleInHost(cfg, host), flow(udp, "192.0.2.1:53", "192.0.2.1:53", 0), true},
		{"of another program", staleInHost(cfg, host), flow(udp, "192.0.2.1:99", "192.0.2.1:99", 0), false},
		{"a connection", staleInHost(cfg, host), flow(tcp, "192.0.2.1:53", "192.0.2.1:53", 0), false},

		{"to a backend", staleInSandbox(vips), flow(udp, "10.0.1.9:80", "10.0.1.1:80", 0), false},
		{"to a draining one", staleInSandbox(vips), flow(udp, "10.0.1.9:80", "10.0.1.2:80", 0), false},
		{"datagrams to a lost one", staleInSandbox(vips), flow(udp, "10.0.1.9:80", "10.0.1.3:80", 0), true},
		{"a connection to a lost one", staleInSandbox(vips), flow(tcp, "10.0.1.9:80", "10.0.1.3:80", 0), false},
		{"to one that is gone", staleInSandbox(vips), flow(tcp, "10.0.1.9:80", "10.0.1.4:80", 0), true},
		{"to the address itself", staleInSandbox(vips), flow(tcp, "10.0.1.9:80", "10.0.1.9:80", 0), true},
		{"elsewhere", staleInSandbox(vips), flow(tcp, "10.0.1.4:80", "10.0.1.4:80", 0), false},
	} {
		if got := c.stale(c.flow); got != c.want {
			t.Errorf("%s: stale %v, want %v", c.what, got, c.want)
		}
	}
}
