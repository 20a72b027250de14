package kernel

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// A task with an endpoint on the ingress network reaches no other network through it: not as itself, nor under a node's MAC or address, nor
// by way of another node's fabric. What the nodes' meshes send there passes.
func TestKernelIngressNetworkIsNoBackDoor(t *testing.T) {
	s := newSite(t, 2, 1)
	near, far := s.hosts[0].addBox(1, 5), s.hosts[1].addBox(1, 6)
	thief := s.hosts[0].addBox(swarmnet.FirstVNI, 50)
	own := subnet(swarmnet.FirstVNI, 11).Addr()
	thief.spec.Interfaces[0].DefaultVia = []netip.Addr{own}
	s.converge(near, far, thief)
	peer := subnet(swarmnet.FirstVNI, 12).Addr()
	var hear [2]net.PacketConn
	for i, b := range []*box{near, far} {
		b.Do(func() (err error) { hear[i], err = net.ListenPacket("udp4", b.addr.String()+":9000"); return err })
		defer hear[i].Close()
	}
	say := func(from *kerneltest.NS, to *box, what string) {
		from.Do(func() error {
			c, err := net.Dial("udp4", to.addr.String()+":9000")
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte(what))
			return err
		})
	}
	tell := func() { say(thief.NS, near, "theft"); say(thief.NS, far, "theft") }
	// heard fails unless only what the mesh of the other node says arrives.
	heard := func(when string) {
		t.Helper()
		for i, way := range []struct {
			fabric *kerneltest.NS
			to     *box
			via    netip.Addr
		}{{s.hosts[1].inFabric(), near, own}, {s.hosts[0].inFabric(), far, peer}} {
			way.fabric.With(func(c *nl.Conn) error { // as the mesh does
				return c.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(way.to.addr, 32), Via: way.via, Index: way.fabric.Link("br-4096").Index})
			})
			say(way.fabric, way.to, "mesh")
			way.fabric.With(func(c *nl.Conn) error {
				return c.DelRoute(nl.Route{Dst: netip.PrefixFrom(way.to.addr, 32), Via: way.via, Index: way.fabric.Link("br-4096").Index})
			})
			buf := make([]byte, 64)
			if err := hear[i].SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, from, err := hear[i].ReadFrom(buf)
			if err != nil || string(buf[:n]) != "mesh" {
				t.Fatalf("%s: %s heard %q from %v, %v", when, way.to.addr, buf[:n], from, err)
			}
		}
	}
	tell()
	heard("as itself")
	via := func(gateway netip.Addr) {
		thief.With(func(c *nl.Conn) error {
			for _, b := range []*box{near, far} {
				if err := c.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(b.addr, 32), Via: gateway, Index: thief.Link("eth0").Index}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	via(peer)
	tell()
	heard("by the other node")
	for _, mac := range []swarmnet.MAC{swarmnet.MACFor(peer), swarmnet.MACFor(own)} {
		thief.With(func(c *nl.Conn) error { return c.SetMAC(thief.Link("eth0").Index, mac) })
		for _, gateway := range []netip.Addr{own, peer} {
			via(gateway)
			thief.With(func(c *nl.Conn) error { // it cannot even ask
				return c.SetNeighs([]nl.Neigh{{Index: thief.Link("eth0").Index, MAC: swarmnet.MACFor(gateway), Addr: gateway}})
			})
			tell()
			heard("as " + mac.String() + " by " + gateway.String())
		}
	}
}
