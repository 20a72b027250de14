package sandbox

import (
	"context"
	"net/netip"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// dual is an interface with addresses of both families: 10.0.VNI.HOST and fd00::VNI:HOST.
func dual(v swarmnet.VNI, host byte, mac swarmnet.MAC) Interface {
	i := iface("eth0", v, host, false)
	i.MAC, i.Addrs = mac, append(i.Addrs, netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(v), 15: host}), 64))
	return i
}

// An address that another sandbox takes over, or that goes to another MAC, is found there at once: who knew it elsewhere is told, by ARP and by NDP.
func TestKernelAnnounced(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	b := newBench(t, 1)
	first, second, third := swarmnet.MAC{2, 1, 1, 1, 1, 1}, swarmnet.MAC{2, 2, 2, 2, 2, 2}, swarmnet.MAC{2, 3, 3, 3, 3, 3}
	known := dual(1, 5, first)
	b.ensure(Spec{Name: "client", Interfaces: []Interface{dual(1, 9, swarmnet.MAC{2, 9, 9, 9, 9, 9})}})
	client := b.inside("client")
	wire := client.Capture("eth0")
	told := func(mac swarmnet.MAC) {
		t.Helper()
		for _, p := range known.Addrs {
			addr := p.Addr().AsSlice()
			meant := func(f []byte) bool { // request and target are one; the advertisement overrides, and nobody asked for it
				from := string(f[6:12]) == string(mac[:])
				if p.Addr().Is4() {
					return from && string(f[:6]) == "\xff\xff\xff\xff\xff\xff" && kerneltest.ARP(f, 1, addr) && string(f[28:32]) == string(addr) && string(f[22:28]) == string(mac[:])
				}
				return from && string(f[:6]) == "\x33\x33\x00\x00\x00\x01" && kerneltest.NDP(f, 136, addr) && f[58] == 0x20 && string(f[80:86]) == string(mac[:])
			}
			wire.Await("announcements of "+p.String()+" at "+mac.String(), 2, meant)
			client.SendsTo(wire, p.Addr(), mac)
		}
	}
	b.ensure(Spec{Name: "one", Interfaces: []Interface{known}})
	told(first)
	quiet := wire.Count(func(f []byte) bool { return kerneltest.ARP(f, 1, known.Addrs[0].Addr().AsSlice()) })
	b.ensure(Spec{Name: "one", Interfaces: []Interface{known}}) // nothing new: nobody is told
	if err := b.Delete(context.Background(), "one"); err != nil {
		t.Fatal(err)
	}
	known.MAC = second
	b.ensure(Spec{Name: "two", Interfaces: []Interface{known}})
	told(second)
	if n := wire.Count(func(f []byte) bool { return kerneltest.ARP(f, 1, known.Addrs[0].Addr().AsSlice()) }); n > 2*quiet+2 {
		t.Errorf("%d requests, after %d the first time", n, quiet)
	}
	known.MAC = third
	b.fabric.With(func(c *nl.Conn) error { // as the agent does when an endpoint's MAC is another
		return c.DelNeighs([]nl.Neigh{{Index: b.fabric.Link(portName("two", 1)).Index, MAC: second}})
	})
	b.ensure(Spec{Name: "two", Interfaces: []Interface{known}})
	told(third)
}
